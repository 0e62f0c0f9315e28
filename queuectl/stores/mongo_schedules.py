"""Schedules in MongoDB: one document each, changed only if it is of the `rev` that was read."""

from __future__ import annotations

from datetime import datetime

from queuectl.domain.schedule import Schedule
from queuectl.domain.times import EPOCH
from queuectl.stores import codec
from queuectl.stores.mongo_link import Document, Link, guarded
from queuectl.stores.mongo_records import put


class MongoSchedules:
    """The part of `MongoStore` that keeps schedules."""

    link: Link

    @guarded
    def schedules(self, due_by: datetime | None = None) -> list[Schedule]:
        """Return every schedule, or those that are due; see `Store.schedules`."""
        if due_by is None:
            found = self.link.schedules.find().sort("_id", 1)
        else:
            due = {"paused": False, "next_due": {"$gt": EPOCH, "$lte": due_by}}
            found = self.link.schedules.find(due).sort("next_due", 1)
        schedules = []
        for document in found:
            try:
                schedules.append(codec.schedule_from_document(_named(document)))
            except codec.UNREADABLE:
                codec.note_unreadable("schedules", document["_id"])
        return schedules

    @guarded
    def schedule(self, name: str) -> Schedule | None:
        """Return one schedule."""
        found = self.link.schedules.find_one({"_id": name})
        return codec.the_schedule(_named(found)) if found else None

    @guarded
    def put_schedule(self, after: Schedule, before: Schedule | None = None) -> bool:
        """Store a schedule if it is as it was read; see `Store.put_schedule`."""
        return put(self.link.schedules, _document(after), _fence(before) if before else None)

    def is_unchanged(self, schedule: Schedule) -> bool:
        """Whether a schedule is still as it was read."""
        return self.link.schedules.find_one(_fence(schedule), {"_id": True}) is not None

    @guarded
    def remove_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether it was there."""
        return self.link.schedules.delete_one({"_id": name}).deleted_count == 1


def _document(schedule: Schedule) -> Document:
    fields = codec.schedule_to_document(schedule)
    return {"_id": fields.pop("name"), **fields}


def _fence(schedule: Schedule) -> Document:
    """Return what tells a schedule from what it was before, and from another of its name."""
    return {"_id": schedule.name, "rev": schedule.rev, "created_at": schedule.created_at}


def _named(document: Document) -> Document:
    return {**document, "name": document["_id"]}
