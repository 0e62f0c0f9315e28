"""Cron expressions: what they may be, and when they are due in a time zone.

Clocks that are set forward or back are dealt with as Debian's cron does: a run at a fixed time
that is skipped comes right after the gap, one that would come twice comes once; where minute or
hour begin with `*`, a run is due whenever the clock shows its time.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from queuectl.domain.times import UTC
from queuectl.system.cron_text import HINT, five_fields, refusal
from queuectl.system.zones import change_between, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.domain.errors import InvalidInput

_STRETCHES = tuple(timedelta(hours=hours) for hours in (1, 24, 24 * 8, 24 * 32, 24 * 367))
_DAY, _NOTHING = timedelta(days=1), timedelta(0)


class Cron:
    """A cron expression in a time zone. Raises InvalidInput for one that cannot be."""

    def __init__(self, text: str, zone: str) -> None:
        self._text = text
        self._words = five_fields(text)
        self._zone = zone_of(zone)
        minute, hour = self._words.split()[:2]
        self._is_fixed = not (minute.startswith("*") or hour.startswith("*"))
        # a leap year and each weekday of its 29 February come within this time
        if self.following(datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise refusal(text, "is never due")

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants after another at which it is due, in order."""
        walls = self._walls(instant)
        try:
            for due in self._fixed(walls) if self._is_fixed else self._shown(walls):
                if due > instant:
                    instant = due
                    yield due
        except (OverflowError, ValueError):
            return  # the end of the calendar

    def _walls(self, instant: datetime) -> Iterator[datetime]:
        """Yield the times of day, as the clock on the wall shows them, that may be due after.

        The library that reads the expression is kept from zones: where clocks are moved by half
        an hour, it leaves runs out (cronsim 2.8).
        """
        from cronsim import CronSim, CronSimError

        begin = instant.astimezone(self._zone).replace(tzinfo=UTC, fold=0) - self._ahead(instant)
        try:
            yield from CronSim(self._words, begin)
        except CronSimError as fault:
            raise self._refusal(str(fault)) from None

    def _refusal(self, fault: str) -> InvalidInput:
        """Return the refusal of an expression in which the library has found a fault."""
        from cronsim import CronSim, CronSimError

        minute, hour, day, _, weekday = self._words.split()
        try:  # the library names the day also where it is the months that have none such
            CronSim(f"{minute} {hour} {day} * {weekday}", datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError:
            return refusal(self._text, fault.replace("Bad", "has a bad"))
        if "day-of-month" not in fault:
            return refusal(self._text, fault.replace("Bad", "has a bad"))
        hint = f"{HINT}; L is the last day of each month"
        return refusal(self._text, f"is never due: none of its months has a day {day}", hint)

    def _ahead(self, instant: datetime) -> timedelta:
        """Return how far the clock is set back within a day: what it shows then comes again."""
        here, then = instant.astimezone(self._zone), (instant + _DAY).astimezone(self._zone)
        return max((here.utcoffset() or _NOTHING) - (then.utcoffset() or _NOTHING), _NOTHING)

    def _fixed(self, walls: Iterator[datetime]) -> Iterator[datetime]:
        """Yield the instants of times of day, each of them once."""
        for wall in walls:
            first, other = _instants(wall, self._zone)
            # where the clock skips a time, its two readings lie on either side of the gap
            yield change_between(self._zone, other, first) if other < first else first

    def _shown(self, walls: Iterator[datetime]) -> Iterator[datetime]:
        """Yield each instant at which the clock shows one of these times, in order."""
        again: deque[datetime] = deque()
        for wall in walls:
            first, other = _instants(wall, self._zone)
            while again and again[0] < first:
                yield again.popleft()
            if other > first:
                again.append(other)
            if other >= first:
                yield first

    def following(self, instant: datetime) -> datetime | None:
        """Return the first instant after another at which it is due, or None."""
        return next(self.after(instant), None)

    def latest(self, instant: datetime) -> datetime | None:
        """Return the last instant until another, of a year or so, at which it was due, or None.

        It looks back further and further, so that an expression of any pace is quick.
        """
        for stretch in _STRETCHES:
            last = None
            for due in self.after(instant - stretch):
                if due > instant:
                    break
                last = due
            if last is not None:
                return last
        return None


def _instants(wall: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return both instants that a time on the wall may mean, by the offset before and after.

    They are the same but where clocks are moved: then the second is the later one of a time that
    comes twice, and the earlier one of a time that is skipped.
    """
    local = wall.replace(tzinfo=zone)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
