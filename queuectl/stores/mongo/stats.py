"""What happened in MongoDB, and the figures made of it.

An event lies in the job's document in `jobs`, in the array `pending_events`, written by the
update that it tells of; new jobs are counted beside the sequence that numbers them. There are no
transactions, so a batch of events that is being recorded is a document of its own, the only one of
its kind, with a number that grows: opened by compare-and-set, applied, closed. Every document that
it touches notes its number, so anybody may finish what a crash left open, and nothing is added
twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from queuectl.domain.events import RunFinished
from queuectl.domain.stats import Figures, Numbers, StatsBucket, from_numbers
from queuectl.domain.times import EPOCH, from_millis, to_millis
from queuectl.stores import records, serialization
from queuectl.stores.base_events import BATCH, PendingEvents
from queuectl.stores.mongo.chunks import Pieces
from queuectl.stores.mongo.connection import MAJORITY, Document, Documents, Link, guarded
from queuectl.stores.mongo.retention import MongoKeeping
from queuectl.stores.mongo.schema import QUEUE_DOT, SEQUENCE, arrival

_BATCH_ID = "event_batch"
_DUPLICATE = 11000
_OLD = timedelta(minutes=10)
"""After so long nobody counts new jobs for a minute any more."""


class MongoFigures(MongoKeeping):
    """The part of `MongoStore` that counts."""

    @guarded
    def pending_events(self, limit: int = BATCH) -> PendingEvents:
        """Return what was not processed yet; see `Store.pending_events`."""
        number = finish_batch(self.link)
        first = self.link.meta.find_one({"_id": SEQUENCE}, {"arrivals": True}) or {}
        kept = {"pending_events.finished_at": {"$gt": EPOCH}}
        fields = {"pending_events": True, "seq": True}
        found = self.link.jobs.find(kept, fields).sort("pending_events.finished_at", 1).limit(limit)
        events = [event for document in found for event in _events(document)]
        return PendingEvents(tuple(events), _arrivals(first), (number, len(events)))

    @guarded
    def record_events(self, events: PendingEvents, numbers: Mapping[StatsBucket, Numbers]) -> bool:
        """Count these events, in a batch of their own; see `Store.record_events`."""
        number = events.token[0]
        batch = {
            "number": number + 1,
            "is_open": True,
            "events": [
                {"id": event.job_id, "seq": event.seq, "rev": event.rev}
                for event in events.finished
            ],
            "arrived": [[queue, minute, jobs] for (queue, minute), jobs in events.enqueued.items()],
            "numbers": [[*place, dict(found)] for place, found in numbers.items()],
        }
        unchanged = {"_id": _BATCH_ID, "number": number, "is_open": False}
        if not self.link.meta.update_one(unchanged, {"$set": batch}).matched_count:
            return False
        _apply(self.link, batch)
        return True

    @guarded
    def figures(self, since: datetime) -> dict[StatsBucket, Figures]:
        """Return the figures of the latest minutes; see `Store.figures`."""
        found = self.link.figures.find({"minute": {"$gte": since}})
        return {(each["queue"], each["minute"]): _figures(each) for each in found}

    @guarded
    def totals(self) -> dict[str, Figures]:
        """Return the figures of each queue; see `Store.totals`."""
        return {each["_id"]: _figures(each) for each in self.link.totals.find()}

    @guarded
    def forget_figures(self, before: datetime, limit: int = BATCH) -> int:
        """Remove the figures of old minutes; see `Store.forget_figures`."""
        old = self.link.figures.find({"minute": {"$lt": before}}, {"_id": True})
        ids = [each["_id"] for each in old.sort("minute", 1).limit(limit)]
        return sum(
            self.link.figures.delete_many({"_id": {"$in": list(some)}}).deleted_count
            for some in self.link.changes.of(ids)
        )


def finish_batch(link: Link) -> int:
    """Apply a batch that a crash left open; return the number of the latest one."""
    certain = link.meta.with_options(read_concern=MAJORITY)
    batch = certain.find_one({"_id": _BATCH_ID})
    if batch is None:
        with suppress(DuplicateKeyError):  # somebody else has just made it
            link.meta.insert_one({"_id": _BATCH_ID, "number": 0, "is_open": False})
        return 0
    if batch["is_open"]:
        _apply(link, batch)
    return int(batch["number"])


def _apply(link: Link, batch: Mapping[str, Any]) -> None:
    """Add, forget, close: each step may be repeated, also by others at the same time."""
    number = batch["number"]
    minutes, queues = _additions(batch)
    _add(link.figures, minutes, number, link.changes)
    _add(link.totals, queues, number, link.changes)
    _forget_arrivals(link, batch)
    _forget_events(link, batch["events"])
    closed = {"is_open": False, "events": [], "arrived": [], "numbers": []}
    link.meta.update_one({"_id": _BATCH_ID, "number": number}, {"$set": closed})


def _additions(batch: Mapping[str, Any]) -> tuple[dict[str, Document], dict[str, Document]]:
    """Return the updates that a batch means for minutes and for queues, by document."""
    minutes: dict[str, Document] = {}
    queues: dict[str, Document] = {}
    for queue, minute, numbers in batch["numbers"]:
        grown = {f"numbers.{name}": number for name, number in numbers.items()}
        minutes[f"{to_millis(minute)} {queue}"] = {
            "$inc": grown,
            "$set": {"queue": queue, "minute": minute},
        }
        total = queues.setdefault(queue, {"$inc": {}})["$inc"]
        for name, number in grown.items():
            total[name] = total.get(name, 0) + number
    return minutes, queues


def _add(place: Documents, updates: Mapping[str, Document], number: int, pieces: Pieces) -> None:
    """Update documents that no batch of this number or a later one has updated."""
    statements = []
    for key, update in updates.items():
        noted = {**update, "$set": {**update.get("$set", {}), "batch": number}}
        statements.append(UpdateOne({"_id": key, "batch": {"$lt": number}}, noted, upsert=True))
    for some in pieces.of(statements):
        try:
            place.bulk_write(some, ordered=False)
        except BulkWriteError as fault:
            errors = fault.details.get("writeErrors", [])
            is_known = all(error["code"] == _DUPLICATE for error in errors)
            if not is_known or fault.details.get("writeConcernErrors"):
                raise  # a duplicate is a document that has been updated already


def _forget_arrivals(link: Link, batch: Mapping[str, Any]) -> None:
    """Take off what is recorded, and drop old minutes of which nothing is left."""
    less = {arrival(queue, minute): -jobs for queue, minute, jobs in batch["arrived"]}
    if not less:
        return
    number = batch["number"]
    unchanged = {"_id": SEQUENCE, "$or": [{"batch": {"$lt": number}}, {"batch": None}]}
    link.meta.update_one(unchanged, {"$inc": less, "$set": {"batch": number}})
    left = (link.meta.find_one({"_id": SEQUENCE}) or {}).get("arrivals", {})
    old = to_millis(link.now() - _OLD)
    done = [
        minute for minute, queues in left.items() if int(minute) < old and not any(queues.values())
    ]
    if done:
        link.meta.update_one({"_id": SEQUENCE}, {"$unset": {f"arrivals.{m}": "" for m in done}})


def _forget_events(link: Link, events: list[Document]) -> None:
    """Take off the events that are recorded: most often all that a job has."""
    found = []
    for (job_id, seq), group in groupby(sorted(events, key=_named), itemgetter("id", "seq")):
        revs = [each["rev"] for each in group]
        found.append(({"_id": job_id, "seq": seq, "pending_events.rev": revs[-1]}, revs))
    for some in link.changes.of(found):
        _forget_of_jobs(link, some)


def _forget_of_jobs(link: Link, found: Sequence[tuple[Document, Sequence[int]]]) -> None:
    whole = [
        UpdateOne(
            {**job, "pending_events": {"$size": len(revs)}}, {"$unset": {"pending_events": ""}}
        )
        for job, revs in found
    ]
    done = link.jobs.bulk_write(whole, ordered=False)
    if done.matched_count < len(whole):  # runs have ended since, or somebody was faster
        rest = [
            UpdateOne(job, {"$pull": {"pending_events": {"rev": {"$lte": revs[-1]}}}})
            for job, revs in found
        ]
        link.jobs.bulk_write(rest, ordered=False)


def _named(events: Document) -> tuple[str, int, int]:
    return events["id"], events["seq"], events["rev"]


def _events(document: Document) -> list[RunFinished]:
    """Return the events in the document of a job; what cannot be read is passed over, noted."""
    found = []
    for entry in document["pending_events"]:
        try:
            found.append(records.event_from_document(entry, document["_id"], document["seq"]))
        except serialization.UNREADABLE:
            serialization.note_unreadable("jobs", document["_id"])
    return found


def _arrivals(sequence: Document) -> dict[StatsBucket, int]:
    return {
        (name.replace(QUEUE_DOT, "."), from_millis(int(minute))): jobs
        for minute, queues in sequence.get("arrivals", {}).items()
        for name, jobs in queues.items()
        if jobs
    }


def _figures(document: Document) -> Figures:
    return from_numbers(document.get("numbers", {}))
