"""What the live view makes of numbers, filters and output, without a terminal."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.presentation.run_log import clean
from queuectl.presentation.snapshot import BUCKETS, Meter
from queuectl.watch.view import View, parse_filter, scrolled


def test_the_meter_counts_what_comes_after_the_first_look() -> None:
    meter = Meter()
    meter.see(1000.0, 500)
    assert meter.per_minute(1000.0) == 0
    for second in range(1, 61):
        meter.see(1000.0 + second, 500 + 2 * second)
    assert meter.per_minute(1060.0) == pytest.approx(120, rel=0.05)
    assert sum(meter.rates(1060.0)) == 120


def test_jobs_that_are_deleted_or_retried_are_not_counted_backwards() -> None:
    meter = Meter()
    for at, completed in ((0.0, 10), (1.0, 4), (2.0, 6)):
        meter.see(at, completed)
    assert sum(meter.rates(2.0)) == 2


def test_a_pause_is_seen_in_the_rates_and_old_ones_are_forgotten() -> None:
    meter = Meter()
    meter.see(0.0, 0)
    meter.see(1.0, 5)
    meter.see(100.0, 6)
    rates = meter.rates(100.0)
    assert (rates[0], rates[-1], sum(rates)) == (5, 1, 6)
    meter.see(10_000.0, 7)
    assert meter.rates(10_000.0) == (*[0] * (BUCKETS - 1), 1)


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        ("", Filter()),
        ("failed,dead", Filter(frozenset({State.FAILED, State.DEAD}))),
        ("Dead backup", Filter(frozenset({State.DEAD}), texts=("backup",))),
        ("queue=gpu label=a label=b", Filter(queue="gpu", labels=("a", "b"))),
        ("A=B x,dead", Filter(texts=("A=B", "x,dead"))),
    ],
)
def test_a_filter_means_states_queue_labels_and_words(typed: str, chosen: Filter) -> None:
    assert parse_filter(typed) == chosen


def test_a_filter_without_its_value_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_filter("queue=")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("\x1b[1;31mred\x1b[0m\x1b]0;title\x07 text", ["red text"]),
        ("10%\r50%\r100%\nend\r\n", ["100%", "end"]),
        ("a\tb\x00", ["a       b\\x00"]),
        ("", []),
    ],
)
def test_output_is_made_safe_to_show(text: str, lines: list[str]) -> None:
    assert clean(text) == lines


def test_a_log_follows_its_end_until_one_scrolls_up() -> None:
    view = scrolled(View(), -3, total=100, room=20)
    assert view.top == 77
    assert scrolled(view, 1, total=100, room=20).top == 78
    assert scrolled(view, 3, total=100, room=20).top is None
    assert scrolled(view, -500, total=100, room=20).top == 0
    assert scrolled(View(), -1, total=5, room=20).top is None
