"""How often something is looked at that may be slow."""

from __future__ import annotations

import pytest

from queuectl.system import polling
from queuectl.system.polling import Pace


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which a pace is kept."""
    clock = Clock()
    monkeypatch.setattr(polling, "time", clock)
    return clock


def look(pace: Pace, clock: Clock, seconds: float) -> None:
    """Look once, which takes so long."""
    with pace.look():
        clock.now += seconds


def gap(pace: Pace, clock: Clock) -> float:
    """Return how long it takes until the next look is due, to a hundredth of a second."""
    begun = clock.now
    while not pace.is_due:
        clock.now += 0.01
    return round(clock.now - begun, 1)


def test_the_first_look_is_due_at_once() -> None:
    assert Pace(1.0).is_due


@pytest.mark.parametrize(
    ("takes", "expected"), [(0.0, 1.0), (0.05, 1.0), (0.1, 2.0), (0.2, 4.0), (9.0, 5.0)]
)
def test_a_slow_look_makes_the_next_one_wait_longer(
    clock: Clock, takes: float, expected: float
) -> None:
    pace = Pace(1.0, longest=5.0)
    look(pace, clock, takes)
    assert gap(pace, clock) == expected


def test_an_interval_above_the_longest_gap_stands(clock: Clock) -> None:
    pace = Pace(10.0, longest=5.0)
    look(pace, clock, 0.1)
    assert gap(pace, clock) == 10.0


def test_a_hurry_makes_the_next_look_due(clock: Clock) -> None:
    pace = Pace(1.0)
    look(pace, clock, 1.0)
    assert not pace.is_due
    pace.hurry()
    assert pace.is_due


def test_a_look_that_fails_may_be_repeated_at_once() -> None:
    pace = Pace(1.0)
    with pytest.raises(OSError, match="away"), pace.look():
        raise OSError("away")
    assert pace.is_due
