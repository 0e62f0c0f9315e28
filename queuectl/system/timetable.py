"""When a schedule is due: as its cron expression says in its zone, or its interval."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.domain.interval import Interval
from queuectl.domain.schedule import Schedule
from queuectl.system.cron import Cron
from queuectl.system.zones import tz_data


class Timetable(Protocol):
    """The instants at which something is due."""

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield those after an instant, in order."""

    def following(self, instant: datetime) -> datetime | None:
        """Return the first after an instant, or None."""

    def latest(self, instant: datetime) -> datetime | None:
        """Return the last until an instant, or None."""


def timetable_of(schedule: Schedule) -> Timetable:
    """Return when a schedule is due. Raises InvalidInput for what cannot be."""
    if schedule.every is not None:
        return Interval(schedule.every, schedule.anchor or schedule.created_at)
    if schedule.cron is None:
        raise InvalidInput(f"schedule '{schedule.name}' has neither a cron line nor an interval")
    return Cron(schedule.cron, schedule.tz)


def dated(schedule: Schedule) -> Schedule:
    """Return a schedule that notes the tz data of this process, by which it is reckoned next."""
    version = None if schedule.cron is None else tz_data().in_use
    return replace(schedule, tz_version=version or None)
