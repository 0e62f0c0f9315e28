"""What happened in MongoDB, and the figures made of it.

An ending lies in the job's document in `jobs`, in the array `untold`, written by the update that
it tells of; new jobs are counted beside the sequence that numbers them. There are no
transactions, so a telling is a document of its own, the only one of its kind, with a number that
grows: opened by compare-and-set, applied, closed. Every document that it touches notes its
number, so anybody may finish what a crash left open, and nothing is added twice.
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

from queuectl.domain.events import Ending
from queuectl.domain.stats import Figures, Numbers, Place, from_numbers
from queuectl.domain.times import EPOCH, from_millis, to_millis
from queuectl.stores import serialization
from queuectl.stores.base_events import BATCH, Untold
from queuectl.stores.mongo.chunks import Pieces
from queuectl.stores.mongo.connection import MAJORITY, Document, Documents, Link, guarded
from queuectl.stores.mongo.retention import MongoKeeping
from queuectl.stores.mongo.schema import QUEUE_DOT, SEQUENCE, arrival

_TELLING = "telling"
_DUPLICATE = 11000
_OLD = timedelta(minutes=10)
"""After so long nobody counts new jobs for a minute any more."""


class MongoFigures(MongoKeeping):
    """The part of `MongoStore` that counts."""

    @guarded
    def untold(self, limit: int = BATCH) -> Untold:
        """Return what was not told; see `Store.untold`."""
        number = finish_telling(self.link)
        first = self.link.meta.find_one({"_id": SEQUENCE}, {"arrivals": True}) or {}
        kept = {"untold.finished_at": {"$gt": EPOCH}}
        fields = {"untold": True, "seq": True}
        found = self.link.jobs.find(kept, fields).sort("untold.finished_at", 1).limit(limit)
        endings = [ending for document in found for ending in _endings(document)]
        return Untold(tuple(endings), _arrivals(first), (number, len(endings)))

    @guarded
    def tell(self, told: Untold, numbers: Mapping[Place, Numbers]) -> bool:
        """Count what was untold, in a telling; see `Store.tell`."""
        number = told.token[0]
        telling = {
            "number": number + 1,
            "is_open": True,
            "told": [
                {"id": ending.job_id, "seq": ending.seq, "rev": ending.rev}
                for ending in told.endings
            ],
            "arrived": [[queue, minute, jobs] for (queue, minute), jobs in told.enqueued.items()],
            "numbers": [[*place, dict(found)] for place, found in numbers.items()],
        }
        unchanged = {"_id": _TELLING, "number": number, "is_open": False}
        if not self.link.meta.update_one(unchanged, {"$set": telling}).matched_count:
            return False
        _apply(self.link, telling)
        return True

    @guarded
    def figures(self, since: datetime) -> dict[Place, Figures]:
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


def finish_telling(link: Link) -> int:
    """Apply a telling that a crash left open; return the number of the latest one."""
    certain = link.meta.with_options(read_concern=MAJORITY)
    telling = certain.find_one({"_id": _TELLING})
    if telling is None:
        with suppress(DuplicateKeyError):  # somebody else has just made it
            link.meta.insert_one({"_id": _TELLING, "number": 0, "is_open": False})
        return 0
    if telling["is_open"]:
        _apply(link, telling)
    return int(telling["number"])


def _apply(link: Link, telling: Mapping[str, Any]) -> None:
    """Add, forget, close: each step may be repeated, also by others at the same time."""
    number = telling["number"]
    minutes, queues = _additions(telling)
    _add(link.figures, minutes, number, link.changes)
    _add(link.totals, queues, number, link.changes)
    _forget_arrivals(link, telling)
    _forget_endings(link, telling["told"])
    closed = {"is_open": False, "told": [], "arrived": [], "numbers": []}
    link.meta.update_one({"_id": _TELLING, "number": number}, {"$set": closed})


def _additions(telling: Mapping[str, Any]) -> tuple[dict[str, Document], dict[str, Document]]:
    """Return the updates that a telling means for minutes and for queues, by document."""
    minutes: dict[str, Document] = {}
    queues: dict[str, Document] = {}
    for queue, minute, numbers in telling["numbers"]:
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
    """Update documents that no telling of this number or a later one has updated."""
    statements = []
    for key, update in updates.items():
        noted = {**update, "$set": {**update.get("$set", {}), "told": number}}
        statements.append(UpdateOne({"_id": key, "told": {"$lt": number}}, noted, upsert=True))
    for some in pieces.of(statements):
        try:
            place.bulk_write(some, ordered=False)
        except BulkWriteError as fault:
            errors = fault.details.get("writeErrors", [])
            is_known = all(error["code"] == _DUPLICATE for error in errors)
            if not is_known or fault.details.get("writeConcernErrors"):
                raise  # a duplicate is a document that has been updated already


def _forget_arrivals(link: Link, telling: Mapping[str, Any]) -> None:
    """Take off what is told, and drop old minutes of which nothing is left."""
    less = {arrival(queue, minute): -jobs for queue, minute, jobs in telling["arrived"]}
    if not less:
        return
    number = telling["number"]
    unchanged = {"_id": SEQUENCE, "$or": [{"told": {"$lt": number}}, {"told": None}]}
    link.meta.update_one(unchanged, {"$inc": less, "$set": {"told": number}})
    left = (link.meta.find_one({"_id": SEQUENCE}) or {}).get("arrivals", {})
    old = to_millis(link.now() - _OLD)
    done = [
        minute for minute, queues in left.items() if int(minute) < old and not any(queues.values())
    ]
    if done:
        link.meta.update_one({"_id": SEQUENCE}, {"$unset": {f"arrivals.{m}": "" for m in done}})


def _forget_endings(link: Link, told: list[Document]) -> None:
    """Take off the endings that are told: most often all that a job has."""
    found = []
    for (job_id, seq), group in groupby(sorted(told, key=_named), itemgetter("id", "seq")):
        revs = [each["rev"] for each in group]
        found.append(({"_id": job_id, "seq": seq, "untold.rev": revs[-1]}, revs))
    for some in link.changes.of(found):
        _forget_of_jobs(link, some)


def _forget_of_jobs(link: Link, found: Sequence[tuple[Document, Sequence[int]]]) -> None:
    whole = [
        UpdateOne({**job, "untold": {"$size": len(revs)}}, {"$unset": {"untold": ""}})
        for job, revs in found
    ]
    done = link.jobs.bulk_write(whole, ordered=False)
    if done.matched_count < len(whole):  # runs have ended since, or somebody was faster
        rest = [
            UpdateOne(job, {"$pull": {"untold": {"rev": {"$lte": revs[-1]}}}})
            for job, revs in found
        ]
        link.jobs.bulk_write(rest, ordered=False)


def _named(told: Document) -> tuple[str, int, int]:
    return told["id"], told["seq"], told["rev"]


def _endings(document: Document) -> list[Ending]:
    """Return the endings in the document of a job; what cannot be read is passed over, noted."""
    found = []
    for entry in document["untold"]:
        try:
            found.append(
                serialization.ending_from_document(entry, document["_id"], document["seq"])
            )
        except serialization.UNREADABLE:
            serialization.note_unreadable("jobs", document["_id"])
    return found


def _arrivals(sequence: Document) -> dict[Place, int]:
    return {
        (name.replace(QUEUE_DOT, "."), from_millis(int(minute))): jobs
        for minute, queues in sequence.get("arrivals", {}).items()
        for name, jobs in queues.items()
        if jobs
    }


def _figures(document: Document) -> Figures:
    return from_numbers(document.get("numbers", {}))
