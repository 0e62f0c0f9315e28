"""Changes of many jobs in a few commands, for what people do to all that fit a filter.

Jobs that change in the same way from the same `rev` share one command, which compares the `_id`,
the `seq` and the `rev` of each. Which of them it changed is read back afterwards: a job that was
written bears the stamp of this call, one that was deleted is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pymongo import ReplaceOne, UpdateMany
from pymongo.errors import BulkWriteError, PyMongoError

from queuectl.domain.job import Job
from queuectl.domain.state_machine import Fence, Transition
from queuectl.stores.mongo.connection import Document, Link, durable
from queuectl.stores.mongo.dead import DEAD, drop_copies, revived, wholes
from queuectl.stores.mongo.documents import fence, new_stamp, update
from queuectl.stores.mongo.errors import is_doubtful
from queuectl.stores.mongo.stats import keep_events


def is_plain(change: Transition) -> bool:
    """Whether one write to `jobs` is all it takes: no run ends, nobody waits for the job."""
    if change.fence is not Fence.REV or change.run is not None or change.to_dead:
        return False
    return not (change.before.has_dependents if change.after is None else change.has_new_blockers)


def apply(link: Link, changes: Sequence[Transition], now: datetime) -> set[str]:
    """Apply plain changes of different jobs; return the ids of those whose fence held."""
    if not changes:
        return set()
    keep_events(link, [change.before.id for change in changes if change.after is None])
    stamp = new_stamp()
    doubt: PyMongoError | None = None
    try:
        for some in link.changes.of(changes):
            _write(link, some, now, stamp)
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise
        doubt = fault
    applied = _applied(link, changes, stamp)
    if doubt is not None and len(applied) < len(changes):
        raise doubt
    left = [each.before for each in changes if each.from_dead and each.before.id in applied]
    drop_copies(link, left)
    return applied


def _write(link: Link, changes: Sequence[Transition], now: datetime, stamp: str) -> None:
    """Send the commands; one that finds a unique key taken leaves out some of its jobs."""
    deleted: dict[tuple[bool, int], list[Transition]] = {}
    updated: dict[str, tuple[Document, list[Transition]]] = {}
    revivals: list[tuple[Transition, Job]] = []
    for change in changes:
        if change.after is None:
            deleted.setdefault((change.from_dead, change.before.rev), []).append(change)
        elif change.from_dead:
            revivals.append((change, change.after))
        else:
            written = update(change, change.after, now, stamp)
            alike = repr((change.before.rev, written))
            updated.setdefault(alike, (written, []))[1].append(change)
    for (is_dead, _), group in deleted.items():
        link.jobs.delete_many({**_fence_of(group), **(DEAD if is_dead else {})})
    updates = [UpdateMany(_fence_of(group), written) for written, group in updated.values()]
    if updates:
        _write_each(link, updates)
    _revive(link, revivals, now, stamp)


def _fence_of(group: Sequence[Transition]) -> Document:
    """Return the filter for jobs as they were read, of one `rev`; no two have the same `seq`."""
    jobs = [change.before for change in group]
    ids, numbers = [job.id for job in jobs], [job.seq for job in jobs]
    return {"_id": {"$in": ids}, "seq": {"$in": numbers}, "rev": jobs[0].rev}


def _revive(
    link: Link, revivals: Sequence[tuple[Transition, Job]], now: datetime, stamp: str
) -> None:
    """Write jobs whole that leave the DLQ; one that has moved meanwhile is left out."""
    if not revivals:
        return
    ids = {"_id": {"$in": [after.id for _, after in revivals]}}
    found = {each["_id"]: each for each in link.jobs.find({**ids, **DEAD})}
    dead = wholes(link, list(found.values()))
    writes = [
        ReplaceOne(
            {**fence(change), **DEAD, "pending_events": found[after.id].get("pending_events")},
            revived(dead[after.id], found[after.id], change, after, now, stamp),
        )
        for change, after in revivals
        if after.id in dead
    ]
    if writes:
        _write_each(link, writes)


def _write_each(link: Link, writes: Sequence[UpdateMany | ReplaceOne[Document]]) -> None:
    with suppress(BulkWriteError):  # of single ones; what is not durable yet is read when it is
        link.jobs.bulk_write(writes, ordered=False)


def _applied(link: Link, changes: Sequence[Transition], stamp: str) -> set[str]:
    certain = durable(link.jobs)
    written = [change.before.id for change in changes if change.after is not None]
    stamped = {"_id": {"$in": written}, "stamp": stamp}
    applied = {found["_id"] for found in certain.find(stamped, {"_id": True})} if written else set()
    deleted = [change.before for change in changes if change.after is None]
    if deleted:
        ids = {"_id": {"$in": [job.id for job in deleted]}}
        left = {(found["_id"], found["seq"]) for found in certain.find(ids, {"seq": True})}
        applied |= {job.id for job in deleted if (job.id, job.seq) not in left}
    return applied
