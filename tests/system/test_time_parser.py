"""Times and durations as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.times import MAX_SECONDS, UTC
from queuectl.system.time_parser import parse_duration, parse_past, parse_time
from tests.local_zone import SetZone, zone

__all__ = ["zone"]

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)  # a Saturday

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (0, 0), (90, 90), (1.5, 1.5), ("90", 90), ("0.25", 0.25), ("30s", 30), ("5m", 300),
        ("250ms", 0.25), ("1h30m", 5400), ("1h 30m", 5400), ("1H30M5S", 5405),
        ("2 days", 172_800), ("1 day, 2 hours", 93_600), ("1 hour and 30 minutes", 5400),
        ("1w", 604_800), (" 1.5 hours ", 5400), ("36500 days", 36_500 * 86_400),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_seconds(raw: object, seconds: float) -> None:
    assert parse_duration(raw) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "raw", ["", "soon", "5 parsecs", "-5m", "5m!", "m5", "1h30", None, True, []]
)
def test_what_is_no_duration_is_refused_with_an_example(raw: object) -> None:
    with pytest.raises(InvalidInput, match="is not a duration") as caught:
        parse_duration(raw)
    assert "5m" in caught.value.hint


@pytest.mark.parametrize(
    "raw",
    [-1, "-1", "inf", "nan", float("nan"), 10**400, "9" * 400 + "d", "36700d", MAX_SECONDS * 2],
)
def test_a_negative_or_absurd_duration_is_refused(raw: object) -> None:
    with pytest.raises(InvalidInput, match="must be between 0 and a hundred years") as caught:
        parse_duration(raw, "delay")
    assert str(caught.value).startswith("delay ")
    assert len(str(caught.value)) < 200


def test_a_delay_counts_from_now() -> None:
    assert parse_time("in", "5m", NOW) == NOW + timedelta(minutes=5)
    assert parse_time("in", 1.5, NOW) == NOW + timedelta(milliseconds=1500)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-01T09:30:00Z", "2026-02-01T09:30:00z", "2026-02-01T09:30:00+00:00",
        "2026-02-01 10:30:00+01:00", "2026-02-01T04:00:00-05:30",
    ],
)  # fmt: skip
def test_iso_times_with_a_zone_mean_that_zone(text: str, zone: SetZone) -> None:
    zone("Asia/Tokyo")
    assert parse_time("at", text, NOW) == utc(2026, 2, 1, 9, 30)


def test_a_time_without_a_zone_is_local(zone: SetZone) -> None:
    zone("America/New_York")
    assert parse_time("at", "2026-02-01T09:30", NOW) == utc(2026, 2, 1, 14, 30)
    assert parse_time("at", "2026-07-01T09:30", NOW) == utc(2026, 7, 1, 13, 30)
    assert parse_time("at", "2026-02-01", NOW) == utc(2026, 2, 1, 5)


def test_a_datetime_is_taken_and_cut_to_milliseconds() -> None:
    exact = utc(2026, 2, 1).replace(microsecond=123_456)
    assert parse_time("at", exact, NOW) == utc(2026, 2, 1).replace(microsecond=123_000)


@pytest.mark.parametrize("text", ["5m", "in 5m", "In 5 minutes", "300 s"])
def test_a_duration_as_a_time_counts_from_now(text: str) -> None:
    assert parse_time("at", text, NOW) == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    "now", [utc(2026, 1, 31, 12), utc(2026, 4, 30, 12), utc(2026, 12, 31, 12), utc(2026, 2, 10, 12)]
)
@pytest.mark.parametrize("text", ["9:00", "at 9:00", "9am", "9 AM", "9:00 UTC"])
def test_a_time_of_day_that_has_passed_means_tomorrow_on_any_day_of_the_month(
    text: str, now: datetime, zone: SetZone
) -> None:
    zone("UTC")
    assert parse_time("at", text, now) == now + timedelta(hours=21)
    assert parse_time("at", "noon", now) == now + timedelta(days=1)
    assert parse_time("at", "midnight", now) == now + timedelta(hours=12)
    assert parse_time("at", "14:30", now) == now + timedelta(hours=2, minutes=30)


@pytest.mark.parametrize("delay", ["3h", "3 hours", 10_800])
@pytest.mark.parametrize(
    ("name", "now"),
    [
        (BERLIN, utc(2026, 3, 29, 0, 30)),
        (BERLIN, utc(2026, 10, 25, 0, 30)),
        (NEW_YORK, utc(2026, 3, 8, 6, 30)),
        (NEW_YORK, utc(2026, 11, 1, 5, 30)),
    ],
)
def test_a_delay_is_time_that_passes_whatever_the_clocks_do(
    delay: object, name: str, now: datetime, zone: SetZone
) -> None:
    zone(name)
    assert parse_time("in", delay, now) == now + timedelta(hours=3)
    if isinstance(delay, str):
        assert parse_time("at", delay, now) == parse_time("at", f"in {delay}", now)
        assert parse_time("at", delay, now) == now + timedelta(hours=3)


@pytest.mark.parametrize(
    ("name", "text", "now", "expected"),
    [
        # natural dates are local and lie ahead
        (BERLIN, "tomorrow 9:00", NOW, utc(2026, 2, 1, 8)),
        (BERLIN, "tomorrow at 9am", NOW, utc(2026, 2, 1, 8)),
        (BERLIN, "wednesday 22:30", NOW, utc(2026, 2, 4, 21, 30)),
        (BERLIN, "14:30", NOW, utc(2026, 1, 31, 13, 30)),
        (BERLIN, "9:00", NOW, utc(2026, 2, 1, 8)),
        (BERLIN, "tomorrow 9:00 UTC", NOW, utc(2026, 2, 1, 9)),
        (BERLIN, "31 March 2026 15:00", NOW, utc(2026, 3, 31, 13)),
        # a local time that the clocks skip is taken an hour later
        (BERLIN, "2026-03-29T02:30", NOW, utc(2026, 3, 29, 1, 30)),
        (BERLIN, "tomorrow 2:30", utc(2026, 3, 28, 12), utc(2026, 3, 29, 1, 30)),
        (BERLIN, "2:30", utc(2026, 3, 28, 12), utc(2026, 3, 29, 1, 30)),
        (NEW_YORK, "2026-03-08T02:30", NOW, utc(2026, 3, 8, 7, 30)),
        (NEW_YORK, "tomorrow 2:30", utc(2026, 3, 7, 12), utc(2026, 3, 8, 7, 30)),
        # a local time that comes twice is the first
        (BERLIN, "2026-10-25T02:30", NOW, utc(2026, 10, 25, 0, 30)),
        (BERLIN, "tomorrow 2:30", utc(2026, 10, 24, 12), utc(2026, 10, 25, 0, 30)),
        (NEW_YORK, "2026-11-01T01:30", NOW, utc(2026, 11, 1, 5, 30)),
        (NEW_YORK, "tomorrow 1:30", utc(2026, 10, 31, 12), utc(2026, 11, 1, 5, 30)),
        # where the clock has just been set back, the one to come
        (BERLIN, "2:30", utc(2026, 10, 25, 1, 10), utc(2026, 10, 25, 1, 30)),
        (BERLIN, "today 2:30", utc(2026, 10, 25, 1, 10), utc(2026, 10, 25, 1, 30)),
        (BERLIN, "today", utc(2026, 10, 25, 1, 10), utc(2026, 10, 25, 1, 10)),
        (BERLIN, "2:05", utc(2026, 10, 25, 0, 10), utc(2026, 10, 26, 1, 5)),
        (BERLIN, "2:05 + 1 hour", utc(2026, 10, 24, 12), utc(2026, 10, 25, 1, 5)),
        # after the gap its times are those of the next day
        (BERLIN, "2:30", utc(2026, 3, 29, 1, 10), utc(2026, 3, 30, 0, 30)),
        # nine is nine by the wall clock of that day
        (BERLIN, "tomorrow 9:00", utc(2026, 3, 28, 12), utc(2026, 3, 29, 7)),
        (BERLIN, "tomorrow 9:00", utc(2026, 10, 24, 12), utc(2026, 10, 25, 8)),
        (BERLIN, "9:00", utc(2026, 10, 24, 12), utc(2026, 10, 25, 8)),
        (NEW_YORK, "tomorrow 9:00", utc(2026, 3, 7, 17), utc(2026, 3, 8, 13)),
        (NEW_YORK, "9:00", utc(2026, 10, 31, 17), utc(2026, 11, 1, 14)),
    ],
)
def test_a_time_in_words_is_one_of_the_local_wall_clock(
    name: str, text: str, now: datetime, expected: datetime, zone: SetZone
) -> None:
    zone(name)
    assert parse_time("at", text, now) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "", "  ", "garbage", "2026-13-45", "2026-13-01", "2026/00/12 9:00", "-5m", "in -5 minutes",
        "25:99", "5", "-5", "1e3", "nan", "0001-01-01T00:00:00+14:00", "x" * 100_000, "9" * 5000,
        None, True, 1_700_000_000, [], {},
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_a_time_is_refused_in_one_line(raw: object) -> None:
    with pytest.raises(InvalidInput, match=r"^cannot read .* as a time(: .+)?$") as caught:
        parse_time("at", raw, NOW)
    assert len(str(caught.value)) < 200
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", utc(2026, 1, 31, 10)),
        ("2h ago", utc(2026, 1, 31, 10)),
        ("3 days ago", utc(2026, 1, 28, 12)),
        ("09:00", utc(2026, 1, 31, 9)),
        ("13:00", utc(2026, 1, 30, 13)),
        ("yesterday 9:00", utc(2026, 1, 30, 9)),
        ("monday", utc(2026, 1, 26)),
        ("2026-01-02", utc(2026, 1, 2)),
        ("2100-01-01T00:00Z", utc(2100, 1, 1)),
    ],
)
def test_a_time_that_has_been_is_the_last_one_of_its_kind(
    text: str, meant: datetime, zone: SetZone
) -> None:
    zone("UTC")
    assert parse_past(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "whenever", "ago", "9" * 300])
def test_what_is_no_past_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_past(text, NOW)
