"""The records of batches on MongoDB, and what is asked of all jobs of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl.domain.batch import Batch
from queuectl.domain.dependencies import BATCH_PREFIX, END, FAILURE, SUCCESS
from queuectl.domain.job import SETTLED, Job, State
from queuectl.stores.mongo import dependents, turns
from queuectl.stores.mongo.batches import committed
from queuectl.stores.mongo.connection import Document, Link, in_words, is_there
from queuectl.stores.mongo.registry import MongoNamed
from queuectl.stores.mongo.writes import Writes
from queuectl.stores.records import batch_from_text
from queuectl.stores.serialization import known_state

_UNSETTLED = sorted(state.value for state in frozenset(State) - SETTLED)


@in_words
class MongoBatches(MongoNamed[Batch]):
    """The batches, as `components.Batches` says."""

    def __init__(self, link: Link, writes: Writes) -> None:
        super().__init__(link, "batch", link.job_batches)
        self._writes = writes

    def _read(self, document: Document) -> Batch:
        return batch_from_text(document["record"])

    def _fields(self, record: Batch) -> Document:
        return turns.fields_of(record)

    def open(self) -> list[Batch]:
        return self._readable(self.link.job_batches.find({"is_open": True}).sort("_id", 1))

    def unmade(self) -> list[Batch]:
        found = self.link.job_batches.find({"unmade": {"$gt": 0}})
        return self._readable(found.sort([("created_at", 1), ("_id", 1)]))

    def counts(self, name: str) -> dict[State, int]:
        group = {"state": "$state", "batch": "$batch"}
        rows = list(
            self.link.jobs.aggregate(
                [
                    {"$match": {"batch_name": name}},
                    {"$group": {"_id": group, "number": {"$sum": 1}}},
                ]
            )
        )
        real = committed(
            self.link, (row["_id"]["batch"] for row in rows if row["_id"].get("batch"))
        )
        result: dict[State, int] = {}
        for row in rows:
            staged_by, state = row["_id"].get("batch"), known_state(row["_id"]["state"])
            if state is not None and (not staged_by or staged_by in real):
                result[state] = result.get(state, 0) + row["number"]
        return result

    def pending(self, name: str, limit: int) -> int:
        where = {"batch_name": name, "state": State.PENDING.value}
        return self.link.jobs.count_documents(where, limit=limit)

    def has_unsettled(self, name: str) -> bool:
        return is_there(self.link.jobs, {"batch_name": name, "state": {"$in": _UNSETTLED}})

    def last_end(self, name: str) -> datetime | None:
        ended = {"batch_name": name, "finished_at": {"$ne": None}}
        found = self.link.jobs.find_one(ended, {"finished_at": True}, sort=[("finished_at", -1)])
        return found["finished_at"] if found else None

    def make(self, before: Batch, jobs: Sequence[Job], after: Batch) -> bool:
        # a crash between the two writes is made good when it is called again
        as_read = {"_id": before.name, "rev": before.rev, "created_at": before.created_at}
        if not is_there(self.link.job_batches, as_read):
            return False
        self._writes.insert(jobs)
        return self.save(after, before)

    def let_go(self) -> int:
        number = turns.let_go_all(self.link)
        if number:
            self._writes.note_let_go()
        return number

    def notify(self, batch: Batch) -> bool:
        state = batch.state if batch.ended_at is not None else None
        return dependents.notify_of(self.link, f"{BATCH_PREFIX}{batch.name}", state)

    def forget(self, name: str) -> bool:
        if is_there(self.link.jobs, {"batch_name": name}):
            return False
        blockers = [f"{word}:{BATCH_PREFIX}{name}" for word in (SUCCESS, FAILURE, END)]
        if is_there(self.link.jobs, {"blocked_by": {"$in": blockers}}):
            return False
        return self.remove(name)
