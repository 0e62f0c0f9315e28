"""Writing what a job waits for, without transactions.

`linking` on a document says that its blockers are being written: by which call, since when, and
which they shall be. It is there before they count, and goes when those that have ended are dropped.

- Two edits at one instant must not close a circle. Each is announced, then reads what others wait
  for *or are announced to*, and is written only if its announcement still stands. Of the two, the
  one that is announced later sees the other.
- Parents may have ended before they knew of the child. So they are read again after the write;
  where a crash has come in between, upkeep finds the mark, and does that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta

from pymongo.errors import PyMongoError

from queuectl.domain.dependencies import refuse_circle
from queuectl.domain.job import Job
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import BATCH
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import MAJORITY, Document, Link, one_by_one
from queuectl.stores.mongo.dependents import drop_ended_blockers, with_children_marked
from queuectl.stores.mongo.documents import fence

STALE_SECONDS = 60.0
"""What stands for so long was left by a crash."""

_READ = {"blocked_by": True, "linking": True}


def mark(link: Link, stamp: str, blocked_by: Sequence[str]) -> Document:
    """Return the mark of a call that is about to write these blockers."""
    return {"stamp": stamp, "at": link.now(), "blocked_by": list(blocked_by)}


def announce(link: Link, change: Transition, after: Job, stamp: str) -> Document | None:
    """Announce an edit that adds blockers; return the mark, or None when the job has changed.

    Raises Circle, with the announcement taken back.
    """
    with_children_marked(link, [after])
    announced = mark(link, stamp, after.blocked_by)
    if not link.jobs.update_one(fence(change), {"$set": {"linking": announced}}).matched_count:
        return None
    try:
        refuse_circle(after.id, after.blocked_by, lambda ids: _waiting(link, ids))
    except BaseException:
        withdraw(link, after.id, stamp)
        raise
    return announced


def withdraw(link: Link, job_id: str, stamp: str) -> None:
    """Take a mark away; what fails here is left to upkeep."""
    with suppress(PyMongoError):
        _clear(link, [job_id], stamp)


def finish_linking(link: Link, jobs: Sequence[Job], stamp: str) -> None:
    """Drop blockers that have ended of jobs that one call wrote; clear its marks."""
    linked = [job for job in jobs if job.blocked_by]
    if linked:
        drop_ended_blockers(link, {blocker for job in linked for blocker in job.blocked_by})
        _clear(link, [job.id for job in linked], stamp)


def _clear(link: Link, ids: Sequence[str], stamp: str) -> None:
    for some in link.changes.of(ids):
        marked = {"_id": {"$in": list(some)}, "linking.stamp": stamp}
        link.jobs.update_many(marked, {"$unset": {"linking": ""}})


def _waiting(link: Link, ids: Collection[str]) -> dict[str, list[str]]:
    """Return what jobs wait for, or will once those who announced it have written it."""
    certain = link.jobs.with_options(read_concern=MAJORITY)
    waiting: dict[str, list[str]] = {}
    for found in by_id(certain, list(ids), _READ, link.reads):
        announced = found.get("linking")
        if announced and link.now() - announced["at"] > timedelta(seconds=STALE_SECONDS):
            _finish(link, found)
            announced = None
        waiting[found["_id"]] = [
            *(found.get("blocked_by") or ()), *(announced["blocked_by"] if announced else ()),
        ]  # fmt: skip
    return waiting


def mend(link: Link) -> int:
    """Finish what a crash has left between an edit and its end; return how many there were."""
    old = link.now() - timedelta(seconds=STALE_SECONDS)
    left = list(link.jobs.find({"linking.at": {"$lt": old}}, _READ).limit(BATCH))
    for found in one_by_one(link, left):
        _finish(link, found)
    return len(left)


def _finish(link: Link, found: Document) -> None:
    """Finish one job that bears an old mark, and take that away: its writer comes too late then."""
    drop_ended_blockers(link, found.get("blocked_by") or ())
    _clear(link, [found["_id"]], found["linking"]["stamp"])
    # it may have been written just before
    left = link.jobs.find_one({"_id": found["_id"]}, {"blocked_by": True}) or {}
    drop_ended_blockers(link, left.get("blocked_by") or ())
