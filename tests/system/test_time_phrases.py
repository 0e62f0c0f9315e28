"""Times as people say them: each row of docs/times.md in several zones, and nights of change."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from queuectl.domain.times import UTC
from queuectl.system.time_parser import parse_due, parse_past, parse_time
from queuectl.system.zones import TzData
from tests.local_zone import SetZone, zone

__all__ = ["zone"]

PAGE = (Path(__file__).parents[2] / "docs" / "times.md").read_text()
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
SUNDAY = datetime(2026, 11, 29, 10)


def rows_of(table: str) -> list[tuple[str, str]]:
    """Return what stands in the two columns of one of the tables of the page."""
    part = PAGE.split(f"<!-- {table} -->")[1].split("\n\n")[0]
    return re.findall(r"^\| `(.+?)` \| (.+?) \|$", part.split("|---|")[1], re.MULTILINE)


def local(wall: datetime) -> datetime:
    """Return the instant at which the local clock shows a time."""
    return datetime.fromtimestamp(wall.timestamp(), UTC)


def said(instant: datetime) -> str:
    return instant.astimezone().strftime("%a %Y-%m-%d %H:%M")


def in_capitals(phrase: str) -> str:
    """Return a phrase in capitals, but for the `m` of minutes, which would be months too."""
    return re.sub(r"(?<=\d)M$", "m", phrase.upper())


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize(("phrase", "meaning"), rows_of("meanings"))
def test_a_phrase_means_what_the_page_says(
    phrase: str, meaning: str, name: str, zone: SetZone
) -> None:
    zone(name)
    assert said(parse_time("at", phrase, local(SUNDAY))) == meaning
    assert said(parse_time("at", in_capitals(phrase), local(SUNDAY))) == meaning


@pytest.mark.parametrize(("phrase", "meaning"), rows_of("zoned"))
def test_a_phrase_with_a_zone_means_what_the_page_says(
    phrase: str, meaning: str, zone: SetZone
) -> None:
    zone("Europe/Berlin")
    assert said(parse_time("at", phrase, local(SUNDAY))) == meaning


@pytest.mark.parametrize(("phrase", "why"), rows_of("refused"))
def test_what_can_be_read_in_two_ways_or_in_none_is_refused_with_the_reason(
    phrase: str, why: str, zone: SetZone
) -> None:
    zone("Europe/Berlin")
    with pytest.raises(InvalidInput) as caught:
        parse_time("at", phrase, local(SUNDAY))
    assert str(caught.value).endswith(f" as a time: {why}")


@pytest.mark.parametrize(
    ("phrase", "hint"),
    [("9", "write '9:00' or '9m'"), ("930", "write '0930'"), ("tomorow 9:00", "write 'tomorrow'"),
     ("half an hour", "write '9:30' or '30m'"), ("eod", "write '17:00' or '23:59'"),
     ("every day at 9", "write queuectl schedule add NAME CRON COMMAND"),
     ("monday in a week", "write a date, or 'monday + 1 week'")],
)  # fmt: skip
def test_a_refusal_names_the_nearest_form_that_works(phrase: str, hint: str, zone: SetZone) -> None:
    zone("Europe/Berlin")
    with pytest.raises(InvalidInput) as caught:
        parse_time("at", phrase, local(SUNDAY))
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("phrase", "meaning"),
    [("monday next week", "Mon 2026-12-07 10:00"),
     ("friday next week 9:00", "Fri 2026-12-11 09:00"),
     ("wednesday next week", "Wed 2026-12-09 10:00"), ("1 dec next year", "Wed 2027-12-01 10:00")],
)  # fmt: skip
def test_a_day_of_next_week_is_one_of_the_week_that_comes(
    phrase: str, meaning: str, zone: SetZone
) -> None:
    zone("Europe/Berlin")
    wednesday = local(datetime(2026, 12, 2, 10))
    assert said(parse_time("at", phrase, wednesday)) == meaning


def test_the_order_of_a_date_with_slashes_can_be_said(zone: SetZone) -> None:
    zone("Europe/Berlin")
    now = local(SUNDAY)
    assert (
        said(parse_time("at", "01/02/2027 9:00", now, month_first=False)) == "Mon 2027-02-01 09:00"
    )
    assert (
        said(parse_time("at", "01/02/2027 9:00", now, month_first=True)) == "Sat 2027-01-02 09:00"
    )
    assert (
        said(parse_time("at", "25/12/2026 9:00", now, month_first=True)) == "Fri 2026-12-25 09:00"
    )


@pytest.mark.parametrize(
    ("name", "now", "phrase", "meaning"),
    [
        # in spring the night has no such hour: what it names lies after the gap
        ("Europe/Berlin", datetime(2027, 3, 27, 10), "tomorrow 2:30", "Sun 2027-03-28 03:30"),
        ("Europe/Berlin", datetime(2027, 3, 27, 10), "now + 1 day", "Sun 2027-03-28 10:00"),
        ("Europe/Berlin", datetime(2027, 3, 27, 10), "now + 24 hours", "Sun 2027-03-28 11:00"),
        ("America/New_York", datetime(2027, 3, 13, 10), "2:30 tomorrow", "Sun 2027-03-14 03:30"),
        ("America/New_York", datetime(2027, 3, 13, 10), "noon tomorrow", "Sun 2027-03-14 12:00"),
        ("Australia/Lord_Howe", datetime(2027, 10, 2, 10), "tomorrow 2:15", "Sun 2027-10-03 02:45"),
        ("Australia/Lord_Howe", datetime(2027, 10, 2, 10), "now + 1 week", "Sat 2027-10-09 10:00"),
        ("Asia/Kolkata", datetime(2027, 3, 27, 10), "tomorrow 2:30", "Sun 2027-03-28 02:30"),
        # in autumn it has one twice: the first is meant
        ("Europe/Berlin", datetime(2026, 10, 24, 10), "tomorrow 2:30", "Sun 2026-10-25 02:30"),
        ("Europe/Berlin", datetime(2026, 10, 24, 10), "now + 1 day", "Sun 2026-10-25 10:00"),
        ("Europe/Berlin", datetime(2026, 10, 24, 10), "now + 24 hours", "Sun 2026-10-25 09:00"),
        ("America/New_York", datetime(2026, 10, 31, 10), "1:30 tomorrow", "Sun 2026-11-01 01:30"),
        ("Australia/Lord_Howe", datetime(2027, 4, 3, 10), "tomorrow 1:45", "Sun 2027-04-04 01:45"),
        ("Australia/Lord_Howe", datetime(2027, 4, 3, 10), "noon + 1 day", "Sun 2027-04-04 12:00"),
        ("Asia/Kolkata", datetime(2026, 10, 24, 10), "now + 24 hours", "Sun 2026-10-25 10:00"),
    ],
)
def test_days_are_of_the_calendar_and_hours_pass_over_the_nights_of_change(
    name: str, now: datetime, phrase: str, meaning: str, zone: SetZone
) -> None:
    zone(name)
    assert said(parse_time("at", phrase, local(now))) == meaning


def test_of_a_time_that_comes_twice_the_first_is_meant(zone: SetZone) -> None:
    zone("Europe/Berlin")
    found = parse_time("at", "tomorrow 2:30", local(datetime(2026, 10, 24, 10)))
    assert found == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "phrase",
    ["today at 5", "13/01/2026", "now - 5 minutes", "yesterday", "2 days ago", "2026-11-29T09:00",
     "last friday", "9am today"],
)  # fmt: skip
def test_a_time_without_a_zone_that_is_over_is_refused_for_a_new_job(
    phrase: str, zone: SetZone
) -> None:
    zone("Europe/Berlin")
    with pytest.raises(InvalidInput, match=r"is over: it was .* 2026"):
        parse_due("at", phrase, local(SUNDAY))
    assert parse_time("at", phrase, local(SUNDAY)) < local(SUNDAY)


@pytest.mark.parametrize("exact", ["2026-11-28T09:00Z", "2026-11-28 09:00:00+01:00"])
def test_an_instant_that_is_over_is_taken_as_it_is(exact: str, zone: SetZone) -> None:
    zone("Europe/Berlin")
    assert parse_due("at", exact, local(SUNDAY)) == parse_time("at", exact, local(SUNDAY))


def test_a_time_that_was_just_now_is_taken(zone: SetZone) -> None:
    zone("Europe/Berlin")
    now = local(datetime(2026, 11, 29, 10, 0, 40))
    assert said(parse_due("at", "2026-11-29 10:00", now)) == "Sun 2026-11-29 10:00"
    assert parse_due("at", "now", now) == now


def test_a_past_time_of_day_or_day_is_the_last_one(zone: SetZone) -> None:
    zone("Europe/Berlin")
    for phrase, meaning in (
        ("9:00", "Sun 2026-11-29 09:00"), ("11:00", "Sat 2026-11-28 11:00"),
        ("sunday", "Sun 2026-11-29 00:00"), ("last sunday", "Sun 2026-11-22 00:00"),
        ("friday 9", "Fri 2026-11-27 09:00"), ("1 dec", "Mon 2025-12-01 00:00"),
        ("yesterday at noon", "Sat 2026-11-28 12:00"), ("last week", "Sun 2026-11-22 10:00"),
    ):  # fmt: skip
        assert said(parse_past(phrase, local(SUNDAY))) == meaning


WORDS = st.sampled_from(
    "now at noon tomorrow today fri next last in 5 9 17 0930 9:30 am pm + - 2 days min dec 1 31 "
    "1.12.2026 01/02/2027 UTC the of , week from tonight morning 2027 9h 1.12 a".split()
)


@given(st.one_of(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), st.text(max_size=30)))
def test_any_words_are_a_time_or_are_refused_in_one_line(phrase: str) -> None:
    now = datetime(2026, 11, 29, 9, tzinfo=UTC)
    with contextlib.suppress(InvalidInput):
        assert parse_time("at", phrase, now).tzinfo is UTC


@pytest.fixture
def old_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock goes by other rules than its zone has by newer tz data."""
    monkeypatch.setattr("queuectl.system.zones.tz_data", lambda: TzData("2025b", "2026f"))
    monkeypatch.setattr("queuectl.system.local_zone._named", lambda _: "Asia/Tokyo")


@pytest.mark.parametrize("phrase", ["9:00", "2027-01-15 09:00", "2027-01-15T09:00", "now + 1 day"])
@pytest.mark.usefixtures("old_system")
def test_a_local_time_that_the_machine_and_newer_tz_data_read_differently_is_refused(
    phrase: str, zone: SetZone
) -> None:
    zone("Asia/Kolkata")
    with pytest.raises(InvalidInput, match=r"UTC\+0530 by this .* \(2025b\), UTC\+0900 by 2026f"):
        parse_time("at", phrase, local(SUNDAY))


@pytest.mark.parametrize("phrase", ["5m", "now", "now + 2 hours", "9:00 UTC", "2027-01-15T09:00Z"])
@pytest.mark.usefixtures("old_system")
def test_an_instant_or_time_that_passes_is_the_same_by_any_tz_data(
    phrase: str, zone: SetZone
) -> None:
    zone("Asia/Kolkata")
    parse_time("at", phrase, local(SUNDAY))
