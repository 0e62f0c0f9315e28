"""Why jobs wait: of one, and of those that have waited too long, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from queuectl.domain.frozen import frozen
from queuectl.domain.job import WAITING, Job
from queuectl.domain.query import Filter, Page
from queuectl.domain.times import iso
from queuectl.domain.views import WaitContext, reason
from queuectl.presentation.columns import seconds_between
from queuectl.queue import Queue

MOMENT = "\x1f"
"""Stands around a time in a reason, so that the page can show it in the reader's own zone."""

LOOKED_AT = 300
_PATIENCE_SECONDS = 5.0
_MOST_GROUPS = 6


@frozen
class Stuck:
    """Jobs that wait for the same reason; `first` has waited longest, since `since`.

    There may be more than `number` where `is_cut`: only the oldest that wait were looked at.
    """

    reason: str
    number: int
    first: Job
    since: datetime
    is_cut: bool


def why(queue: Queue) -> Callable[[Job], str]:
    """Return what tells why a job waits, as things stand now; nothing for one that does not."""
    now, wait_context = queue.now(), queue.wait_context()
    return lambda job: _reason(job, now, wait_context)


def _reason(job: Job, now: datetime, wait_context: WaitContext) -> str:
    return reason(job, now, lambda at: f"{MOMENT}{iso(at)}{MOMENT}", wait_context) or ""


def stuck(queue: Queue) -> list[Stuck]:
    """Return why jobs do not start that could, by their time, for all of the oldest that wait."""
    now, wait_context = queue.now(), queue.wait_context()
    groups: dict[str, list[Job]] = {}
    looked_at = list(queue.find(Filter(WAITING), Page(limit=LOOKED_AT)))
    for job in looked_at:
        if told := _held_up(job, now, wait_context):
            groups.setdefault(told, []).append(job)
    is_cut = len(looked_at) == LOOKED_AT
    found = [
        Stuck(told, len(jobs), jobs[0], jobs[0].run_at, is_cut) for told, jobs in groups.items()
    ]
    return sorted(found, key=lambda each: -each.number)[:_MOST_GROUPS]


def _held_up(job: Job, now: datetime, wait_context: WaitContext) -> str:
    """Return what keeps a job from starting now; nothing where it is only early, or just due."""
    told = _reason(job, now, wait_context)
    if job.paused or job.blocked_by:
        return told if job.paused or _is_hopeless(told) else ""
    if not job.is_due(now):
        return ""
    if told != "due" and not told.endswith(" due"):
        return told
    is_late = seconds_between(job.run_at, now) > _PATIENCE_SECONDS
    return "all workers are busy" if is_late else ""


def _is_hopeless(told: str) -> bool:
    """Whether a job waits for one that has ended otherwise, or is gone."""
    return told.endswith(")")
