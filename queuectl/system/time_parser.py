"""Times and durations as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.times import UTC, later, parse_duration, whole_millis
from queuectl.system.phrase_meaning import instant_of
from queuectl.system.time_phrases import read_phrase
from queuectl.system.time_refusals import Unreadable, no_time

__all__ = ["parse_due", "parse_duration", "parse_time"]

_IN = re.compile(r"^in\s+", re.IGNORECASE)
_BACKWARDS = re.compile(r"(?:in\s+)?-\s*\d", re.IGNORECASE)

_CLOCK = re.compile(r"\d{4}|\d{1,2}\.\d\d")
"""A time of day that looks like a number: `0930`, `9.30`."""

_ISO = re.compile(r"\d{4}-?(?:\d\d-?\d\d|W\d\d(?:-?\d)?)(?:[Tt_ ]\d\d.*)?")
"""What may be ISO 8601. The library takes any sign for the T, also the one of an offset."""

_JUST_NOW = timedelta(minutes=1)
"""What is longer ago is over."""

MAX_TIME_LENGTH = 200
"""Longer words are no time."""


def parse_due(
    kind: str, raw: object, now: datetime, *, month_first: bool | None = None
) -> datetime:
    """Return when a new job is due, as `parse_time` reads it.

    Raises InvalidInput, too, for a time that is over, unless it is an instant with its zone: that
    one was reckoned, and is not misread.
    """
    found = parse_time(kind, raw, now, month_first=month_first)
    if kind == "at" and is_over(found, now) and not _is_exact(raw):
        local = found.astimezone()
        was = f"{local:%a} {local.day} {local:%b %Y %H:%M %Z}"
        raise InvalidInput(
            f"{shown(raw)} is over: it was {was}",
            hint="name a time that is to come; without one the job is due at once",
        )
    return found


def is_over(instant: datetime, now: datetime) -> bool:
    """Whether an instant was before `now`, and not just now."""
    return instant < now - _JUST_NOW


def _is_exact(raw: object) -> bool:
    """Whether what was written is an instant with its zone."""
    if isinstance(raw, datetime):
        return raw.tzinfo is not None
    return isinstance(raw, str) and _iso(raw.strip(), has_zone=True) is not None


def parse_time(
    kind: str, raw: object, now: datetime, *, month_first: bool | None = None
) -> datetime:
    """Return the instant meant by `at` (a time) or `in` (a duration from `now`).

    A time is ISO 8601, a duration, or a phrase ("tomorrow 9:00"); without a zone it is local.
    `month_first` says how a date with slashes is meant that can be read in two ways. Raises
    InvalidInput when it cannot be read.
    """
    if kind == "in":
        return later(now, parse_duration(raw, "delay"))
    try:
        if isinstance(raw, datetime):
            return whole_millis(raw)
        if not isinstance(raw, str) or not 0 < len(raw.strip()) <= MAX_TIME_LENGTH:
            raise _unreadable(raw)
        text = raw.strip()
        if (after := _from_duration(text, now)) is not None:
            return whole_millis(after)
        if (found := _iso(text)) is not None:
            return whole_millis(found if found.tzinfo else _checked(_as_utc(found)))
        phrase = read_phrase(text, month_first=month_first)
        due = instant_of(phrase, now)
        return whole_millis(_checked(due) if phrase.is_local else due)
    except Unreadable as fault:
        raise _unreadable(raw, str(fault), fault.instead) from None
    except (OverflowError, OSError, ValueError):
        raise _unreadable(raw) from None


def parse_past(raw: str, now: datetime) -> datetime:
    """Return the instant that has been, as people say it: a length of time is so long ago.

    A time of day or a weekday alone is the last one. Raises InvalidInput when it cannot be read.
    """
    text = raw.strip()
    try:
        if not 0 < len(text) <= MAX_TIME_LENGTH:
            raise _unreadable(raw)
        found = (
            _from_iso(text)
            or _from_age(text, now)
            or instant_of(read_phrase(text), now, is_past=True)
        )
        return whole_millis(found)
    except Unreadable as fault:
        raise _unreadable(raw, str(fault), fault.instead) from None
    except (OverflowError, OSError, ValueError):
        raise _unreadable(raw) from None


def _from_age(text: str, now: datetime) -> datetime | None:
    try:
        return now - timedelta(seconds=parse_duration(text.removesuffix("ago")))
    except InvalidInput:
        return None


def _checked(instant: datetime) -> datetime:
    """Return the instant of a local time. Raises Unreadable where the clock of the machine is not
    that of its zone, as the system's tz data is old: it is not known which of the two is meant.
    So it is where TZ names no zone, which the C library takes for UTC without a word.
    """
    from queuectl.system.local_zone import differing_zone, misnamed_zone
    from queuectl.system.zones import tz_data, zone_of

    if wrong := misnamed_zone():
        why = f"TZ={shown(wrong)} names no time zone, and the clock is UTC then"
        raise Unreadable(why, "the zone too: '14:30 Europe/Berlin'; or set TZ to one that there is")
    if (name := differing_zone(instant)) is None:
        return instant
    here, there = (f"{instant.astimezone(zone):UTC%z}" for zone in (None, zone_of(name)))
    data = tz_data()
    why = f"then it is {here} by this machine's tz data ({data.system}), {there} by {data.in_use}"
    raise Unreadable(why, f"the zone too: '14:30 {name}'; or an ISO time with its offset")


def _unreadable(raw: object, why: str = "", instead: str = "") -> InvalidInput:
    example = "for example 2030-01-31T14:30, 'tomorrow 9:00', or --in 5m"
    return InvalidInput(
        f"cannot read {shown(raw)} as a time" + (f": {why}" if why else ""),
        hint=f"write {instead}" if instead else example,
    )


def _from_iso(text: str) -> datetime | None:
    found = _iso(text)
    return None if found is None else _as_utc(found)


def _iso(text: str, *, has_zone: bool = False) -> datetime | None:
    """Return an ISO 8601 time as it is written, or None if it is none (or has no zone)."""
    if _ISO.fullmatch(text) is None:
        return None
    if text[-1:] in "zZ":
        text = text[:-1] + "+00:00"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if has_zone and found.tzinfo is None else found


def _from_duration(text: str, now: datetime) -> datetime | None:
    """Read `5m` and `in 5 minutes` as time that passes, whatever the clocks do meanwhile."""
    if _CLOCK.fullmatch(text):
        return None
    length = _IN.sub("", text)
    if length.isdecimal():
        raise no_time(length)
    if _is_number(length) or _BACKWARDS.match(text):
        raise ValueError("a bare number has no unit, and what is to come is no time ago")
    try:
        return now + timedelta(seconds=parse_duration(length))
    except InvalidInput:
        return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _as_utc(found: datetime) -> datetime:
    """Return a local or aware time in UTC; one that the clocks skip lies after the gap."""
    return found.astimezone(UTC) if found.tzinfo else datetime.fromtimestamp(found.timestamp(), UTC)
