"""Adding jobs: in pieces, or staged so that a whole batch appears with one write.

A staged job is in `jobs` with the `batch` that brought it, and without `ready`: no worker can
take it, and readers pass over it until the batch's own document says that it is committed.
They ask for that after they have read the jobs, so that they see all of a batch or nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from pymongo.errors import BulkWriteError, PyMongoError

from queuectl.domain.dependencies import holds_turn, parents_in
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job, State
from queuectl.domain.stats import minute_of
from queuectl.stores.mongo import dependencies
from queuectl.stores.mongo.chunks import by_id, change_all
from queuectl.stores.mongo.connection import Document, Link, durable, is_there
from queuectl.stores.mongo.dead import finish_burial
from queuectl.stores.mongo.dependencies import mark_parents_of_restored, with_children_marked
from queuectl.stores.mongo.documents import NEEDS, new_stamp, to_document
from queuectl.stores.mongo.errors import is_doubtful
from queuectl.stores.mongo.schema import SEQUENCE, arrival, take_numbers
from queuectl.stores.records import BATCH

BREATH_SECONDS = 0.005
ABANDONED_SECONDS = 60.0
"""How old an uncommitted batch must be before `mend` removes it."""

KEPT_SECONDS = 3600.0
"""How long the document of a committed batch stays, for readers that began before it."""

_DUPLICATE = 11000
_OPEN, _COMMITTED, _ABORTED = "open", "committed", "aborted"


def add(link: Link, jobs: Sequence[Job], *, atomic: bool) -> frozenset[str]:
    """Insert new jobs as `Store.insert` says; return the ids that are refused."""
    first: dict[str, Job] = {}
    refused = {job.id for job in jobs if first.setdefault(job.id, job) is not job}
    if not first or (atomic and refused):
        return frozenset(refused | (present(link, first) if atomic else set()))
    now = link.now()
    arrivals = _arrivals(first.values(), now)
    number = take_numbers(link, len(first), arrivals)
    marked = with_children_marked(link, list(first.values()))
    numbered = [replace(job, seq=number + index) for index, job in enumerate(marked)]
    stamp = new_stamp()
    documents = [to_document(job, now) for job in numbered]
    for job, document in zip(numbered, documents, strict=True):
        if parents_in(job.blocked_by):
            document["linking"] = dependencies.mark(link, stamp, job.blocked_by)
    if atomic and len(documents) > 1:
        there = _add_staged(link, documents, now)
        missing = list(first.values()) if there else []
    else:
        there = insert(link, documents)
        missing = [job for job_id, job in first.items() if job_id in there]
    if missing:
        less = {field: -jobs for field, jobs in _arrivals(missing, now).items()}
        link.meta.update_one({"_id": SEQUENCE}, {"$inc": less})
    refused |= there
    dependencies.finish_linking(link, numbered, stamp)
    return frozenset(refused)


def restore(link: Link, jobs: Sequence[Job], *, keep_numbers: bool) -> frozenset[str]:
    """Insert whole jobs as `Store.restore` says; return the ids that are refused."""
    first: dict[str, Job] = {}
    refused = {job.id for job in jobs if first.setdefault(job.id, job) is not job}
    if not first:
        return frozenset()
    chosen = list(first.values())
    if keep_numbers:
        highest = max(job.seq for job in chosen)
        link.meta.update_one({"_id": SEQUENCE}, {"$max": {"value": highest}}, upsert=True)
    else:
        number = take_numbers(link, len(chosen))
        chosen = [replace(job, seq=number + index) for index, job in enumerate(chosen)]
    now = link.now()
    documents = [to_document(job, now) for job in chosen]
    for job, document in zip(chosen, documents, strict=True):
        if holds_turn(job):
            document["turn_held"] = f"{job.spec.batch}#r{job.seq}"
    dead = [each for each in documents if each["state"] == State.DEAD.value]
    for document in dead:
        document["moving"] = True
    there = insert(link, documents)
    for document in dead:
        if document["_id"] not in there:
            finish_burial(link, document["_id"])
    if not keep_numbers:
        mark_parents_of_restored(link, [job for job in chosen if job.id not in there])
    return frozenset(refused | there)


def _arrivals(jobs: Iterable[Job], now: datetime) -> Counter[str]:
    """Return how many jobs come to each queue, by the field that counts them."""
    minute = minute_of(now)
    return Counter(arrival(job.spec.queue, minute) for job in jobs)


def present(link: Link, ids: Iterable[str]) -> frozenset[str]:
    """Return those of some ids that jobs have."""
    found = by_id(link.jobs, sorted(ids), {"_id": True}, link.reads)
    return frozenset(each["_id"] for each in found)


def insert(link: Link, documents: list[Document]) -> set[str]:
    """Insert documents in pieces; return the ids that were there before this call."""
    token = new_stamp()
    refused: set[str] = set()
    for number, some in enumerate(link.inserts.of(documents)):
        if number:
            time.sleep(BREATH_SECONDS)
        refused |= _insert_piece(link, [{**document, "token": token} for document in some], token)
    return refused


def _insert_piece(link: Link, piece: list[Document], token: str) -> set[str]:
    """Insert documents in one command; whatever is in doubt is sent once more."""
    try:
        duplicates = _insert_once(link, piece)
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise
        duplicates = _insert_once(link, piece)
    if not duplicates:
        return duplicates
    own = by_id(durable(link.jobs), sorted(duplicates), {"_id": True}, link.reads, {"token": token})
    return duplicates - {each["_id"] for each in own}


def _insert_once(link: Link, piece: list[Document]) -> set[str]:
    try:
        link.jobs.insert_many(piece, ordered=False)
    except BulkWriteError as fault:
        errors = fault.details.get("writeErrors", [])
        if is_doubtful(fault) or any(error["code"] != _DUPLICATE for error in errors):
            raise
        return {error["op"]["_id"] for error in errors}
    return set()


_WITH_NEEDS = "+needs"
"""How the name ends of a batch in which a job needs resources."""


def _add_staged(link: Link, documents: list[Document], now: datetime) -> set[str]:
    batch = new_stamp()
    if any(document["needs"] for document in documents):
        batch += _WITH_NEEDS
    link.batches.insert_one({"_id": batch, "state": _OPEN, "created_at": now})
    for document in documents:
        document.pop("ready", None)
        document["batch"] = batch
    refused: set[str] = set()
    try:
        refused = insert(link, documents)
        if not refused:
            opened = {"_id": batch, "state": _OPEN}
            link.batches.update_one(opened, {"$set": {"state": _COMMITTED}})
    except PyMongoError:
        if _abort(link, batch):
            raise
    if refused:
        _abort(link, batch)
        return refused
    if not _is_committed(link, batch):
        _abort(link, batch)
        raise StoreUnavailable("the batch took too long to write; nothing was stored")
    with suppress(PyMongoError):
        publish(link, batch)  # else `mend` does
    return set()


def _is_committed(link: Link, batch: str) -> bool:
    return is_there(link.batches, {"_id": batch, "state": _COMMITTED})


def _abort(link: Link, batch: str, *, for_good: bool = True) -> bool:
    """Remove a staged batch unless it has been committed; return whether there was any.

    Unless that is for good its document stays: its writer may only be slow, and insert still.
    """
    link.batches.update_one({"_id": batch, "state": _OPEN}, {"$set": {"state": _ABORTED}})
    if _is_committed(link, batch):
        return False
    jobs = change_all(link.jobs, {"batch": batch}, link.changes, link.jobs.delete_many)
    if for_good:
        link.batches.delete_one({"_id": batch, "state": _ABORTED})
    return for_good or jobs > 0


def publish(link: Link, batch: str) -> None:
    """Let workers take the jobs of a committed batch."""
    # blocked ones first: one that is released meanwhile is then free, here or by who released it
    listed: Document = {"$unset": {"batch": ""}}
    due = {"batch": batch, "run_at": {"$lte": link.now()}}
    steps: list[tuple[Document, Document]] = [
        ({"batch": batch, "blocked_by": {"$ne": None}}, listed),
        (due, {**listed, "$set": {"ready": True}}),
        ({"batch": batch}, {**listed, "$set": {"ready": False}}),
    ]
    if batch.endswith(_WITH_NEEDS):
        needy = {**due, "needs_key": {"$ne": None}}
        steps.insert(1, (needy, {**listed, "$set": {"ready": NEEDS}}))
    for where, change in steps:
        publish_some = partial(link.jobs.update_many, update=change)
        change_all(link.jobs, where, link.changes, publish_some)
    link.batches.update_one({"_id": batch}, {"$set": {"published": True}})


def committed(link: Link, batches: Iterable[str]) -> set[str]:
    """Return which of these batches are committed."""
    wanted = sorted(set(batches))
    if not wanted:
        return set()
    found = link.batches.find({"_id": {"$in": wanted}, "state": _COMMITTED}, {"_id": True})
    return {document["_id"] for document in found}


def existing(link: Link, documents: list[Document]) -> list[Document]:
    """Return the documents that readers may see: those that are not only staged."""
    staged_by = {document["batch"] for document in documents if "batch" in document}
    real = committed(link, staged_by)
    return [each for each in documents if "batch" not in each or each["batch"] in real]


def mend(link: Link) -> int:
    """Publish committed batches, remove abandoned ones; return how many were mended."""
    now = link.now()
    return sum(_mend(link, found, now) for found in list(link.batches.find().limit(BATCH)))


def _mend(link: Link, found: Document, now: datetime) -> bool:
    batch, age = found["_id"], now - found["created_at"]
    is_old = age > timedelta(seconds=KEPT_SECONDS)
    if found["state"] != _COMMITTED:
        is_abandoned = age > timedelta(seconds=ABANDONED_SECONDS)
        return is_abandoned and _abort(link, batch, for_good=is_old)
    if not found.get("published"):
        publish(link, batch)
        return True
    if is_old:
        link.batches.delete_one({"_id": batch})
    return False


def unmended(link: Link) -> int:
    """Return how many batches wait for `mend`."""
    old = link.now() - timedelta(seconds=ABANDONED_SECONDS)
    return link.batches.count_documents({"created_at": {"$lt": old}, "published": {"$ne": True}})
