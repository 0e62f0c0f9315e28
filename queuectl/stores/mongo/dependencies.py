"""Writing what a job waits for, without transactions.

`linking` on a document says that its blockers are being written: by which call, since when, and
which they shall be. It is there before they count, and goes when they are settled.

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
from queuectl.stores.mongo.dependents import settle_blockers, with_children_marked
from queuectl.stores.mongo.documents import fence

STALE_SECONDS = 60.0
"""What stands for so long was left by a crash."""

_READ = {"waits_for": True, "linking": True}


def mark(link: Link, stamp: str, waits_for: Sequence[str]) -> Document:
    """Return the mark of a call that is about to write these blockers."""
    return {"stamp": stamp, "at": link.now(), "waits_for": list(waits_for)}


def announce(link: Link, change: Transition, after: Job, stamp: str) -> Document | None:
    """Announce an edit that adds blockers; return the mark, or None when the job has changed.

    Raises Circle, with the announcement taken back.
    """
    with_children_marked(link, [after])
    announced = mark(link, stamp, after.waits_for)
    if not link.jobs.update_one(fence(change), {"$set": {"linking": announced}}).matched_count:
        return None
    try:
        refuse_circle(after.id, after.waits_for, lambda ids: _waiting(link, ids))
    except BaseException:
        withdraw(link, after.id, stamp)
        raise
    return announced


def withdraw(link: Link, job_id: str, stamp: str) -> None:
    """Take a mark away; what fails here is left to upkeep."""
    with suppress(PyMongoError):
        _clear(link, [job_id], stamp)


def settle(link: Link, jobs: Sequence[Job], stamp: str) -> None:
    """Settle the blockers of jobs that one call has written, and take its marks away."""
    linked = [job for job in jobs if job.waits_for]
    if linked:
        settle_blockers(link, {blocker for job in linked for blocker in job.waits_for})
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
            *(found.get("waits_for") or ()), *(announced["waits_for"] if announced else ()),
        ]  # fmt: skip
    return waiting


def mend(link: Link) -> int:
    """Finish what a crash has left between an edit and the settling; return how many there were."""
    old = link.now() - timedelta(seconds=STALE_SECONDS)
    left = list(link.jobs.find({"linking.at": {"$lt": old}}, _READ).limit(BATCH))
    for found in one_by_one(link, left):
        _finish(link, found)
    return len(left)


def _finish(link: Link, found: Document) -> None:
    """Settle one job that bears an old mark, and take that away: its writer comes too late then."""
    settle_blockers(link, found.get("waits_for") or ())
    _clear(link, [found["_id"]], found["linking"]["stamp"])
    # it may have been written just before
    left = link.jobs.find_one({"_id": found["_id"]}, {"waits_for": True}) or {}
    settle_blockers(link, left.get("waits_for") or ())
