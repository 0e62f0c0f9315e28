"""Schedules and hooks in MongoDB: one document each, changed only if it is as it was read."""

from __future__ import annotations

from datetime import datetime

from pymongo.errors import DuplicateKeyError, PyMongoError

from queuectl.domain.hooks import Hook
from queuectl.domain.schedule import Schedule
from queuectl.domain.times import EPOCH
from queuectl.stores import records, serialization
from queuectl.stores.mongo.connection import Document, Documents, Link, guarded, is_doubtful
from queuectl.stores.mongo.documents import new_stamp
from queuectl.stores.records import hook_to_text, readable_hooks


def put(place: Documents, document: Document, before: Document | None) -> bool:
    """Write a document if the one that is there fits `before`, or if there is none (None)."""
    stamped = {**document, "stamp": new_stamp()}
    try:
        if before is None:
            place.insert_one(stamped)
            return True
        written = place.replace_one(before, stamped)
    except DuplicateKeyError:
        return _is_written(place, stamped)
    except PyMongoError as fault:
        if is_doubtful(fault) and _is_written(place, stamped):
            return True
        raise
    return written.matched_count == 1 or _is_written(place, stamped)


def _is_written(place: Documents, document: Document) -> bool:
    """Whether a write whose answer was lost, or that the driver repeated, was applied."""
    own = {"_id": document["_id"], "stamp": document["stamp"]}
    return place.find_one(own) is not None


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
                schedules.append(records.schedule_from_document(_named(document)))
            except serialization.UNREADABLE:
                serialization.note_unreadable("schedules", document["_id"])
        return schedules

    @guarded
    def schedule(self, name: str) -> Schedule | None:
        """Return one schedule."""
        found = self.link.schedules.find_one({"_id": name})
        return records.the_schedule(_named(found)) if found else None

    @guarded
    def save_schedule(self, after: Schedule, before: Schedule | None = None) -> bool:
        """Store a schedule if it is as it was read; see `Store.save_schedule`."""
        return put(self.link.schedules, _document(after), _fence(before) if before else None)

    def is_unchanged(self, schedule: Schedule) -> bool:
        """Whether a schedule is still as it was read."""
        return self.link.schedules.find_one(_fence(schedule), {"_id": True}) is not None

    @guarded
    def remove_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether it was there."""
        return self.link.schedules.delete_one({"_id": name}).deleted_count == 1


def _document(schedule: Schedule) -> Document:
    fields = records.schedule_to_document(schedule)
    return {"_id": fields.pop("name"), **fields}


def _fence(schedule: Schedule) -> Document:
    """Return what tells a schedule from what it was before, and from another of its name."""
    return {"_id": schedule.name, "rev": schedule.rev, "created_at": schedule.created_at}


def _named(document: Document) -> Document:
    return {**document, "name": document["_id"]}


class MongoHooks:
    """The part of `MongoStore` that keeps hooks."""

    link: Link

    @guarded
    def hooks(self) -> list[Hook]:
        """Return every hook, by name; see `Store.hooks`."""
        found = self.link.hooks.find().sort("_id", 1)
        return readable_hooks((each["_id"], each.get("record")) for each in found)

    @guarded
    def save_hook(self, after: Hook, before: Hook | None = None) -> bool:
        """Store a hook if it is as it was read; see `Store.save_hook`."""
        document = {**_hook_fence(after), "record": hook_to_text(after)}
        return put(self.link.hooks, document, _hook_fence(before) if before else None)

    @guarded
    def remove_hook(self, name: str) -> bool:
        """Forget a hook; return whether it was there."""
        return self.link.hooks.delete_one({"_id": name}).deleted_count == 1


def _hook_fence(hook: Hook) -> Document:
    """Return what tells a hook from what it was before, and from another of its name."""
    return {"_id": hook.name, "rev": hook.rev, "created_at": hook.created_at}
