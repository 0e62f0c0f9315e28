"""When cron expressions are due, on the days too when the clocks change."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.times import UTC
from queuectl.system.cron import Cron
from queuectl.system.zones import check_zone, zone_of

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dues(cron: str, zone: str, after: str, number: int) -> list[str]:
    """Return the next instants in UTC."""
    found = islice(Cron(cron, zone).after(utc(after)), number)
    return [f"{due:%Y-%m-%d %H:%M}" for due in found]


def local_days(cron: str, zone: str, after: str, until: str) -> list[str]:
    """Return the local times at which it is due in a stretch of time."""
    found = []
    for due in Cron(cron, zone).after(utc(after)):
        if due > utc(until):
            break
        found.append(f"{due.astimezone(ZoneInfo(zone)):%d %H:%M %Z}")
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/15 * * * *", "2026-11-22 12:15"),
        ("0 3 * * *", "2026-11-23 03:00"),
        ("30 9 * * MON-FRI", "2026-11-23 09:30"),
        ("0 0 1 1 *", "2027-01-01 00:00"),
        ("0 12 L * *", "2026-11-30 12:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("@hourly", "2026-11-22 13:00"),
        ("@Daily", "2026-11-23 00:00"),
        (" 5  4 * * 7 ", "2026-11-29 04:05"),
    ],
)
def test_an_expression_is_due_when_cron_would_start_it(cron: str, expected: str) -> None:
    assert dues(cron, "UTC", "2026-11-22 12:00", 1) == [expected]


def test_a_schedule_follows_the_wall_clock_of_its_zone() -> None:
    assert dues("0 3 * * *", BERLIN, "2026-07-01", 1) == ["2026-07-01 01:00"]
    assert dues("0 3 * * *", BERLIN, "2026-12-01", 1) == ["2026-12-01 02:00"]
    assert dues("0 3 * * *", NEW_YORK, "2026-12-01", 1) == ["2026-12-01 08:00"]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "until", "expected"),
    [
        # one that the clocks skip comes right after the gap
        ("30 2 * * *", BERLIN, "2026-03-27 12:00", "2026-03-30 12:00",
         ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]),
        ("30 2 * * *", NEW_YORK, "2026-03-06 17:00", "2026-03-09 17:00",
         ["07 02:30 EST", "08 03:00 EDT", "09 02:30 EDT"]),
        # one that comes twice is the first
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", "2026-10-26 12:00",
         ["25 02:30 CEST", "26 02:30 CET"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31 17:00", "2026-11-02 17:00",
         ["01 01:30 EDT", "02 01:30 EST"]),
    ],
)  # fmt: skip
def test_a_time_of_day_is_due_once_on_the_days_when_the_clocks_change(
    cron: str, zone: str, after: str, until: str, expected: list[str]
) -> None:
    assert local_days(cron, zone, after, until) == expected


@pytest.mark.parametrize(
    ("zone", "overlap"), [(BERLIN, "2026-10-25 00:30"), (NEW_YORK, "2026-11-01 05:30")]
)
def test_a_time_that_comes_twice_is_not_due_again_for_who_asks_in_between(
    zone: str, overlap: str
) -> None:
    cron = "30 2 * * *" if zone == BERLIN else "30 1 * * *"
    first = utc(overlap)
    for minutes in (0, 10, 30, 59, 60, 90):
        following = Cron(cron, zone).following(first + timedelta(minutes=minutes))
        assert following is not None
        assert following - first == timedelta(hours=25)


@pytest.mark.parametrize(
    "day", ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-06-01"]
)
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
def test_what_is_due_every_quarter_of_an_hour_follows_the_time_that_passes(
    zone: str, day: str
) -> None:
    start = utc(day)
    expected = [start + timedelta(minutes=15 * number) for number in range(1, 97)]
    assert list(islice(Cron("*/15 * * * *", zone).after(start), 96)) == expected


@pytest.mark.parametrize("cron", ["30 2 * * *", "15,30 1-3 * * *", "*/20 * * * *"])
@pytest.mark.parametrize(
    ("zone", "changes"),
    [
        (BERLIN, ["2026-03-29 01:00", "2026-10-25 01:00"]),
        (NEW_YORK, ["2026-03-08 07:00", "2026-11-01 06:00"]),
        ("Australia/Lord_Howe", ["2026-04-04 15:00", "2026-10-03 15:30"]),
        ("Africa/Cairo", ["2026-04-23 22:00", "2026-10-29 21:00"]),
    ],
)
def test_it_is_due_at_the_same_instants_wherever_one_begins_to_count(
    cron: str, zone: str, changes: list[str]
) -> None:
    made = Cron(cron, zone)
    for change in changes:
        begin, end = utc(change) - timedelta(hours=4), utc(change) + timedelta(hours=4)
        whole = [due for due in islice(made.after(begin), 50) if due <= end]
        assert whole == sorted(set(whole))
        for minutes in range(0, 480, 25):
            moment = begin + timedelta(minutes=minutes)
            expected = next((due for due in whole if due > moment), made.following(end))
            assert made.following(moment) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("* * * * *", "2026-11-22 12:00"),
        ("7 * * * *", "2026-11-22 11:07"),
        ("0 12 * * *", "2026-11-22 12:00"),
        ("0 13 * * *", "2026-11-21 13:00"),
        ("0 0 * * 1", "2026-11-16 00:00"),
        ("0 0 1 * *", "2026-11-01 00:00"),
        ("0 0 1 12 *", "2025-12-01 00:00"),
    ],
)
def test_the_latest_instant_until_now_is_found(cron: str, expected: str) -> None:
    assert Cron(cron, "UTC").latest(utc("2026-11-22 12:00")) == utc(expected)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("", "has 0 fields, not 5"),
        ("0 3 * *", "has 4 fields, not 5"),
        ("61 * * * *", "has a bad minute"),
        ("0 24 * * *", "has a bad hour"),
        ("0 0 31 2 *", "is never due: none of its months has a day 31"),
        ("0 0 31 4,6 *", "is never due: none of its months has a day 31"),
        ("0 0 32 4 *", "has a bad day-of-month"),
        ("0 0 31 13 *", "has a bad month"),
        ("0 0 * 13 *", "has a bad month"),
        ("0 0 * * FUN", "has a bad day-of-week"),
        ("*/0 * * * *", "has a bad minute"),
        ("@sometimes", "is not known here"),
        ("1," * 200 + "1 * * * *", "is longer than"),
    ],
)
def test_what_is_no_expression_or_never_due_is_refused(cron: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        Cron(cron, "UTC")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "MINUTE HOUR" in caught.value.hint


LORD_HOWE = "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 */3 * * *", "2027-10-02 13:31", "2027-10-02 16:00"),
        ("45 * * * *", "2027-10-02 15:16", "2027-10-02 15:45"),
        ("*/30 2 * * *", "2027-04-03 15:01", "2027-04-03 15:30"),
        ("0 3 * * *", "2027-10-02 12:00", "2027-10-02 16:00"),
        ("15 2 * * *", "2027-10-02 12:00", "2027-10-02 15:30"),
        ("45 1 * * *", "2027-04-03 12:00", "2027-04-03 14:45"),
    ],
)
def test_no_run_is_left_out_where_clocks_are_moved_by_half_an_hour(
    cron: str, after: str, expected: str
) -> None:
    assert dues(cron, LORD_HOWE, after, 1) == [expected]


GRID = timedelta(minutes=15)


def values_of(field: str) -> set[int]:
    """Return what a field means that is `*`, with a step perhaps, or a list of numbers."""
    if field.startswith("*"):
        return set(range(0, 60, int(field[2:] or 1)))
    return {int(word) for word in field.split(",")}


@lru_cache(maxsize=4)
def quarters(zone: str) -> list[tuple[datetime, datetime]]:
    """Return all quarters of an hour of two years, with what the clock shows then."""
    there, begin = zone_of(zone), utc("2026-12-31")
    instants = [begin + number * GRID for number in range(2 * 366 * 96)]
    return [(each, each.astimezone(there).replace(tzinfo=None)) for each in instants]


def as_cron_would(cron: str, zone: str) -> list[datetime]:
    """Return when Debian's cron starts a job, by going through all quarters of an hour.

    What begins with `*` goes by the clock. The rest goes by a time of its own, which runs through
    what the clock skips and stands still until a clock that was set back has caught up.
    """
    minute, hour, _day, _month, weekday = cron.split()
    minutes, hours, weekdays = values_of(minute), values_of(hour), values_of(weekday)

    def fits(wall: datetime) -> bool:
        return (
            wall.minute in minutes and wall.hour in hours and (wall.weekday() + 1) % 7 in weekdays
        )

    found = []
    (_, virtual), *later = quarters(zone)
    for instant, wall in later:
        is_due = False
        if minute.startswith("*") or hour.startswith("*"):
            is_due = fits(wall)
        while virtual < wall:
            virtual += GRID
            if not (minute.startswith("*") or hour.startswith("*")):
                is_due = is_due or fits(virtual)
        if is_due:
            found.append(instant)
    return found


@pytest.mark.parametrize("zone", [LORD_HOWE, BERLIN, "America/St_Johns", "Africa/Casablanca"])
@pytest.mark.parametrize(
    "cron", ["0 */3 * * *", "45 * * * 0,6", "*/30 2 * * *", "15 2 * * *", "0,30 1,2,3 * * 0"]
)
def test_it_is_due_on_all_days_of_years_as_debians_cron_starts_it(cron: str, zone: str) -> None:
    (begin, _), *_, (end, _) = quarters(zone)
    found = takewhile(lambda due: due <= end, Cron(cron, zone).after(begin))
    assert list(found) == as_cron_would(cron, zone)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "Europe", "../../etc/passwd", "a\0b"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="unknown time zone"):
        check_zone(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("right/Europe/Berlin", "write Europe/Berlin"),
        ("posix/Europe/Berlin", "write Europe/Berlin"),
        ("localtime", "Europe/Berlin"),
        ("posixrules", "Europe/Berlin"),
    ],
)
def test_files_beside_those_of_zones_are_none(name: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match="not the name of a time zone") as caught:
        check_zone(name)
    assert hint in caught.value.hint


def test_the_nearest_zone_is_named() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'Europe/Berlin'"):
        check_zone("europe/berlin")


def test_the_end_of_the_calendar_is_the_end_of_what_is_due() -> None:
    assert Cron("0 0 * * *", BERLIN).following(datetime(9999, 12, 31, 12, tzinfo=UTC)) is None
