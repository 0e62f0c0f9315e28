"""When a job may start that names hours, by a zone's clock, in both nights of the year as well."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.opening_hours import check_between
from queuectl.system.hours import next_opening, with_zone
from tests.local_zone import SetZone, zone

__all__ = ["zone"]

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str, fold: int = 0) -> datetime:
    """Return an instant by Berlin's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("22:00-06:00", "22:00-06:00"),
        ("22-6", "22:00-06:00"),
        (" 8:30 - 17:00 ", "08:30-17:00"),
        ("18:00-24:00", "18:00-24:00"),
        ("24:00-6", "00:00-06:00"),
        ("Mon-Fri 22:00-06:00", "mon-fri 22:00-06:00"),
        ("saturday,sun 8-20 Europe/Berlin", "sat,sun 08:00-20:00 Europe/Berlin"),
        ("fri-mon 8-20", "mon,fri,sat,sun 08:00-20:00"),
        ("mon-sun 8-20 UTC", "08:00-20:00 UTC"),
    ],
)
def test_hours_are_kept_in_one_form_which_means_the_same(written: str, kept: str) -> None:
    assert check_between("between", written) == kept
    assert check_between("between", kept) == kept


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("night", "must be hours such as 22:00-06:00"),
        ("22:00", "must be hours such as 22:00-06:00"),
        ("25:00-06:00", "'25:00' is no time of the day"),
        ("24:30-06:00", "'24:30' is no time of the day"),
        ("22:60-06:00", "'22:60' is no time of the day"),
        ("22:00-22:00", "is the whole day"),
        ("0-24", "is the whole day"),
        ("someday 22-6", "must be hours"),
        (22, "must be hours"),
    ],
)
def test_what_is_no_hours_is_refused(written: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_between("between", written)


@pytest.mark.parametrize(
    ("hours", "now", "opening"),
    [
        ("22:00-06:00", "2026-06-10T12:00", "2026-06-10T22:00"),
        ("22:00-06:00", "2026-06-10T22:00", "2026-06-10T22:00"),
        ("22:00-06:00", "2026-06-11T05:59", "2026-06-11T05:59"),
        ("22:00-06:00", "2026-06-11T06:00", "2026-06-11T22:00"),
        ("08:00-17:00", "2026-06-10T07:00", "2026-06-10T08:00"),
        ("08:00-17:00", "2026-06-10T17:00", "2026-06-11T08:00"),
        ("18:00-24:00", "2026-06-10T23:59", "2026-06-10T23:59"),
        ("18:00-24:00", "2026-06-11T00:00", "2026-06-11T18:00"),
        # 2026-06-12 is a Friday
        ("fri 22:00-06:00", "2026-06-13T05:00", "2026-06-13T05:00"),
        ("fri 22:00-06:00", "2026-06-13T06:00", "2026-06-19T22:00"),
        ("mon-fri 22:00-06:00", "2026-06-13T06:00", "2026-06-15T22:00"),
        ("mon-fri 22:00-06:00", "2026-06-15T05:00", "2026-06-15T22:00"),
        # the night in which 2:00 becomes 3:00
        ("02:30-06:00", "2026-03-29T01:30", "2026-03-29T03:00"),
        ("22:00-02:30", "2026-03-29T01:59", "2026-03-29T01:59"),
        ("22:00-02:30", "2026-03-29T03:00", "2026-03-29T22:00"),
        ("02:15-02:45", "2026-03-29T01:00", "2026-03-30T02:15"),
    ],
)
def test_the_next_hours_by_the_clock_of_their_zone(hours: str, now: str, opening: str) -> None:
    assert next_opening(f"{hours} Europe/Berlin", local(now)) == local(opening)


@pytest.mark.parametrize(
    ("hours", "minutes", "wait"),
    [
        # from 0:00 UTC on, which is 2:00 for the first time; 1:00 UTC is 2:00 again
        ("02:30-06:00", 0, 30),
        ("02:30-06:00", 65, 0),
        ("22:00-02:30", 45, 0),
        ("22:00-02:30", 89, 0),
        ("22:00-02:30", 90, 21 * 60 - 90),
        ("02:15-02:45", 60, 0),
        ("02:15-02:45", 105, (24 + 1) * 60 + 15 - 105),
    ],
)
def test_the_night_in_which_an_hour_comes_twice_cuts_nothing_in_two(
    hours: str, minutes: int, wait: int
) -> None:
    now = datetime.fromisoformat("2026-10-25T00:00+00:00") + timedelta(minutes=minutes)
    assert next_opening(f"{hours} Europe/Berlin", now) - now == timedelta(minutes=wait)


def test_hours_without_a_zone_get_the_local_one(zone: SetZone) -> None:
    assert with_zone("between", "22-6 UTC") == "22:00-06:00 UTC"
    zone("Europe/Berlin")
    assert with_zone("between", "22-6") == "22:00-06:00 Europe/Berlin"
    with pytest.raises(InvalidInput, match="unknown time zone 'Europe/Berlim'"):
        with_zone("between", "22-6 Europe/Berlim")
