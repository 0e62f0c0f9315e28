"""Cron expressions: what they may be, and when they are due in a time zone.

Clocks that are set forward or back are dealt with as Debian's cron does: a run at a fixed time
that is skipped comes right after the gap, one that would come twice comes once; runs each hour or
oftener follow the time that passes.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.times import UTC

if TYPE_CHECKING:
    from collections.abc import Iterator

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = 5
_LONGEST = 200
_HINT = 'MINUTE HOUR DAY MONTH WEEKDAY, for example "0 3 * * 1-5"; or @hourly, @daily, @weekly'
_TWICE = timedelta(hours=3)
"""Longer than any stretch of time that comes twice when clocks are set back, and than the shift."""

_STRETCHES = tuple(timedelta(hours=hours) for hours in (1, 24, 24 * 8, 24 * 32, 24 * 367))


def local_zone() -> str:
    """Return the name of this machine's time zone; UTC when it has none."""
    from tzlocal import get_localzone_name

    try:
        name = get_localzone_name()
        return "UTC" if name in (None, "Etc/UTC") else check_zone(name)
    except (InvalidInput, LookupError, OSError, ValueError):
        return "UTC"


def check_zone(name: str) -> str:
    """Return the name of a time zone that is known. Raises InvalidInput, with the nearest."""
    _zone(name)
    return name


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        zones = sorted(available_timezones())
        same = [zone for zone in zones if zone.lower() == name.lower()]
        close = f" (did you mean '{same[0]}'?)" if same else nearest(name, zones)
        raise InvalidInput(
            f"unknown time zone {shown(name)}{close}", hint="for example Europe/Berlin or UTC"
        ) from None


class Cron:
    """A cron expression in a time zone. Raises InvalidInput for one that cannot be."""

    def __init__(self, text: str, zone: str) -> None:
        words = _MACROS.get(text.strip().lower(), text).split()
        if len(text) > _LONGEST:
            raise _bad(text, f"is longer than {_LONGEST} characters")
        if len(words) != _FIELDS:
            raise _bad(text, f"has {len(words)} fields, not {_FIELDS}")
        self._text = text
        self._words = " ".join(words)
        self._zone = _zone(zone)
        # a leap year and each weekday of its 29 February come within this time
        if self.following(datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise _bad(text, "is never due")

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants after another at which it is due, in order."""
        from cronsim import CronSim, CronSimError

        try:
            found = CronSim(self._words, instant.astimezone(self._zone))
            for local in found:
                due = local.astimezone(UTC)
                if due > instant:  # a time of day that comes twice may be seen a second time
                    instant = due
                    yield due
        except CronSimError as fault:
            raise _bad(self._text, str(fault).replace("Bad", "has a bad")) from None
        except (OverflowError, ValueError):
            return  # the end of the calendar

    def following(self, instant: datetime) -> datetime | None:
        """Return the first instant after another at which it is due, or None."""
        return next(self.after(instant), None)

    def awaited(self, instant: datetime) -> datetime | None:
        """Return what somebody who has followed the runs for a while awaits after an instant.

        That is `following`, but for an hour that comes twice: there it is not seen a second time.
        """
        return next((due for due in self.after(instant - _TWICE) if due > instant), None)

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


def _bad(text: str, why: str) -> InvalidInput:
    return InvalidInput(f"cron {shown(text)} {why}", hint=_HINT)
