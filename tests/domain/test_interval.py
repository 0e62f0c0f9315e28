"""Intervals of schedules: time that passes from an anchor on."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.interval import Interval, interval_text, parse_interval
from queuectl.domain.times import UTC

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_an_interval_is_due_again_and_again_from_its_anchor_on() -> None:
    made = Interval(90 * 60, NOON)
    dues = list(islice(made.after(NOON), 3))
    assert dues == [NOON + number * 90 * MINUTE for number in (1, 2, 3)]
    for minutes in (0, 1, 89, 90, 91, 500, -1):
        instant = NOON + minutes * MINUTE
        latest, following = made.latest(instant), made.following(instant)
        assert following is not None
        assert latest <= instant < following == latest + 90 * MINUTE


def test_the_end_of_the_calendar_is_the_end_of_an_interval() -> None:
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    assert Interval(3600, NOON).following(last) is None
    assert list(Interval(3600, NOON).after(last)) == []


@pytest.mark.parametrize(
    ("raw", "seconds", "text"),
    [
        ("90m", 5400, "1h30m"),
        (60, 60, "1m"),
        ("36 hours", 129_600, "1d12h"),
        ("2w", 1_209_600, "2w"),
    ],
)
def test_an_interval_is_read_and_written(raw: object, seconds: int, text: str) -> None:
    assert parse_interval(raw) == seconds
    assert interval_text(seconds) == text
    assert parse_interval(text) == seconds


def test_an_interval_of_seconds_is_written_whole() -> None:
    assert [interval_text(seconds) for seconds in (5, 90)] == ["5s", "1m30s"]


@pytest.mark.parametrize("raw", ["30s", "90s", 0, "0m", "2 years", "soon", "-5m", 60.5])
def test_what_is_no_interval_of_whole_minutes_is_refused(raw: object) -> None:
    with pytest.raises(InvalidInput):
        parse_interval(raw)
