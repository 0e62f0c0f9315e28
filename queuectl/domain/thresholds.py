"""Thresholds: a measure of the whole queue that a hook watches, told when it goes over a limit.

A change is first noted in the hook's record, by compare-and-set, and then told: so a fleet tells
it once, and what a crash left untold is told by whoever looks next.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from queuectl.domain.durations import parse_duration
from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.frozen import frozen
from queuectl.domain.hooks import Hook
from queuectl.domain.times import short_seconds

DLQ_SIZE, OLDEST_DUE_AGE, NO_WORKER = "dlq-size", "oldest-due-age", "no-worker"
MEASURES = (DLQ_SIZE, OLDEST_DUE_AGE, NO_WORKER)

_FORM = re.compile(r"\s*(?P<measure>[a-z-]+)\s*>\s*(?P<limit>.+?)\s*", re.IGNORECASE)
_HINT = 'for example "dlq-size > 100", "oldest-due-age > 10m", "no-worker > 1m"'


@frozen
class Threshold:
    """A measure and its limit: jobs for the size of the DLQ, else seconds."""

    measure: str
    limit: float

    def __str__(self) -> str:
        return f"{self.measure} > {self.shown(self.limit)}"

    def shown(self, value: float) -> str:
        """Return a value of the measure as people read it."""
        return f"{value:g}" if self.measure == DLQ_SIZE else short_seconds(value)


def parse_threshold(text: str) -> Threshold:
    """Return the threshold in `dlq-size > 100` and the like. Raises InvalidInput."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{shown(text)} is not a threshold", hint=_HINT)
    measure = found["measure"].lower()
    if measure not in MEASURES:
        close = nearest(measure, list(MEASURES))
        raise InvalidInput(f"unknown measure {shown(measure)}{close}", hint=_HINT)
    if measure != DLQ_SIZE:
        return Threshold(measure, parse_duration(found["limit"], "limit"))
    if not found["limit"].isdecimal():
        raise InvalidInput(f"limit {shown(found['limit'])} is not a whole number", hint=_HINT)
    return Threshold(measure, float(found["limit"]))


def seen(hook: Hook, has_worker: bool, now: datetime) -> Hook:
    """Return a hook that knows since when no worker lives; itself when nothing has changed."""
    if has_worker == (hook.alone_since is None):
        return hook
    return replace(hook, alone_since=None if has_worker else now, rev=hook.rev + 1)


def judged(hook: Hook, value: float, now: datetime) -> Hook:
    """Return a hook that knows on which side of its limit the measure is.

    It is returned as it is when that is the same side as before, and while its latest change
    has not been told: one after the other.
    """
    is_crossed = value > parse_threshold(hook.when).limit
    if is_crossed == hook.is_crossed or is_owed(hook):
        return hook
    return replace(
        hook,
        is_crossed=is_crossed,
        changes=hook.changes + 1,
        changed_at=now,
        value=value,
        rev=hook.rev + 1,
    )


def is_owed(hook: Hook) -> bool:
    """Whether a change has been noted that has not been told."""
    return hook.told < hook.changes


def told(hook: Hook) -> Hook:
    """Return the hook when its latest change has been handed over for delivery."""
    return replace(hook, told=hook.changes, rev=hook.rev + 1)
