"""Instants, aware datetimes in UTC with whole milliseconds; and lengths of time in seconds."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from queuectl.domain.errors import InvalidInput, shown

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_DAY = 24 * 60 * 60 * 1000
_EXACT_MILLIS = 1 << 42
"""Until 2109 a float of seconds is exact to the microsecond."""


@lru_cache(maxsize=64)  # jobs that came together share their instants
def from_millis(millis: int) -> datetime:
    """Return the instant `millis` milliseconds after 1970-01-01T00:00Z."""
    if 0 <= millis < _EXACT_MILLIS:
        return datetime.fromtimestamp(millis / 1000, UTC)  # a third of the time
    return EPOCH + timedelta(milliseconds=millis)


def to_millis(instant: datetime) -> int:
    """Return whole milliseconds since 1970-01-01T00:00Z, rounded down."""
    since = instant - EPOCH  # dividing it would take three times as long
    return since.days * _DAY + since.seconds * 1000 + since.microseconds // 1000


def whole_millis(instant: datetime) -> datetime:
    """Return the instant in UTC, cut to milliseconds, as every store keeps it."""
    instant = instant.astimezone(UTC)
    return instant - timedelta(microseconds=instant.microsecond % 1000)


def later(instant: datetime, seconds: float) -> datetime:
    """Return the instant `seconds` later, no later than the year 9999."""
    room = (LATEST - instant).total_seconds()
    if seconds >= room:
        return LATEST
    return whole_millis(instant + timedelta(seconds=seconds))


def iso(instant: datetime) -> str:
    """Return `2026-01-31T12:00:00.000Z`."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_or_none(instant: datetime | None) -> str | None:
    """Return an instant as `iso` does, and None as it is."""
    return iso(instant) if instant else None


def backoff_seconds(
    base: float, attempts: int, cap: float, jitter: float = 0.0, luck: float = 0.0
) -> float:
    """Return the wait before the next attempt: min(base ** attempts, cap) * (1 - jitter * luck).

    That is exponential backoff, in seconds; `attempts` counts those already made, so base 2 waits
    2, 4, 8 … seconds. `jitter` is the share of the wait, from 0 to 1, that is left to `luck`, a
    number from 0 to 1 which differs from job to job: 0 is none, and 1 is what is called full
    jitter. Large powers are compared through logarithms and never overflow.
    """
    return _backoff(base, attempts, cap) * (1 - jitter * luck)


def luck_of(job_id: str, attempts: int) -> float:
    """Return a number from 0 to 1 by which retries are spread; the same for the same attempt."""
    from zlib import crc32

    # a product scatters what a checksum of similar ids leaves close together (Knuth, 6.4)
    return crc32(f"{attempts}:{job_id}".encode()) * 2_654_435_769 % 2**32 / 2**32


def _backoff(base: float, attempts: int, cap: float) -> float:
    if attempts <= 0 or base <= 0:
        return min(1.0 if attempts <= 0 else 0.0, cap)
    if base > 1 and cap > 0 and attempts * math.log(base) > math.log(cap) + 1:
        return cap
    try:
        return min(float(base) ** attempts, cap)
    except OverflowError:
        return cap


def short_seconds(seconds: float) -> str:
    """Return a number of seconds as people write it: `10s`, `1.5s`."""
    return f"{seconds:g}s"


_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WORDS = {
    "w": "w|weeks?",
    "d": "d|days?",
    "h": "h|hrs?|hours?",
    "m": "m|mins?|minutes?",
    "s": "s|secs?|seconds?",
    "ms": "ms|millis|milliseconds?",
}
_PART = (
    r"(?i)(?P<number>\d+(?:\.\d+)?)\s*(?:"
    + "|".join(f"(?P<{unit}>{words})" for unit, words in _WORDS.items())
    + r")(?![^\W\d])[\s,]*(?:and\s+)?"
)
MAX_SECONDS = 100 * 366 * 86_400.0


def parse_duration(raw: object, name: str = "duration") -> float:
    """Return seconds from a number or from text such as `90`, `5m`, `1h30m`, `2 days`.

    Raises InvalidInput when it is none, negative, or more than a hundred years.
    """
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        seconds = raw
    elif isinstance(raw, str):
        seconds = _seconds(raw.strip(), name)
    else:
        raise _no_duration(name, raw)
    if not 0 <= seconds <= MAX_SECONDS:
        raise InvalidInput(f"{name} {shown(raw)} must be between 0 and a hundred years")
    return float(seconds)


def _seconds(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    total, end, units = 0.0, 0, set[str]()
    match = re.compile(_PART).match  # not before, as most commands read no duration
    while part := match(text, end):
        unit = next(unit for unit in _UNITS if part.group(unit))
        if unit in units:
            raise InvalidInput(f"{name} {shown(text)} has two lengths of '{unit}'")
        units.add(unit)
        total += float(part.group("number")) * _UNITS[unit]
        end = part.end()
    if end == 0 or end != len(text):
        raise _no_duration(name, text)
    if units == {"m"} and text.endswith("M"):
        why = f"{name} {shown(text)} can be minutes or months"
        raise InvalidInput(why, hint="write 5m for minutes, 30d for a month")
    return total


def _no_duration(name: str, raw: object) -> InvalidInput:
    return InvalidInput(f"{name} {shown(raw)} is not a duration", hint="for example 30s, 5m, 1h30m")
