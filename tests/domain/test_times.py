"""Instants: whole milliseconds in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.times import (
    LATEST,
    UTC,
    from_millis,
    iso,
    later,
    short_seconds,
    to_millis,
    whole_millis,
)
from tests.domain.jobs import NOW

instants = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9998, 12, 31), timezones=st.just(UTC)
)


@given(instants)
def test_milliseconds_are_an_exact_copy_of_a_whole_instant(instant: datetime) -> None:
    whole = whole_millis(instant)
    assert from_millis(to_millis(whole)) == whole
    assert to_millis(instant) == to_millis(whole)
    assert timedelta(0) <= instant - whole < timedelta(milliseconds=1)


@given(instants)
def test_the_written_form_is_read_back_exactly_and_sorts_like_time(instant: datetime) -> None:
    text = iso(instant)
    assert len(text) == len("2026-01-31T12:00:00.000Z")
    assert datetime.fromisoformat(text.replace("Z", "+00:00")) == whole_millis(instant)
    assert iso(instant) < iso(instant + timedelta(milliseconds=1))


@given(instants, st.floats(0, allow_nan=False))
def test_later_never_overflows_and_never_passes_the_latest_instant(
    instant: datetime, seconds: float
) -> None:
    due = later(instant, seconds)
    assert whole_millis(instant) <= due <= LATEST
    assert due.tzinfo is UTC


def test_an_instant_in_another_zone_becomes_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert iso(datetime(2026, 1, 31, 13, 0, 0, 999_999, tzinfo=berlin)) == (
        "2026-01-31T12:00:00.999Z"
    )


def test_later_adds_fractions_of_a_second() -> None:
    assert later(NOW, 1.5) == NOW + timedelta(milliseconds=1500)


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (10.0, "10s"), (1.5, "1.5s")])
def test_seconds_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert short_seconds(seconds) == text
