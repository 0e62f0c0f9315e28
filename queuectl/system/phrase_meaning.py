"""Which instant a phrase means, by a zone's wall clock. The phrases of at(1) mean the same there.

Seconds, minutes and hours are time that passes, whatever the clocks do meanwhile; days, weeks,
months and years are counted in the calendar. A time that the clocks skip lies after the gap, and of
one that comes twice the first is meant.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta, timezone, tzinfo

from queuectl.domain.times import UTC
from queuectl.system.time_words import MONTHS, Clock, Date, Phrase, Unreadable, Weekday

_LENGTHS = {
    "second": timedelta(seconds=1), "minute": timedelta(minutes=1), "hour": timedelta(hours=1),
}  # fmt: skip
_MONTHS_IN = {"month": 1, "year": 12}
_DAYS_IN = {"day": 1, "week": 7}
_HOURS_OF = {
    "morning": range(12), "afternoon": range(12, 19), "evening": range(16, 24),
    "night": range(18, 24),
}  # fmt: skip
"""Which hours a part of the day has."""


def instant_of(phrase: Phrase, now: datetime, *, is_past: bool = False) -> datetime:
    """Return the instant, in UTC, that a phrase means at `now`: the next such, or the last one.

    A time of day alone is the next one (the last if `is_past`), and a day alone is at this time of
    day, as at(1) has it (if `is_past`, it is the beginning of the day). Raises Unreadable.
    """
    zone = _zone_of(phrase.zone)
    # whose day it is today is for the person to say, in whichever zone the time of day is
    local = now.astimezone(zone if phrase.day is None else None)
    clock = _hour_of_24(phrase)
    if phrase.day is None and clock is None:
        if not (phrase.is_now or phrase.shift):
            raise Unreadable("it names neither a day nor a time of day")
        return _shifted(local.replace(tzinfo=None), phrase.shift, zone, now)
    day = _day_of(phrase.day, local, clock, is_past=is_past)
    if clock is None:
        clock = Clock(0) if is_past else Clock(local.hour, local.minute)
    wall = _at(day, clock)
    found = _shifted(wall, phrase.shift, zone)
    if phrase.day is None and is_past != (found <= now):
        return _shifted(wall + timedelta(days=-1 if is_past else 1), phrase.shift, zone)
    return found


def _at(day: date, clock: Clock) -> datetime:
    """Return a time of day of a day; 24:00 is the beginning of the next."""
    start = datetime(day.year, day.month, day.day)  # a wall clock's
    return start + timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)


def _instant(wall: datetime, zone: tzinfo | None) -> datetime:
    """Return the instant at which the wall clock of a zone (None: the local one) shows a time."""
    if zone is not None:
        return wall.replace(tzinfo=zone).astimezone(UTC)
    return datetime.fromtimestamp(wall.timestamp(), UTC)


def _shifted(
    wall: datetime,
    shift: tuple[int, str] | None,
    zone: tzinfo | None,
    instant: datetime | None = None,
) -> datetime:
    """Return the instant of a wall clock's time (`instant`, if that is known) and a length."""
    count, unit = shift or (0, "second")
    if unit in _LENGTHS:
        return (instant or _instant(wall, zone)) + count * _LENGTHS[unit]
    if unit in _DAYS_IN:
        return _instant(wall + timedelta(days=count * _DAYS_IN[unit]), zone)
    months = wall.year * 12 + wall.month - 1 + count * _MONTHS_IN[unit]
    day = _date(wall.day, months % 12 + 1, months // 12)
    return _instant(datetime.combine(day, wall.time()), zone)


def _date(day: int, month: int, year: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        name = MONTHS[month - 1].capitalize() if 1 <= month <= 12 else f"month {month}"
        raise Unreadable(f"there is no {day} {name} {year}") from None


def _hour_of_24(phrase: Phrase) -> Clock | None:
    """Return the time of day that is meant, as one of 24 hours."""
    clock = phrase.clock
    if clock is None:
        if phrase.part:
            raise Unreadable("it names no time of day")
        return None
    said = f"{clock.hour}:{clock.minute:02}"
    if phrase.meridiem:
        if not 1 <= clock.hour <= 12:
            raise Unreadable(f"there is no {said} {phrase.meridiem}m")
        hour = clock.hour % 12 + (12 if phrase.meridiem == "p" else 0)
        clock = clock._replace(hour=hour, is_exact=True)
    if phrase.part is None:
        return clock
    if phrase.part == "night" and clock[:2] == (0, 0):
        return clock._replace(hour=24)  # the midnight that ends the day
    hours = {clock.hour} if clock.is_exact else {clock.hour, clock.hour + 12}
    fitting = [hour for hour in hours if hour in _HOURS_OF[phrase.part]]
    if len(fitting) != 1:
        raise Unreadable(f"{said} is no time of the {phrase.part}")
    return clock._replace(hour=fitting[0])


def _day_of(
    day: int | Date | Weekday | None, local: datetime, clock: Clock | None, *, is_past: bool
) -> date:
    today = local.date()
    if isinstance(day, Weekday):
        return today + timedelta(days=_days_until(day, local, clock, is_past=is_past))
    if isinstance(day, Date):
        return _date_of(day, today, is_past=is_past)
    return today + timedelta(days=day or 0)


def _days_until(day: Weekday, local: datetime, clock: Clock | None, *, is_past: bool) -> int:
    """Return how many days from today a weekday is meant to be."""
    ahead = (day.number - local.weekday()) % 7
    is_back = is_past or day.which == "last"
    if ahead:
        return ahead - 7 if is_back else ahead
    if day.which == "this":
        if clock is None:
            raise Unreadable("that day is today; say a time of day, or 'next'")
        return 0
    if not is_back:
        return 7
    is_over = clock is None or clock[:3] <= (local.hour, local.minute, local.second)
    return 0 if is_over and not day.which else -7


def _date_of(day: Date, today: date, *, is_past: bool) -> date:
    """Return a day of the calendar; without a year, the next such or the last."""
    if day.year is not None:
        return _date(day.day, day.month, day.year)
    found = (day.month, day.day)
    this = (today.month, today.day)
    is_over = found > this if is_past else found < this
    step = (-1 if is_past else 1) if is_over else 0
    return _date(day.day, day.month, today.year + step)


def _zone_of(name: str | None) -> tzinfo | None:
    """Return the zone of a name or an offset; None is the local one. Raises Unreadable."""
    if name is None:
        return None
    if name[0] in "+-":
        digits = name.replace(":", "")
        ahead = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:]))
        return timezone(-ahead if name[0] == "-" else ahead)
    if name.lower() in ("utc", "gmt", "z"):
        return UTC
    if name in time.tzname:
        behind = time.timezone if name == time.tzname[0] else time.altzone
        return timezone(timedelta(seconds=-behind))
    return _named_zone(name)


def _named_zone(name: str) -> tzinfo:
    from queuectl.system.zones import zone_names, zone_of

    if "/" in name:
        for known in zone_names():
            if known.lower() == name.lower():
                return zone_of(known)
    raise Unreadable(f"'{name}' is no zone; name it as Europe/Berlin is")
