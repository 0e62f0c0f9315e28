"""Records: compared by what they hold, and finished as dataclasses when they are first needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, fields, is_dataclass, replace
from threading import Barrier

import pytest

from queuectl.domain.frozen import frozen

THREADS = 8


@frozen
class Point:
    """A record with a field of each kind."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y


def test_records_are_compared_by_what_they_hold() -> None:
    assert Point(1, 2) == Point(1, y=2)
    assert Point(1, 2) != Point(2, 1)
    like_it: object = (1, 2)
    assert Point(1, 2) != like_it
    assert repr(Point(1)) == "Point(x=1, y=0, names=[])"
    assert Point(3, 4).sum == 7


def test_a_record_takes_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 2  # type: ignore[attr-defined]  # that is what is tried


def test_each_record_has_defaults_of_its_own() -> None:
    first, second = Point(1), Point(1)
    first.names.append("a")
    assert second.names == []


def test_a_record_that_was_never_made_is_a_dataclass_already() -> None:
    fresh = _record()
    assert is_dataclass(fresh)
    assert [each.name for each in fields(fresh)] == ["x", "y"]


def test_a_changed_copy_leaves_the_record_as_it_was() -> None:
    point = Point(1, 2)
    assert replace(point, x=5) == Point(5, 2)
    assert point == Point(1, 2)


def test_a_wrong_argument_is_refused_from_the_first_record_on() -> None:
    fresh = _record()
    for _ in range(2):
        with pytest.raises(TypeError, match="required positional argument: 'x'"):
            fresh()


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_make_the_first_records_at_once_get_whole_ones() -> None:
    for _ in range(50):
        fresh, start = _record(), Barrier(THREADS)

        def make(
            number: int, fresh: Callable[..., object] = fresh, start: Barrier = start
        ) -> object:
            start.wait()
            return fresh(number).y  # type: ignore[attr-defined]  # a class made just now

        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(make, range(THREADS))) == [[]] * THREADS


def _record() -> Callable[..., object]:
    @frozen
    class Fresh:
        x: int
        y: list[int] = field(default_factory=list)

    return Fresh
