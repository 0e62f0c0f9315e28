"""When the hours come in which a job may start, by a zone's clock.

A time that the clock skips is when it jumps. Of one that comes twice the first begins hours and the
second ends them, so that they are never cut in two.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from queuectl.domain.opening_hours import Hours, parse_hours
from queuectl.domain.times import UTC
from queuectl.system.local_zone import local_zone
from queuectl.system.zones import change_between, zone_of

_DAY = timedelta(days=1)
_WEEKS = 15
"""How many days ahead there must be hours that are not all skipped by a clock."""


def with_zone(field: str, text: str) -> str:
    """Return hours with their zone, the local one where they name none.

    Raises InvalidInput for hours, and for a zone, that are none.
    """
    hours = parse_hours(field, text)
    if not hours.zone:
        hours = hours._replace(zone=local_zone().name)
    zone_of(hours.zone)
    return hours.text


def next_opening(text: str, now: datetime) -> datetime:
    """Return when the hours come that are next, or `now` within them. Raises InvalidInput."""
    hours, zone = _known(text)
    for begin, end in _openings(hours, zone, now):
        if now < end:
            return max(begin, now)
    return now


@lru_cache(maxsize=64)
def _known(text: str) -> tuple[Hours, tzinfo]:
    hours = parse_hours("between", text)
    return hours, zone_of(hours.zone or local_zone().name)


def _openings(hours: Hours, zone: tzinfo, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield when hours begin and end, from those of yesterday on."""
    today = now.astimezone(zone).date()
    for ahead in range(-1, _WEEKS):
        day = today + ahead * _DAY
        if day.weekday() not in hours.days:
            continue
        last = day + _DAY if hours.end <= hours.begin else day
        begin, end = _instant(day, hours.begin, zone, 0), _instant(last, hours.end, zone, 1)
        if begin < end:
            yield begin, end


def _instant(day: date, minutes: int, zone: tzinfo, fold: int) -> datetime:
    """Return when a zone's clock shows a time; with `fold` 1 the second time, if there are two."""
    local = datetime.combine(day + minutes // (24 * 60) * _DAY, time(), zone)
    local = local.replace(hour=minutes // 60 % 24, minute=minutes % 60, fold=fold)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    return change_between(zone, instant - _DAY, instant + _DAY)
