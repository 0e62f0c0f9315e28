"""Which instant a phrase means, by a zone's wall clock. The phrases of at(1) mean the same there.

Seconds, minutes and hours are time that passes, whatever the clocks do meanwhile; days, weeks,
months and years are counted in the calendar. A time that the clocks skip lies after the gap, and of
one that comes twice the first is meant.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta, timezone, tzinfo

from queuectl.domain.times import UTC
from queuectl.system.time_refusals import Unreadable
from queuectl.system.time_words import MONTHS, WEEKDAYS, Clock, Date, Phrase, Weekday

_LENGTHS = {
    "second": timedelta(seconds=1), "minute": timedelta(minutes=1), "hour": timedelta(hours=1),
}  # fmt: skip
_MONTHS_IN = {"month": 1, "year": 12}
_MINUTE = timedelta(minutes=1)
_DAYS_IN = {"day": 1, "week": 7}
_NEXT_OF = {Weekday: "week", Date: "year"}
"""Of which unit the next may stand beside a day: `monday next week`, `5 jan next year`."""
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
    _refuse_mixed(phrase)
    zone = _zone_of(phrase.zone)
    # whose day it is today is for the person to say, in whichever zone the time of day is
    local = now.astimezone(zone if phrase.day is None else None)
    clock = _hour_of_24(phrase)
    if phrase.day is None and clock is None:
        if not (phrase.is_now or phrase.shift):
            raise Unreadable("it names neither a day nor a time of day")
        return _shifted(local.replace(tzinfo=None), phrase.shift, zone, now, now)
    shift = phrase.shift
    if phrase.shift_by == "next" and isinstance(phrase.day, Weekday | Date):
        day, shift = _day_of_next(phrase.day, shift or (0, ""), local.date()), None
    else:
        day = _day_of(phrase.day, local, clock, is_past=is_past)
    if phrase.weekday is not None and day.weekday() != phrase.weekday:
        name = WEEKDAYS[day.weekday()].capitalize()
        raise Unreadable(f"{day.day} {MONTHS[day.month - 1].capitalize()} {day.year} is a {name}")
    if clock is None:
        clock = Clock(0) if is_past else Clock(local.hour, local.minute)
    wall = _at(day, clock)
    found = _shifted(wall, shift, zone, now)
    # by the clock on the wall, as at(1) has it; with a length added, by what comes of that
    is_over = wall <= local.replace(tzinfo=None) if shift is None else found <= now
    if phrase.day is None and is_past != is_over:
        found = _shifted(wall + timedelta(days=-1 if is_past else 1), shift, zone, now)
    _check_abbreviation(phrase.zone, found)
    return found


def _refuse_mixed(phrase: Phrase) -> None:
    """Raise Unreadable for parts that mean nothing together, or more than one thing."""
    has_clock, has_day = phrase.clock is not None, phrase.day is not None
    if phrase.zone and not has_clock:
        raise Unreadable("a zone goes with a time of day", f"'14:30 {phrase.zone}'")
    if phrase.shift is None or phrase.shift_by == "+":
        return
    count, unit = phrase.shift
    length = f"{abs(count)} {unit}{'s' if abs(count) > 1 else ''}"
    if unit in _LENGTHS and (has_clock or has_day):
        raise Unreadable(f"a length of time stands beside a {'day' if has_day else 'time of day'}",
                         f"'{'tomorrow' if has_day else 'noon'} + {length}'")  # fmt: skip
    is_next = phrase.shift_by == "next" and unit == _NEXT_OF.get(type(phrase.day))
    if has_day and not is_next:
        raise Unreadable("it says two days", f"a date, or 'monday + {length}'")


def _day_of_next(day: Weekday | Date, shift: tuple[int, str], today: date) -> date:
    """Return the day of next week that is a weekday, or a date of next year.

    Weeks begin on Monday or Sunday: what differs by that can mean two days, and is refused.
    """
    if isinstance(day, Date):
        return _date(day.day, day.month, today.year + shift[0])
    monday = today - timedelta(days=today.weekday()) + timedelta(weeks=shift[0])
    sunday = today - timedelta(days=today.isoweekday() % 7) + timedelta(weeks=shift[0])
    found = monday + timedelta(days=day.number)
    other = sunday + timedelta(days=(day.number + 1) % 7)
    if found != other:
        raise Unreadable(f"that day can be {other} or {found}, as weeks begin", f"'{found}'")
    return found


def _at(day: date, clock: Clock) -> datetime:
    """Return a time of day of a day; 24:00 is the beginning of the next."""
    start = datetime(day.year, day.month, day.day)  # a wall clock's
    return start + timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)


def _instant(wall: datetime, zone: tzinfo | None, now: datetime) -> datetime:
    """Return the instant at which the wall clock of a zone (None: the local one) shows a time.

    Of one that comes twice it is the first, but between the two, where the clock has just been set
    back, what is still to be shown.
    """
    first, second = (_reading(wall.replace(fold=fold), zone) for fold in (0, 1))
    shown = now.astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)
    is_between = first + _MINUTE <= now < second + _MINUTE
    return second if is_between and wall >= shown.replace(fold=0) else first


def _reading(wall: datetime, zone: tzinfo | None) -> datetime:
    if zone is not None:
        return wall.replace(tzinfo=zone).astimezone(UTC)
    return datetime.fromtimestamp(wall.timestamp(), UTC)


def _shifted(
    wall: datetime,
    shift: tuple[int, str] | None,
    zone: tzinfo | None,
    now: datetime,
    instant: datetime | None = None,
) -> datetime:
    """Return the instant of a wall clock's time (`instant`, if that is known) and a length."""
    count, unit = shift or (0, "second")
    if unit in _LENGTHS:
        return (instant or _instant(wall, zone, now)) + count * _LENGTHS[unit]
    if unit in _DAYS_IN:
        return _instant(wall + timedelta(days=count * _DAYS_IN[unit]), zone, now)
    months = wall.year * 12 + wall.month - 1 + count * _MONTHS_IN[unit]
    day = _date(wall.day, months % 12 + 1, months // 12)
    return _instant(datetime.combine(day, wall.time()), zone, now)


def _date(day: int, month: int, year: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        if not 1 <= month <= 12:
            raise Unreadable(f"there is no month {month}") from None
        name = MONTHS[month - 1].capitalize()
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


def _check_abbreviation(name: str | None, instant: datetime) -> None:
    """Raise Unreadable for the local zone's summer time in winter, or the other way round."""
    if name in time.tzname and name not in ("UTC", "GMT"):
        in_use = instant.astimezone().tzname()
        if in_use != name:
            raise Unreadable(
                f"it is {in_use} then, not {name}", f"'14:30 {in_use}', or a local time"
            )


def _named_zone(name: str) -> tzinfo:
    from queuectl.system.zones import zone_names, zone_of

    if "/" in name:
        for known in zone_names():
            if known.lower() == name.lower():
                return zone_of(known)
    raise Unreadable(f"'{name}' is no zone; name it as Europe/Berlin is")
