"""Times and durations as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.times import UTC, later, parse_duration, whole_millis

__all__ = ["parse_duration", "parse_time"]

_IN = re.compile(r"^in\s+", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:at\s+)?(?P<time>(?:(?:[01]?\d|2[0-3])(?::[0-5]\d){1,2}(?:\s*[ap]m)?"
    r"|\d{1,2}\s*[ap]m|noon|midnight)(?:\s+[a-z]{1,5})?)",
    re.IGNORECASE,
)
"""A time of day alone. dateparser itself mistakes it on the last day of a month."""

_NO_MONTH = re.compile(r"\d{4}([-/.])(?:00|1[3-9]|[2-9]\d)\1\d")
"""A date that begins with its year and has no such month. dateparser would swap month and day."""

_BACKWARDS = re.compile(r"(?:in\s+)?-\s*\d", re.IGNORECASE)

MAX_TIME_LENGTH = 200
"""Longer words are no time, and natural language is slow to read."""


def parse_time(kind: str, raw: object, now: datetime) -> datetime:
    """Return the instant meant by `at` (a time) or `in` (a duration from `now`).

    A time is ISO 8601, a duration, or natural words ("tomorrow 9:00"); without a zone it is
    local. Raises InvalidInput when it cannot be read.
    """
    if kind == "in":
        return later(now, parse_duration(raw, "delay"))
    try:
        if isinstance(raw, datetime):
            return whole_millis(raw)
        if not isinstance(raw, str) or not 0 < len(raw.strip()) <= MAX_TIME_LENGTH:
            raise _unreadable(raw)
        text = raw.strip()
        return whole_millis(_from_iso(text) or _from_duration(text, now) or _from_words(text, now))
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
        found = _from_iso(text) or _from_age(text, now) or _from_words(text, now, is_past=True)
        return whole_millis(found)
    except (OverflowError, OSError, ValueError):
        raise _unreadable(raw) from None


def _from_age(text: str, now: datetime) -> datetime | None:
    try:
        return now - timedelta(seconds=parse_duration(text.removesuffix("ago")))
    except InvalidInput:
        return None


def _unreadable(raw: object) -> InvalidInput:
    return InvalidInput(
        f"cannot read {shown(raw)} as a time",
        hint="for example 2030-01-31T14:30, 'tomorrow 9:00', or --in 5m",
    )


def _from_iso(text: str) -> datetime | None:
    if text[-1:] in "zZ":
        text = text[:-1] + "+00:00"
    try:
        return _as_utc(datetime.fromisoformat(text))
    except ValueError:
        return None


def _from_duration(text: str, now: datetime) -> datetime | None:
    """Read `5m` and `in 5 minutes` as time that passes, whatever the clocks do meanwhile."""
    if _is_number(text) or _BACKWARDS.match(text):
        raise ValueError("a bare number has no unit, and what is to come is no time ago")
    try:
        return now + timedelta(seconds=parse_duration(_IN.sub("", text)))
    except InvalidInput:
        return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_words(text: str, now: datetime, *, is_past: bool = False) -> datetime:
    """Read natural language; a time of day alone is the next one, or the last."""
    if _NO_MONTH.match(text):
        raise ValueError(text)
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return _read(text, now, is_past=is_past)
    today = _read(f"today {clock['time']}", now)
    if is_past:
        return today if today <= now else _read(f"yesterday {clock['time']}", now)
    return today if today > now else _read(f"tomorrow {clock['time']}", now)


def _read(text: str, now: datetime, *, is_past: bool = False) -> datetime:
    """Ask dateparser, which is slow to import and so comes last."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dateparser's own use of the standard library
        import dateparser

        local = now.astimezone()
        found = dateparser.parse(
            text,
            languages=["en"],
            settings={
                "RELATIVE_BASE": local.replace(tzinfo=None),
                "PREFER_DATES_FROM": "past" if is_past else "future",
            },
        )
    if found is None:
        raise ValueError(text)
    return _as_utc(found)


def _as_utc(found: datetime) -> datetime:
    """Return a local or aware time in UTC; one that the clocks skip lies after the gap."""
    return found.astimezone(UTC) if found.tzinfo else datetime.fromtimestamp(found.timestamp(), UTC)
