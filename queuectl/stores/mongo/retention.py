"""What MongoDB lets go: jobs that ended long ago, and past runs of those that stay.

Past runs are those in a history that are not the latest. A commit that adds another run notes only
that it did (`past_since` becomes `EPOCH`), as it does not know the runs before. Whoever looks for
old runs first finds out when they ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pymongo import DeleteOne, UpdateOne

from queuectl.domain import state_machine
from queuectl.domain.dependencies import END, FAILURE, SUCCESS
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.queue_limits import DELIVERY_IDS, FIRST_NAME
from queuectl.domain.times import EPOCH
from queuectl.stores import components
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import Document, Documents, Link, in_words, one_by_one
from queuectl.stores.mongo.dead import drop_copies
from queuectl.stores.mongo.documents import BARE, key_of, readable_jobs
from queuectl.stores.mongo.stats import keep_events
from queuectl.stores.mongo.writes import Writes

_LOOKED_AT = {"seq": True, "rev": True, "past_since": True, "history.n": True,
              "history.finished_at": True}  # fmt: skip
_RESTING = {"state": {"$nin": [State.PROCESSING.value, State.DEAD.value]}}
"""In `jobs`: of the dead it has stubs, and whole ones that are on their way to `dlq`."""


@in_words
class MongoRetention(components.Retention):
    """Removing what is old."""

    def __init__(self, link: Link, writes: Writes) -> None:
        self.link = link
        self._writes = writes

    def ended(
        self, state: State, before: datetime, limit: int, since: datetime | None = None
    ) -> list[Job]:
        where: Document = {"finished_at": {"$gte": since or EPOCH, "$lt": before}}
        if state is State.DEAD:
            place = self.link.dlq
        else:
            place, where["state"] = self.link.jobs, state.value
        return readable_jobs(place.find(where, BARE).sort("finished_at", 1).limit(limit))

    def deliveries_ended(self, state: State, before: datetime, limit: int) -> list[Job]:
        where: Document = {"queue": {"$lt": FIRST_NAME}, "finished_at": {"$lt": before}}
        if state is State.DEAD:
            where["_id"] = {"$regex": f"^{DELIVERY_IDS}"}  # which has an index
            return readable_jobs(self.link.dlq.find(where, BARE).limit(limit))
        where["state"] = state.value
        found = self.link.jobs.find(where, BARE, hint="state_queue_seq")
        return readable_jobs(found.limit(limit))

    def remove(self, jobs: Sequence[Job]) -> frozenset[str]:
        settled = [job for job in jobs if job.state in SETTLED and not job.children_pending]
        removed = self._remove_childless([job for job in settled if not job.has_dependents])
        for job in one_by_one(self.link, settled):
            is_parent = job.has_dependents and not self._is_awaited(job.id)
            # it announces its deletion, for a child that is being added just now
            if is_parent and self._writes.commit(state_machine.delete(job)):
                removed.add(job.id)
        return frozenset(removed)

    def _remove_childless(self, jobs: list[Job]) -> set[str]:
        if not jobs:
            return set()
        ids = [job.id for job in jobs]
        keep_events(self.link, ids)
        unchanged = {"has_dependents": {"$ne": True}, "children_pending": {"$ne": True}}
        deletes = [
            DeleteOne({**key_of(job), "state": job.state.value, **unchanged}) for job in jobs
        ]
        self.link.write_all(self.link.jobs, deletes)
        left = by_id(self.link.jobs, ids, {"seq": True}, self.link.reads)
        kept = {(found["_id"], found["seq"]) for found in left}
        gone = [job for job in jobs if (job.id, job.seq) not in kept]
        drop_copies(self.link, [job for job in gone if job.state is State.DEAD])
        return {job.id for job in gone}

    def _is_awaited(self, job_id: str) -> bool:
        """Whether a job waits for this one."""
        forms = [f"{word}:{job_id}" for word in (SUCCESS, FAILURE, END)]
        return self.link.jobs.find_one({"blocked_by": {"$in": forms}}, {"_id": True}) is not None

    def has_past_runs(self, before: datetime) -> bool:
        return any(
            place.find_one(wanted, {"_id": True}) is not None
            for place, wanted in self._with_past_runs(before)
        )

    def needs_snapshot(self, snapshot: str) -> bool:
        named = {"snapshot": snapshot}
        places = (self.link.jobs, self.link.dlq)
        return any(place.find_one(named, {"_id": True}) for place in places)

    def forget_runs(self, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
        gone: list[tuple[str, int]] = []
        is_more = False
        for place, wanted in self._with_past_runs(before):
            found = list(place.find(wanted, _LOOKED_AT).sort("past_since", 1).limit(limit))
            if not found:
                continue
            is_more |= len(found) == limit
            old = {each["_id"]: _old_runs(each, before) for each in found}
            writes = [_without(each, old[each["_id"]]) for each in found]
            if self.link.write_all(place, writes) == len(found):  # else nobody knows which are gone
                gone += [(job_id, n) for job_id, runs in old.items() for n in runs]
        return gone, is_more

    def _with_past_runs(self, before: datetime) -> Iterator[tuple[Documents, Document]]:
        wanted = {"past_since": {"$lt": before}}
        yield self.link.jobs, {**wanted, **_RESTING}
        yield self.link.dlq, wanted


def _old_runs(found: Document, before: datetime) -> list[int]:
    return [run["n"] for run in found["history"][:-1] if run["finished_at"] < before]


def _without(found: Document, old: list[int]) -> UpdateOne:
    """Return the write that takes runs off a history, if the job is still as it was read."""
    left = [run["finished_at"] for run in found["history"][:-1] if run["n"] not in old]
    looked: Document = (
        {"$set": {"past_since": min(left)}} if left else {"$unset": {"past_since": ""}}
    )
    fence = {name: found[name] for name in ("_id", "seq", "rev", "past_since")}
    return UpdateOne(fence, {**looked, "$pull": {"history": {"n": {"$in": old}}}})
