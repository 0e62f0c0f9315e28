"""Figures add up, percentiles lie where they should, and reports have every minute."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.events import RunFinished, RunResult
from queuectl.domain.stats import (
    BOUNDS,
    SERIES_MINUTES,
    Figures,
    Histogram,
    StatsBucket,
    as_dict,
    counted,
    from_numbers,
    minute_of,
    report,
)
from queuectl.domain.times import EPOCH

NOW = EPOCH + timedelta(days=20_000, hours=10, minutes=30, seconds=30)
THIS_MINUTE = minute_of(NOW)


def ending(
    seconds: float, outcome: RunResult = RunResult.COMPLETED, queue: str = "q"
) -> RunFinished:
    """Return the end of a run that took so long, and had waited twice as long."""
    return RunFinished(
        1, 2, "a", 1, queue, outcome, NOW, 1, "true", waited=2 * seconds, duration=seconds
    )


def measured(*seconds: float) -> Histogram:
    """Return the histogram of runs that took so long."""
    (numbers,) = counted(map(ending, seconds), {}).values()
    return from_numbers(numbers).run


lengths = st.lists(st.floats(0, 200_000), min_size=1, max_size=30)


@given(lengths, st.sampled_from([0.5, 0.95]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(seconds: list[float], at: float) -> None:
    found = measured(*seconds).quantile(at)
    assert found is not None
    rank = next(n for n in range(1, len(seconds) + 1) if n >= at * len(seconds))
    truth = sorted(seconds)[rank - 1]
    upper = next((bound for bound in BOUNDS if truth <= bound), BOUNDS[-1])
    lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
    if truth > BOUNDS[-1]:
        assert found == BOUNDS[-1]
    else:
        assert lower <= found <= upper


@pytest.mark.parametrize(
    ("seconds", "at", "expected"),
    [
        ([0.15] * 4, 0.5, 0.15),  # half way through the bucket from 0.1 to 0.2
        ([0.001], 0.95, 0.00095),
        ([0.0], 0.5, 0.0005),
        ([3.0, 3.0, 3.0, 700.0], 0.95, 1080.0),
        ([90_000.0], 0.5, 86_400.0),
    ],
)
def test_percentiles_are_interpolated(seconds: list[float], at: float, expected: float) -> None:
    assert measured(*seconds).quantile(at) == pytest.approx(expected)


def test_nothing_has_no_percentile_and_no_success_rate() -> None:
    assert Histogram().quantile(0.5) is None
    assert Figures(cancelled=3, interrupted=2).success_rate is None


@given(lengths, lengths)
def test_figures_of_two_stretches_add_up(first: list[float], second: list[float]) -> None:
    assert measured(*first) + measured(*second) == measured(*first, *second)


def test_only_runs_that_came_to_an_end_of_their_own_are_measured() -> None:
    (numbers,) = counted([ending(1.0, outcome) for outcome in RunResult], {}).values()
    figures = from_numbers(numbers)
    assert [figures.of(outcome) for outcome in RunResult] == [1, 1, 1, 1, 1]
    assert (figures.run.total, figures.run.seconds) == (3, 3.0)
    assert (figures.wait.total, figures.wait.seconds) == (5, 10.0)
    assert figures.success_rate == pytest.approx(1 / 3)


def minutes_ago(**by_minute: Figures) -> dict[StatsBucket, Figures]:
    """Return figures of the queue `q` by how many minutes ago: `m5`."""
    return {
        ("q", THIS_MINUTE - timedelta(minutes=int(name[1:]))): figures
        for name, figures in by_minute.items()
    }


def test_a_report_covers_the_minutes_from_the_one_that_was_asked_for() -> None:
    minutes = minutes_ago(m0=Figures(completed=1), m5=Figures(dead=2), m6=Figures(failed=4))
    found = report(NOW, NOW - timedelta(minutes=5), minutes, {"q": Figures(enqueued=9)})
    assert found.queues["q"].period == Figures(completed=1, dead=2)
    assert found.total.period == found.queues["q"].period
    assert found.total.ever == Figures(enqueued=9)
    assert found.since == THIS_MINUTE - timedelta(minutes=5)


def test_a_series_has_every_minute_of_the_last_hour() -> None:
    minutes = minutes_ago(m0=Figures(completed=1), m59=Figures(dead=2), m60=Figures(failed=4))
    found = report(NOW, NOW - timedelta(hours=5), minutes, {}).queues["q"]
    assert len(found.series) == SERIES_MINUTES
    assert (found.series[-1].completed, found.series[0].dead) == (1, 2)
    assert sum(each.failed for each in found.series) == 0
    assert found.period.failed == 4


def test_throughput_is_told_by_the_minutes_and_the_part_of_this_one() -> None:
    minutes = minutes_ago(m0=Figures(completed=1), m1=Figures(dead=2), m5=Figures(failed=8))
    found = report(NOW, NOW, minutes, {}).total.throughput
    assert found["1m"] == pytest.approx(3 / 1.5)
    assert found["5m"] == pytest.approx(11 / 5.5)
    assert found["1h"] == pytest.approx(11 / 59.5)


def test_a_report_of_one_queue_leaves_out_the_others() -> None:
    minutes = {("a", THIS_MINUTE): Figures(completed=1), ("b", THIS_MINUTE): Figures(completed=2)}
    assert report(NOW, NOW, minutes, {}, "b").total.period.completed == 2
    empty = report(NOW, NOW, minutes, {}, "c")
    assert list(empty.queues) == ["c"]
    assert as_dict(empty)["total"] == as_dict(empty)["queues"]["c"]  # type: ignore[index]
