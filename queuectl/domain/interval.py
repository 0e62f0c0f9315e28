"""Intervals of schedules: when what comes again after a length of time is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.times import parse_duration

SHORTEST, LONGEST = 60, 366 * 86_400
"""Seconds: the ids of runs have minutes, and what is rarer than yearly is no schedule."""

_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


class Interval:
    """What is due each `seconds` after an anchor, by time that passes, whatever clocks do."""

    def __init__(self, seconds: int, anchor: datetime) -> None:
        self._length = timedelta(seconds=seconds)
        self._anchor = anchor

    def latest(self, instant: datetime) -> datetime:
        """Return the last instant until another at which it is due."""
        return self._anchor + (instant - self._anchor) // self._length * self._length

    def following(self, instant: datetime) -> datetime | None:
        """Return the first instant after another at which it is due; None at the calendar's end."""
        try:
            return self.latest(instant) + self._length
        except OverflowError:
            return None

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants after another at which it is due, in order."""
        while (due := self.following(instant)) is not None:
            yield due
            instant = due


def parse_interval(raw: object) -> int:
    """Return the seconds of `90m`, `36h` or `2 weeks`. Raises InvalidInput."""
    seconds = parse_duration(raw, "every")
    if seconds % 60 or not SHORTEST <= seconds <= LONGEST:
        raise InvalidInput(
            f"every {shown(raw)} must be whole minutes, from one to those of a year",
            hint="for example 5m, 90m, 36h",
        )
    return int(seconds)


def interval_text(seconds: int) -> str:
    """Return an interval as people write it: `1h30m`."""
    parts = []
    for unit, size in _UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)
