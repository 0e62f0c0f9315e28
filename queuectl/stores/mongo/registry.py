"""What a fleet of workers shares beside the jobs: settings, the registry, turns at chores."""

from __future__ import annotations

from collections.abc import Collection

import pymongo
from pymongo.errors import DuplicateKeyError

from queuectl.domain.errors import NotFound
from queuectl.domain.times import later
from queuectl.domain.worker_record import StopRequest, WorkerRecord
from queuectl.stores.mongo.connection import BRIEF_SECONDS, Link, guarded
from queuectl.stores.records import stop_request, worker_from_document, worker_to_document
from queuectl.stores.serialization import UNREADABLE, note_unreadable


class MongoFleet:
    """The part of `MongoStore` that knows no jobs."""

    def __init__(self, link: Link) -> None:
        self.link = link

    @guarded
    def try_acquire_turn(self, chore: str, every_seconds: float) -> bool:
        """Take the turn at a chore if it is due, for the whole fleet."""
        now = self.link.now()
        due = {"_id": chore, "next_at": {"$lte": now}}
        try:
            self.link.turns.update_one(
                due, {"$set": {"next_at": later(now, every_seconds)}}, upsert=True
            )
        except DuplicateKeyError:
            return False  # the turn is there and not due
        return True

    # settings

    @guarded
    def settings(self) -> dict[str, object]:
        """Return the stored settings, as they are."""
        return {found["_id"]: found["value"] for found in self.link.settings.find()}

    @guarded
    def set_setting(self, key: str, value: object | None) -> None:
        """Store one setting; None removes it."""
        if value is None:
            self.link.settings.delete_one({"_id": key})
            return
        self.link.settings.replace_one({"_id": key}, {"_id": key, "value": value}, upsert=True)

    # the registry of workers

    @guarded
    def register(self, worker: WorkerRecord) -> None:
        """Add a worker, with `heartbeat_at` now."""
        fields = {**worker_to_document(worker), "heartbeat_at": self.link.now()}
        entry = {"_id": fields.pop("id"), **fields}
        self.link.workers.replace_one({"_id": worker.id}, entry, upsert=True)

    @guarded
    def heartbeat(self, worker_id: str) -> StopRequest | None:
        """Note that a worker lives; return what it was asked. Raises NotFound."""
        with pymongo.timeout(BRIEF_SECONDS):
            entry = self.link.workers.find_one_and_update(
                {"_id": worker_id}, {"$set": {"heartbeat_at": self.link.now()}}, {"stop": True}
            )
        if entry is None:
            raise NotFound(f"worker '{worker_id}' is not registered")
        return stop_request(entry.get("stop"))

    @guarded
    def unregister(self, worker_id: str) -> None:
        """Remove a worker. Removing one that is not there is harmless."""
        self.link.workers.delete_one({"_id": worker_id})

    @guarded
    def workers(self) -> list[WorkerRecord]:
        """Return every registered worker, the earliest first."""
        found = self.link.workers.find().sort([("started_at", 1), ("_id", 1)])
        workers = []
        for entry in found:
            try:
                workers.append(worker_from_document({**entry, "id": entry["_id"]}))
            except UNREADABLE:
                note_unreadable("workers", entry["_id"])
        return workers

    @guarded
    def ask_to_stop(self, worker_ids: Collection[str], how: StopRequest) -> None:
        """Leave a request that each worker finds with its next heartbeat."""
        self.link.workers.update_many(
            {"_id": {"$in": list(worker_ids)}}, {"$set": {"stop": how.value}}
        )
