"""What happened in MongoDB, and the figures made of it.

An event lies in the job's document in `jobs`, in the array `pending_events`, written by the
update that makes it; once the job is to be deleted, in `events`. New jobs are counted beside the
sequence that numbers them. There are no transactions, so a batch of events that is being recorded
or moved is a document of its own, the only one of its kind, with a number that grows: opened by
compare-and-set, applied, closed. Every figure that it touches notes its number, so anybody may
finish what a crash left open, and nothing is added twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.events import RunFinished
from queuectl.domain.stats import MOST, Figures, Numbers, StatsBucket, from_numbers
from queuectl.domain.times import EPOCH, from_millis, to_millis
from queuectl.stores import components, records, serialization
from queuectl.stores.exchange import PendingEvents
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import (
    Document,
    Documents,
    Link,
    durable,
    in_words,
)
from queuectl.stores.mongo.errors import is_doubtful
from queuectl.stores.mongo.schema import QUEUE_DOT, SEQUENCE, arrival
from queuectl.stores.records import BATCH

_BATCH_ID = "event_batch"
_DUPLICATE = 11000
_TRIES = 100
_OLD = timedelta(minutes=10)
"""After so long nobody counts new jobs for a minute any more, or applies a batch."""

_NAMES = ("id", "seq", "rev")
_NO_PARTS: Document = {
    "events": [], "moved": [], "arrived": [], "numbers": [], "has_kept": False,
}  # fmt: skip


@in_words
class MongoStats(components.Stats):
    """Events and figures."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def pending_events(self, limit: int = BATCH) -> PendingEvents:
        number = finish_batch(self.link)
        first = self.link.meta.find_one({"_id": SEQUENCE}, {"arrivals": True}) or {}
        kept = _oldest(self.link.events, "event", limit)
        events = [
            event for each in kept for event in _readable([each["event"]], each["id"], each["seq"])
        ]
        if len(kept) < limit:
            left = _oldest(self.link.jobs, "pending_events", limit - len(kept))
            events += [event for each in left for event in _events_of(each)]
        events.sort(key=attrgetter("finished_at"))
        return PendingEvents(tuple(events), _arrivals(first), (number, len(kept)))

    def has_pending(self) -> bool:
        batch = self.link.meta.find_one({"_id": _BATCH_ID}, {"is_open": True}) or {}
        if batch.get("is_open"):
            return True  # whoever has the turn finishes it: this one may be at it now
        return bool(
            _oldest(self.link.jobs, "pending_events", 1)
            or _oldest(self.link.events, "event", 1)
            or _arrivals(self.link.meta.find_one({"_id": SEQUENCE}, {"arrivals": True}) or {})
        )

    def record(self, events: PendingEvents, numbers: Mapping[StatsBucket, Numbers]) -> bool:
        finished = [_named(event) for event in events.finished]
        arrived = [[queue, minute, jobs] for (queue, minute), jobs in events.enqueued.items()]
        added = [[*bucket, dict(each)] for bucket, each in numbers.items()]
        number, kept = events.token
        batch = {"events": finished, "arrived": arrived, "numbers": added, "has_kept": kept > 0}
        return _do_batch(self.link, number, batch)

    def figures(self, since: datetime) -> dict[StatsBucket, Figures]:
        found = self.link.figures.find({"minute": {"$gte": since}})
        return {(each["queue"], each["minute"]): _figures(each) for each in found}

    def totals(self) -> dict[str, Figures]:
        return {each["_id"]: _figures(each) for each in self.link.totals.find()}

    def forget(self, before: datetime, limit: int = BATCH) -> int:
        old = self.link.figures.find({"minute": {"$lt": before}}, {"_id": True})
        ids = [each["_id"] for each in old.sort("minute", 1).limit(limit)]
        return sum(
            self.link.figures.delete_many({"_id": {"$in": list(some)}}).deleted_count
            for some in self.link.changes.of(ids)
        )


def keep_events(link: Link, ids: Sequence[str]) -> None:
    """Move the pending events of jobs that are to be deleted to where they outlive them.

    That is a batch too, so nobody records meanwhile what is moved. An event that comes later
    changes the `rev` of its job. Raises StoreUnavailable.
    """
    if not _pending(link, ids):
        return  # as nearly always
    for _ in range(_TRIES):
        number = finish_batch(link)
        moved = [
            {**_named(event), "event": records.event_to_document(event)}
            for each in _pending(link, ids)
            for event in _events_of(each)
        ]
        if not moved:
            return
        _do_batch(link, number, {"moved": moved[:BATCH]})
    raise StoreUnavailable("what the jobs have been through cannot be kept; try again")


def _pending(link: Link, ids: Sequence[str]) -> list[Document]:
    has_some = {"pending_events": {"$exists": True}}
    return by_id(link.jobs, ids, {"pending_events": True, "seq": True}, link.reads, has_some)


def _do_batch(link: Link, number: int, parts: Document) -> bool:
    """Open the batch after one of a number, and apply it; False when somebody else was faster."""
    batch = {**_NO_PARTS, **parts, "number": number + 1, "is_open": True}
    unchanged = {"_id": _BATCH_ID, "number": number, "is_open": False}
    if not link.meta.update_one(unchanged, {"$set": batch}).matched_count:
        return False
    _apply(link, batch)
    return True


def finish_batch(link: Link) -> int:
    """Apply a batch that a crash left open; return the number of the latest one."""
    batch = durable(link.meta).find_one({"_id": _BATCH_ID})
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
    _add(link, link.figures, minutes, number)
    _add(link, link.totals, queues, number)
    _forget_arrivals(link, batch)
    moved = batch.get("moved", [])
    _keep_moved(link, moved)
    _forget_events(link, [*batch["events"], *moved])
    if batch.get("has_kept"):
        _forget_kept(link, batch["events"])
    closed = {**_NO_PARTS, "is_open": False}
    link.meta.update_one({"_id": _BATCH_ID, "number": number}, {"$set": closed})


def _additions(batch: Mapping[str, Any]) -> tuple[dict[str, Document], dict[str, Document]]:
    """Return the updates that a batch means for minutes and for queues, by document."""
    minutes: dict[str, Document] = {}
    queues: dict[str, Document] = {}
    for queue, minute, numbers in batch["numbers"]:
        added = {f"numbers.{name}": n for name, n in numbers.items() if not name.endswith(MOST)}
        most = {f"numbers.{name}": n for name, n in numbers.items() if name.endswith(MOST)}
        minutes[f"{to_millis(minute)} {queue}"] = {
            "$inc": added,
            **({"$max": most} if most else {}),
            "$set": {"queue": queue, "minute": minute},
        }
        total = queues.setdefault(queue, {"$inc": {}})
        for name, number in added.items():
            total["$inc"][name] = total["$inc"].get(name, 0) + number
        for name, number in most.items():
            greatest = total.setdefault("$max", {})
            greatest[name] = max(greatest.get(name, 0), number)
    return minutes, queues


def _add(link: Link, place: Documents, updates: Mapping[str, Document], number: int) -> None:
    """Update documents that no batch of this number or a later one has updated."""
    statements = []
    for key, update in updates.items():
        noted = {**update, "$set": {**update.get("$set", {}), "batch": number}}
        statements.append(UpdateOne({"_id": key, "batch": {"$lt": number}}, noted, upsert=True))
    for some in link.changes.of(statements):
        try:
            place.bulk_write(some, ordered=False)
        except BulkWriteError as fault:
            errors = fault.details.get("writeErrors", [])
            if is_doubtful(fault) or any(error["code"] != _DUPLICATE for error in errors):
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


def _keep_moved(link: Link, moved: Sequence[Document]) -> None:
    """Keep events beside the jobs; what has been recorded since stays so."""
    link.write_all(
        link.events,
        [
            UpdateOne(
                {"_id": _key(each)},
                {"$setOnInsert": {"id": each["id"], "seq": each["seq"], "event": each["event"]}},
                upsert=True,
            )
            for each in moved
        ],
    )


def _forget_kept(link: Link, events: Sequence[Document]) -> None:
    """Empty the documents of kept events, which stay for as long as somebody may move them yet."""
    now = link.now()
    for some in link.changes.of([_key(each) for each in events]):
        recorded = {"$set": {"recorded_at": now}, "$unset": {"event": ""}}
        link.events.update_many({"_id": {"$in": list(some)}}, recorded)
    link.events.delete_many({"recorded_at": {"$lt": now - _OLD}})


def _forget_events(link: Link, events: list[Document]) -> None:
    """Take off the events that are recorded: most often all that a job has."""
    found = []
    for (job_id, seq), group in groupby(
        sorted(events, key=itemgetter(*_NAMES)), itemgetter("id", "seq")
    ):
        revs = [each["rev"] for each in group]
        found.append((job_id, seq, revs))
    found.sort(key=lambda each: (len(each[2]), each[2][-1]))  # alike ones go together
    for some in link.changes.of(found):
        whole = [
            UpdateMany(
                {
                    "_id": {"$in": [job_id for job_id, _, _ in alike]},
                    "seq": {"$in": [seq for _, seq, _ in alike]},  # not one that has the id now
                    "pending_events.rev": rev,
                    "pending_events": {"$size": size},
                },
                {"$unset": {"pending_events": ""}},
            )
            for (size, rev), group in groupby(some, lambda each: (len(each[2]), each[2][-1]))
            for alike in (list(group),)
        ]
        done = link.jobs.bulk_write(whole, ordered=False)
        if done.matched_count < len(some):  # runs have ended since, or somebody was faster
            rest = [
                UpdateOne(
                    {"_id": job_id, "seq": seq, "pending_events.rev": revs[-1]},
                    {"$pull": {"pending_events": {"rev": {"$lte": revs[-1]}}}},
                )
                for job_id, seq, revs in some
            ]
            link.jobs.bulk_write(rest, ordered=False)


def _named(event: RunFinished) -> Document:
    return {"id": event.job_id, "seq": event.seq, "rev": event.rev}


def _key(named: Document) -> str:
    return f"{named['seq']}.{named['rev']}"


def _oldest(place: Documents, field: str, limit: int) -> list[Document]:
    """Return the documents with the events in a field that happened first."""
    finished_at = f"{field}.finished_at"
    found = place.find({finished_at: {"$gt": EPOCH}}, {field: True, "id": True, "seq": True})
    return list(found.sort(finished_at, 1).limit(limit))


def _events_of(document: Document) -> list[RunFinished]:
    """Return the events in the document of a job; what cannot be read is passed over, noted."""
    return _readable(document["pending_events"], document["_id"], document["seq"])


def _readable(entries: Iterable[Document], job_id: str, seq: int) -> list[RunFinished]:
    events = []
    for entry in entries:
        try:
            events.append(records.event_from_document(entry, job_id, seq))
        except serialization.UNREADABLE:
            serialization.note_unreadable("jobs", job_id)
    return events


def _arrivals(sequence: Document) -> dict[StatsBucket, int]:
    return {
        (name.replace(QUEUE_DOT, "."), from_millis(int(minute))): jobs
        for minute, queues in sequence.get("arrivals", {}).items()
        for name, jobs in queues.items()
        if jobs
    }


def _figures(document: Document) -> Figures:
    return from_numbers(document.get("numbers", {}))
