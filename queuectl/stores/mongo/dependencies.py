"""Writing what a job waits for, without transactions.

Before children are written their parents are marked, so that whoever finishes one of these leaves
a mark too (`dependents`). `linking` on a document says that its blockers are being written: by
which call, since when, and which they shall be. It is there before they count, and goes when those
that have ended are dropped.

- Two edits at one instant must not close a circle. Each is announced, then reads what others wait
  for *or are announced to*, and is written only if its announcement still stands. Of the two, the
  one that is announced later sees the other.
- Parents may have ended before they knew of the child. So they are read again after the write;
  where a crash has come in between, `repair` finds the mark, and does that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from pymongo.errors import PyMongoError

from queuectl.domain.dependencies import parents_in, refuse_circle
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import SETTLED, WAITING, Job
from queuectl.domain.state_machine import Transition
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import Document, Link, durable, one_by_one
from queuectl.stores.mongo.dependents import drop_ended_blockers
from queuectl.stores.mongo.documents import fence
from queuectl.stores.records import BATCH

STALE_SECONDS = 60.0
"""What stands for so long was left by a crash."""

_READ = {"blocked_by": True, "linking": True}
_TRIES = 20
_WAITING = sorted(state.value for state in WAITING)
_SETTLED = sorted(state.value for state in SETTLED)
_MARKED = {"$set": {"has_dependents": True}}


def with_children_marked(link: Link, jobs: Sequence[Job]) -> list[Job]:
    """Mark the parents of new jobs, here and in the store; return the jobs to insert."""
    wanted = {parent for job in jobs for parent in parents_in(job.blocked_by)}
    for some in link.changes.of(sorted(wanted)):
        _mark(link, some)
    return [replace(job, has_dependents=True) if job.id in wanted else job for job in jobs]


def _mark(link: Link, parents: Sequence[str]) -> None:
    """Mark parents as such. Raises StoreUnavailable."""
    unmarked = {"_id": {"$in": list(parents)}, "has_dependents": {"$ne": True}}
    for _ in range(_TRIES):
        # a change that was decided on a waiting job without children must be decided again
        link.jobs.update_many(
            {**unmarked, "state": {"$in": _WAITING}}, {**_MARKED, "$inc": {"rev": 1}}
        )
        link.jobs.update_many({**unmarked, "state": {"$nin": _WAITING}}, _MARKED)
        if link.jobs.find_one(unmarked, {"_id": True}) is None:
            link.dlq.update_many(unmarked, _MARKED)
            return
    raise StoreUnavailable("the jobs to wait for change too fast; try again")


def mark_parents_of_restored(link: Link, jobs: Sequence[Job]) -> None:
    """Mark the parents of restored jobs that are here; those that have ended notify them."""
    wanted = sorted({parent for job in jobs for parent in parents_in(job.blocked_by)})
    for some in link.changes.of(wanted):
        _mark(link, some)  # first: one that ends from now on leaves the mark by itself
        ended = {"_id": {"$in": list(some)}, "state": {"$in": _SETTLED}}
        link.jobs.update_many(ended, {"$set": {"children_pending": True}})


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
    """Take a mark away; what fails here is left to `repair`."""
    with suppress(PyMongoError):
        _clear(link, [job_id], stamp)


def finish_linking(link: Link, jobs: Sequence[Job], stamp: str) -> None:
    """Drop blockers that have ended of jobs that one call wrote; clear its marks."""
    linked = [job for job in jobs if parents_in(job.blocked_by)]
    if linked:
        drop_ended_blockers(link, {blocker for job in linked for blocker in job.blocked_by})
        _clear(link, [job.id for job in linked], stamp)


def _clear(link: Link, ids: Sequence[str], stamp: str) -> None:
    for some in link.changes.of(ids):
        marked = {"_id": {"$in": list(some)}, "linking.stamp": stamp}
        link.jobs.update_many(marked, {"$unset": {"linking": ""}})


def _waiting(link: Link, ids: Collection[str]) -> dict[str, list[str]]:
    """Return what jobs wait for, or will once those who announced it have written it."""
    waiting: dict[str, list[str]] = {}
    for found in by_id(durable(link.jobs), list(ids), _READ, link.reads):
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
