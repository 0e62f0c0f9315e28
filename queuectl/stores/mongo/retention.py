"""What MongoDB keeps for long, and what it lets go: old jobs, whole jobs, marks, environments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from pymongo import DeleteOne
from pymongo.errors import DuplicateKeyError

from queuectl.domain import state_machine
from queuectl.domain.dependencies import END, FAILURE, SUCCESS, parent_of
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.queue_limits import DELIVERY_IDS, FIRST_NAME
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import EPOCH
from queuectl.stores.mongo import past_runs
from queuectl.stores.mongo.batches import insert
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import Document, guarded, one_by_one
from queuectl.stores.mongo.dead import finish_burial
from queuectl.stores.mongo.documents import BARE, readable, to_document
from queuectl.stores.mongo.registry import MongoFleet
from queuectl.stores.mongo.schema import SEQUENCE, take_numbers

_PROCESSING = State.PROCESSING.value


class MongoKeeping(MongoFleet):
    """The part of `MongoStore` that ages jobs out, and takes whole ones in."""

    def commit(self, change: Transition) -> bool:
        """Apply a transition; see `Store.commit`."""
        raise NotImplementedError

    # ageing

    @guarded
    def ended(
        self, state: State, before: datetime, limit: int, since: datetime | None = None
    ) -> list[Job]:
        """Return jobs that ended long ago; see `Store.ended`."""
        is_dead = state is State.DEAD
        where: Document = {"finished_at": {"$gte": since or EPOCH, "$lt": before}}
        if not is_dead:
            where["state"] = state.value
        place = self.link.dlq if is_dead else self.link.jobs
        found = place.find(where, BARE).sort("finished_at", 1).limit(limit)
        return [job for job in map(readable, found) if job is not None]

    @guarded
    def deliveries_ended(self, state: State, before: datetime, limit: int) -> list[Job]:
        """Return deliveries that ended long ago; see `Store.deliveries_ended`."""
        where: Document = {
            "queue": {"$lt": FIRST_NAME},
            "finished_at": {"$lt": before},
        }
        if state is State.DEAD:
            where["_id"] = {"$regex": f"^{DELIVERY_IDS}"}  # which has an index
            found = self.link.dlq.find(where, BARE)
        else:
            where["state"] = state.value
            found = self.link.jobs.find(where, BARE, hint="state_queue_seq")
        return [job for job in map(readable, found.limit(limit)) if job is not None]

    @guarded
    def remove(self, jobs: Sequence[Job]) -> frozenset[str]:
        """Delete settled jobs in one command, parents one by one; see `Store.remove`."""
        settled = [job for job in jobs if job.state in SETTLED and not job.children_pending]
        childless = [job for job in settled if not job.has_dependents]
        removed = self._remove_childless(childless)
        for job in one_by_one(self.link, settled):
            is_parent = job.has_dependents and not self._is_awaited(job.id)
            # it announces its deletion, for a child that is being added just now
            if is_parent and self.commit(state_machine.delete(job)):
                removed.add(job.id)
        return frozenset(removed)

    def _remove_childless(self, jobs: list[Job]) -> set[str]:
        if not jobs:
            return set()
        unchanged = {"has_dependents": {"$ne": True}, "children_pending": {"$ne": True}}
        deletes = [DeleteOne({**_key(job), "state": job.state.value, **unchanged}) for job in jobs]
        for some in self.link.changes.of(deletes):
            self.link.jobs.bulk_write(some, ordered=False)
        left = by_id(self.link.jobs, [job.id for job in jobs], {"seq": True}, self.link.reads)
        kept = {(found["_id"], found["seq"]) for found in left}
        gone = [job for job in jobs if (job.id, job.seq) not in kept]
        dead = [DeleteOne(_key(job)) for job in gone if job.state is State.DEAD]
        for some in self.link.changes.of(dead):
            self.link.dlq.bulk_write(some, ordered=False)  # what a crash leaves, `repair` removes
        return {job.id for job in gone}

    def _is_awaited(self, job_id: str) -> bool:
        """Whether a job waits for this one."""
        forms = [f"{word}:{job_id}" for word in (SUCCESS, FAILURE, END)]
        return self.link.jobs.find_one({"blocked_by": {"$in": forms}}, {"_id": True}) is not None

    @guarded
    def has_past_runs(self, before: datetime) -> bool:
        """Whether there are runs to be forgotten; see `Store.has_past_runs`."""
        return past_runs.has_past_runs(self.link, before)

    @guarded
    def forget_runs(self, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Take past runs off their histories; see `Store.forget_runs`."""
        return past_runs.forget_runs(self.link, before, limit)

    @guarded
    def present(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of some ids that jobs have; see `Store.present`."""
        found = by_id(self.link.jobs, sorted(ids), {"_id": True}, self.link.reads)
        return frozenset(document["_id"] for document in found)

    # whole jobs

    @guarded
    def restore(self, jobs: Sequence[Job], *, keep_numbers: bool = False) -> frozenset[str]:
        """Insert whole jobs; see `Store.restore`."""
        first: dict[str, Job] = {}
        doubled = {job.id for job in jobs if first.setdefault(job.id, job) is not job}
        if not first:
            return frozenset()
        chosen = list(first.values())
        if keep_numbers:
            highest = max(job.seq for job in chosen)
            self.link.meta.update_one({"_id": SEQUENCE}, {"$max": {"value": highest}}, upsert=True)
        else:
            number = take_numbers(self.link, len(chosen))
            chosen = [replace(job, seq=number + index) for index, job in enumerate(chosen)]
        now = self.link.now()
        refused = insert(self.link, [_whole(job, now) for job in chosen])
        for job in chosen:
            if job.state is State.DEAD and job.id not in refused:
                finish_burial(self.link, job.id)
        if not keep_numbers:
            self._mark_parents([job for job in chosen if job.id not in refused])
        return frozenset(refused | doubled)

    def _mark_parents(self, jobs: list[Job]) -> None:
        """Let parents that are here tell these children of their end, if they have ended."""
        wanted = sorted({parent_of(blocker) for job in jobs for blocker in job.blocked_by})
        for some in self.link.changes.of(wanted):
            self._mark_some(some)

    def _mark_some(self, parents: Sequence[str]) -> None:
        settled = sorted(state.value for state in SETTLED)
        ids = {"_id": {"$in": list(parents)}}
        marked = {"has_dependents": True}
        self.link.jobs.update_many(
            {**ids, "state": {"$in": settled}}, {"$set": {**marked, "children_pending": True}}
        )
        self.link.dlq.update_many(ids, {"$set": marked})
        others = {**ids, "has_dependents": {"$ne": True}}
        self.link.jobs.update_many({**others, "state": _PROCESSING}, {"$set": marked})
        self.link.jobs.update_many(
            {**others, "state": {"$nin": [_PROCESSING, *settled]}},
            {"$set": marked, "$inc": {"rev": 1}},
        )

    # notes about the store itself

    @guarded
    def get_meta(self, name: str) -> str | None:
        """Return what is noted about this store; see `Store.get_meta`."""
        found = self.link.meta.find_one({"_id": f"mark:{name}"})
        return found["value"] if found else None

    @guarded
    def set_meta(self, name: str, value: str | None) -> None:
        """Note something about this store; see `Store.set_meta`."""
        key = {"_id": f"mark:{name}"}
        if value is None:
            self.link.meta.delete_one(key)
        else:
            self.link.meta.replace_one(key, {**key, "value": value}, upsert=True)

    # captured environments

    @guarded
    def save_environment(self, name: str, variables: Sequence[tuple[str, str]]) -> None:
        """Store a captured environment; see `Store.save_environment`."""
        kept = {"variables": [list(pair) for pair in variables], "kept_at": self.link.now()}
        with suppress(DuplicateKeyError):  # somebody else has just stored the same
            self.link.environments.update_one({"_id": name}, {"$set": kept}, upsert=True)

    @guarded
    def environment(self, name: str) -> tuple[tuple[str, str], ...] | None:
        """Return a captured environment; see `Store.environment`."""
        found = self.link.environments.find_one({"_id": name})
        return tuple((key, value) for key, value in found["variables"]) if found else None

    @guarded
    def environments(self) -> list[str]:
        """Return the names of the captured environments."""
        found = self.link.environments.find({}, {"_id": True}).sort("_id", 1)
        return [document["_id"] for document in found]

    @guarded
    def forget_environments(self, before: datetime) -> int:
        """Remove environments that no job names; see `Store.forget_environments`."""
        removed = 0
        old = {"kept_at": {"$lt": before}}
        for found in one_by_one(self.link, list(self.link.environments.find(old, {"_id": True}))):
            named = {"environment": found["_id"]}
            places = (self.link.jobs, self.link.dlq)
            if not any(place.find_one(named, {"_id": True}) for place in places):
                removed += self.link.environments.delete_one({**found, **old}).deleted_count
        return removed


def _key(job: Job) -> Document:
    return {"_id": job.id, "seq": job.seq, "rev": job.rev}


def _whole(job: Job, now: datetime) -> Document:
    """Return the document of a job with all that it has been through; a dead one is moved on."""
    document = to_document(job, now)
    if job.state is State.DEAD:
        document["moving"] = True
    return document
