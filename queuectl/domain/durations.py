"""How long, as people write it: `90`, `5m`, `1h30m`, `2 days`."""

from __future__ import annotations

import re

from queuectl.domain.errors import InvalidInput, shown

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
    total, end = 0.0, 0
    match = re.compile(_PART).match  # not before, as most commands read no duration
    while part := match(text, end):
        unit = next(unit for unit in _UNITS if part.group(unit))
        total += float(part.group("number")) * _UNITS[unit]
        end = part.end()
    if end == 0 or end != len(text):
        raise _no_duration(name, text)
    return total


def _no_duration(name: str, raw: object) -> InvalidInput:
    return InvalidInput(f"{name} {shown(raw)} is not a duration", hint="for example 30s, 5m, 1h30m")
