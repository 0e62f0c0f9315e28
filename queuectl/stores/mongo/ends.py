"""Ends of several runs in one command, each under its own fence.

All of them held, as nearly always, if the server says that it changed so many documents. Else it
is read back which of them it changed: a job that was written bears the stamp of this call, and one
that an earlier try has written has the very run in its history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from queuectl.domain.state_machine import Fence, Transition
from queuectl.stores.mongo.connection import Document, Link, durable
from queuectl.stores.mongo.documents import fence, has_run, new_stamp, update
from queuectl.stores.mongo.errors import is_doubtful


def is_end(change: Transition) -> bool:
    """Whether a change is the end of a run, or of a claim that was not begun."""
    return change.fence is not Fence.REV and change.after is not None


def apply(link: Link, changes: Sequence[Transition], now: datetime) -> set[str]:
    """Apply ends of different jobs; return the ids of those that are applied, by now or before.

    One that the server refuses for a reason is not among them.
    """
    stamp = new_stamp()
    writes = [
        UpdateOne(fence(change), update(change, change.after, now, stamp))
        for change in changes
        if change.after is not None
    ]
    try:
        matched = link.jobs.bulk_write(writes, ordered=False).matched_count
    except PyMongoError as fault:
        if not (isinstance(fault, BulkWriteError) or is_doubtful(fault)):
            raise
        matched = 0
    if matched == len(changes):
        return {change.before.id for change in changes}
    return set(_applied(link, changes, stamp))


def _applied(link: Link, changes: Sequence[Transition], stamp: str) -> Iterator[str]:
    """Yield the ids of jobs that were written by this call, or by an earlier one."""
    ids = {"_id": {"$in": [change.before.id for change in changes]}}
    found: dict[str, list[Document]] = {}
    for place in (link.jobs, link.dlq):
        for each in durable(place).find(ids, {"stamp": True, "history": True}):
            found.setdefault(each["_id"], []).append(each)
    for change in changes:
        documents = found.get(change.before.id, ())
        if any(each.get("stamp") == stamp or has_run(each, change) for each in documents):
            yield change.before.id
