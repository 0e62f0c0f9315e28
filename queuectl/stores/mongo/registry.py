"""What a fleet shares beside the jobs: workers, settings, notes, environments, hooks, schedules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

import pymongo
from pymongo.errors import DuplicateKeyError

from queuectl.domain.batch import Batch
from queuectl.domain.errors import NotFound
from queuectl.domain.hooks import Hook
from queuectl.domain.host import HostRecord, HostReport
from queuectl.domain.job import Job
from queuectl.domain.schedule import Schedule
from queuectl.domain.times import EPOCH
from queuectl.domain.worker_record import StopRequest, WorkerRecord
from queuectl.stores import components
from queuectl.stores.exchange import Fired
from queuectl.stores.mongo.connection import (
    BRIEF_SECONDS,
    Document,
    Documents,
    Link,
    in_words,
    is_applied,
    is_there,
    one_by_one,
)
from queuectl.stores.mongo.documents import new_stamp
from queuectl.stores.mongo.writes import Writes
from queuectl.stores.records import (
    hook_from_text,
    hook_to_text,
    host_from_text,
    host_to_text,
    read_each,
    read_named,
    report_to_text,
    schedule_from_document,
    schedule_to_document,
    stop_request,
    worker_from_document,
    worker_to_document,
)

_Record = TypeVar("_Record", Hook, Schedule, Batch, HostRecord)


def _worker(entry: Document) -> WorkerRecord:
    return worker_from_document({**entry, "id": entry["_id"]})


@in_words
class MongoWorkers(components.Workers):
    """The registry of workers."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def all(self) -> list[WorkerRecord]:
        found = self.link.workers.find().sort([("started_at", 1), ("_id", 1)])
        return read_each("worker", ((each["_id"], each) for each in found), _worker)

    def register(self, worker: WorkerRecord) -> None:
        fields = {**worker_to_document(worker), "heartbeat_at": self.link.now()}
        entry = {"_id": fields.pop("id"), **fields}
        self.link.workers.replace_one({"_id": worker.id}, entry, upsert=True)

    def heartbeat(
        self, worker_id: str, slots: int, report: HostReport | None = None
    ) -> StopRequest | None:
        with pymongo.timeout(BRIEF_SECONDS):
            alive: Document = {"heartbeat_at": self.link.now(), "slots": slots}
            alive["report"] = report and report_to_text(report)
            entry = self.link.workers.find_one_and_update(
                {"_id": worker_id}, {"$set": alive}, {"stop": True}
            )
        if entry is None:
            raise NotFound(f"worker '{worker_id}' is not registered")
        return stop_request(entry.get("stop"))

    def unregister(self, worker_id: str) -> None:
        self.link.workers.delete_one({"_id": worker_id})

    def ask_to_stop(self, worker_ids: Collection[str], how: StopRequest) -> None:
        ids = {"_id": {"$in": list(worker_ids)}}
        self.link.workers.update_many(ids, {"$set": {"stop": how.value}})


@in_words
class MongoSettings(components.StoredSettings):
    """The settings that were changed."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def all(self) -> dict[str, object]:
        return {found["_id"]: found["value"] for found in self.link.settings.find()}

    def set(self, key: str, value: object | None) -> None:
        _set_value(self.link.settings, key, value)


@in_words
class MongoMeta(components.Meta):
    """Notes about the store, beside its schema and its counters."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def get(self, name: str) -> str | None:
        found = self.link.meta.find_one({"_id": f"mark:{name}"})
        return found["value"] if found else None

    def set(self, name: str, value: str | None) -> None:
        _set_value(self.link.meta, f"mark:{name}", value)


def _set_value(place: Documents, key: str, value: object | None) -> None:
    if value is None:
        place.delete_one({"_id": key})
    else:
        place.replace_one({"_id": key}, {"_id": key, "value": value}, upsert=True)


@in_words
class MongoEnvironments(components.Environments):
    """Captured environments."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def names(self) -> list[str]:
        found = self.link.environments.find({}, {"_id": True}).sort("_id", 1)
        return [document["_id"] for document in found]

    def get(self, name: str) -> tuple[tuple[str, str], ...] | None:
        found = self.link.environments.find_one({"_id": name})
        return tuple((key, value) for key, value in found["variables"]) if found else None

    def save(self, name: str, variables: Sequence[tuple[str, str]]) -> None:
        kept = {"variables": [list(pair) for pair in variables], "kept_at": self.link.now()}
        with suppress(DuplicateKeyError):  # somebody else has just stored the same
            self.link.environments.update_one({"_id": name}, {"$set": kept}, upsert=True)

    def forget(self, before: datetime) -> int:
        removed = 0
        old = {"kept_at": {"$lt": before}}
        for found in one_by_one(self.link, list(self.link.environments.find(old, {"_id": True}))):
            named = {"environment": found["_id"]}
            places = (self.link.jobs, self.link.dlq)
            if not any(place.find_one(named, {"_id": True}) for place in places):
                removed += self.link.environments.delete_one({**found, **old}).deleted_count
        return removed


@in_words
class MongoNamed(components.Named[_Record]):
    """Records of one kind, a document each, changed only while it is as it was read."""

    def __init__(self, link: Link, kind: str, place: Documents) -> None:
        self.link = link
        self._kind = kind
        self._place = place

    def _read(self, document: Document) -> _Record:
        raise NotImplementedError

    def _fields(self, record: _Record) -> Document:
        raise NotImplementedError

    def all(self) -> list[_Record]:
        return self._readable(self._place.find().sort("_id", 1))

    def get(self, name: str) -> _Record | None:
        found = self._place.find_one({"_id": name})
        return read_named(self._kind, name, found, self._read) if found else None

    def save(self, after: _Record, before: _Record | None = None) -> bool:
        stamp = new_stamp()
        document = {**self._fields(after), **_as_read(after), "stamp": stamp}

        def write() -> bool:
            if before is not None:
                # what a newer version has written beside ours stays
                replaced = self._place.update_one(_as_read(before), {"$set": document})
                return replaced.matched_count == 1
            with suppress(DuplicateKeyError):
                self._place.insert_one(document)
                return True
            return False

        own = {"_id": after.name, "stamp": stamp}
        return is_applied(write, lambda: is_there(self._place, own))

    def remove(self, name: str) -> bool:
        return self._place.delete_one({"_id": name}).deleted_count == 1

    def _readable(self, documents: Iterable[Document]) -> list[_Record]:
        return read_each(self._kind, ((each["_id"], each) for each in documents), self._read)


def _as_read(record: Hook | Schedule | Batch | HostRecord) -> Document:
    """Return what tells a record from what it was before, and from another of its name."""
    return {"_id": record.name, "rev": record.rev, "created_at": record.created_at}


class MongoHooks(MongoNamed[Hook]):
    """Hooks, each as one text."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, "hook", link.hooks)

    def _read(self, document: Document) -> Hook:
        return hook_from_text(document["record"])

    def _fields(self, record: Hook) -> Document:
        return {"record": hook_to_text(record)}


class MongoHosts(MongoNamed[HostRecord]):
    """What is kept of hosts, each as one text."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, "host", link.host_records)

    def _read(self, document: Document) -> HostRecord:
        return host_from_text(document["record"])

    def _fields(self, record: HostRecord) -> Document:
        return {"record": host_to_text(record)}


@in_words
class MongoSchedules(MongoNamed[Schedule]):
    """Schedules, with what puts their runs among the jobs."""

    def __init__(self, link: Link, writes: Writes) -> None:
        super().__init__(link, "schedule", link.schedules)
        self._writes = writes

    def _read(self, document: Document) -> Schedule:
        return schedule_from_document({**document, "name": document["_id"]})

    def _fields(self, record: Schedule) -> Document:
        fields = schedule_to_document(record)
        del fields["name"]
        return fields

    def due(self, by: datetime) -> list[Schedule]:
        due = {"paused": False, "next_due": {"$gt": EPOCH, "$lte": by}}
        return self._readable(self.link.schedules.find(due).sort("next_due", 1))

    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        # a crash between the two writes is made good when it is fired again
        if self.link.schedules.find_one(_as_read(before), {"_id": True}) is None:
            return Fired.LOST
        if self._writes.insert([job]) and not is_there(self.link.jobs, {"_id": job.id}):
            return Fired.OVERLAPS
        return Fired.ENQUEUED if self.save(after, before) else Fired.LOST
