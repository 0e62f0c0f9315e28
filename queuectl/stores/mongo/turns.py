"""Batches on MongoDB as changes of their jobs see to them: turns, and failures.

Numbers enforce what a batch lets go at once: a job that it has let go holds one, below that limit,
as `turn_held`, and a unique index lets nobody hold one twice. It is part of the job itself and
goes with the write that ends the job, so a crash leaks none. What a crash keeps from being let go
is found by the next look of any worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count, islice

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from queuectl.domain import batch as batches
from queuectl.domain import state_machine
from queuectl.domain.dependencies import TURN, holds_turn
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.state_machine import Transition
from queuectl.stores.mongo.connection import Document, Link, durable
from queuectl.stores.mongo.documents import fence, new_stamp, readable_jobs, update
from queuectl.stores.records import batch_from_text, batch_to_text

STOPPED_AT_ONCE = 1000
"""How many jobs are cancelled at once by whoever has ended one too many of their batch."""

_AT_ONCE = 200
_TRIES = 5
_WAITING = sorted(state.value for state in WAITING)
_IN_TURN: Document = {"blocked_by": [TURN], "state": {"$in": _WAITING}, "batch": None}
"""The jobs that wait for nothing but their turn."""


def after_changes(link: Link, changes: Iterable[Transition]) -> int:
    """See to the batches of jobs that were changed; return how many jobs have become ready."""
    freed: dict[str, int] = {}
    for change in changes:
        spec, after = change.before.spec, change.after
        if spec.batch is None:
            continue
        if spec.max_fails and change.to_dead:
            _stop_if_failed(link, change.before)
        if spec.at_once and (after is None or not holds_turn(after)):
            freed[spec.batch] = spec.at_once
        if after is not None and after.spec is not spec and after.spec.batch is not None:
            freed[after.spec.batch] = after.spec.at_once
    return sum(let_go(link, name, at_once) for name, at_once in freed.items())


def after_insert(link: Link, jobs: Iterable[Job]) -> int:
    """Let the first of new jobs go that wait for their turn; return how many."""
    names = {job.spec.batch: job.spec.at_once for job in jobs if TURN in job.blocked_by}
    return sum(let_go(link, name, at_once) for name, at_once in names.items() if name)


def let_go_all(link: Link) -> int:
    """Let jobs go whose turn it is, of all batches; return how many."""
    if link.jobs.find_one({"blocked_by": TURN}, {"_id": True}) is None:
        return 0
    names = link.jobs.distinct("batch_name", {"blocked_by": TURN})
    return sum(let_go(link, name, 0) for name in names if isinstance(name, str))


def let_go(link: Link, name: str, at_once: int) -> int:
    """Let jobs of a batch go, as many as there is room for; return how many.

    The record of the batch says how many may go, else the first of the jobs, or `at_once`.
    """
    done = 0
    record = read(link, name)
    most = (record.at_once if record else 0) or at_once
    for _ in range(_TRIES):
        due = {"batch_name": name, **_IN_TURN, "run_at": {"$lte": link.now()}}
        due["paused"] = {"$ne": True}
        fields = {"rev": True, "at_once": True}
        found = link.jobs.find(due, fields).sort([("run_at", 1), ("seq", 1)])
        waiting = list(found.limit(min(most or _AT_ONCE, _AT_ONCE)))
        if not waiting:
            return done
        most = most or waiting[0]["at_once"]
        numbers = _free_numbers(link, name, most, len(waiting))
        if not numbers:
            return done
        given = _give(link, [*zip(waiting, numbers, strict=False)])
        done += given
        if given == len(numbers) < len(waiting):
            return done
    return done


def _free_numbers(link: Link, name: str, most: int, wanted: int) -> list[str]:
    """Return numbers that a batch may give, below what it lets go at once, `wanted` at most.

    Jobs that came whole from elsewhere hold a number of their own beyond these, in whose place
    nobody may go.
    """
    named = {"$gte": f"{name}#", "$lt": f"{name}$"}
    found = durable(link.jobs).find({"turn_held": named}, {"turn_held": True})
    held = {each["turn_held"] for each in found}
    own = sum(number.startswith(f"{name}#r") for number in held)
    left = most - own
    if len(held) - own >= left:
        return []
    free = (number for n in count() if (number := f"{name}#{n}") not in held)
    below = (number for number in islice(free, left) if int(number.rpartition("#")[2]) < left)
    return [*islice(below, wanted)]


def _give(link: Link, pairs: Sequence[tuple[Document, str]]) -> int:
    """Give numbers to jobs that are still as they were seen; return how many took theirs."""
    writes = [
        UpdateOne(
            {"_id": found["_id"], "rev": found["rev"], **_IN_TURN, "paused": {"$ne": True}},
            {
                "$unset": {"blocked_by": ""},
                "$set": {"ready": True, "turn_held": number},
                "$inc": {"rev": 1},
            },
        )
        for found, number in pairs
    ]
    given = 0
    for some in link.changes.of(writes):
        try:
            given += link.jobs.bulk_write(list(some), ordered=False).modified_count
        except BulkWriteError as fault:  # somebody else has given that number
            given += fault.details.get("nModified", 0)
    return given


def _stop_if_failed(link: Link, job: Job) -> None:
    """Cancel what waits of a batch of which too many jobs are dead; the rest its upkeep does."""
    name = job.spec.batch
    assert name is not None
    record = read(link, name)
    most = (record.max_fails if record else 0) or job.spec.max_fails
    of_batch = {"batch_name": name}
    dead = link.jobs.count_documents({**of_batch, "state": State.DEAD.value})
    if dead < most:
        return
    now, why = link.now(), batches.stop_reason(name, dead)
    if record is not None and not record.is_stopped:
        save(link, batches.stop(record, why), record)
    waiting = link.jobs.find({**of_batch, "state": {"$in": _WAITING}, "batch": None})
    for some in link.changes.of(readable_jobs(waiting.limit(STOPPED_AT_ONCE))):
        stamp = new_stamp()
        changes = [state_machine.cancel_with_batch(each, why, now) for each in some]
        writes = [
            UpdateOne(fence(change), update(change, change.after, now, stamp))
            for change in changes
            if change.after is not None
        ]
        with suppress(BulkWriteError):  # what has changed meanwhile the upkeep sees to
            link.jobs.bulk_write(writes, ordered=False)


def read(link: Link, name: str) -> batches.Batch | None:
    """Return the record of a batch."""
    found = link.job_batches.find_one({"_id": name})
    return batch_from_text(found["record"]) if found else None


def save(link: Link, after: batches.Batch, before: batches.Batch) -> bool:
    """Store the record of a batch if it is as it was read; return whether it was."""
    as_read = {"_id": before.name, "rev": before.rev, "created_at": before.created_at}
    return link.job_batches.update_one(as_read, {"$set": fields_of(after)}).matched_count == 1


def fields_of(batch: batches.Batch) -> Document:
    """Return the fields of a record's document but its name."""
    return {
        "rev": batch.rev,
        "is_open": batch.is_open,
        "unmade": batch.unmade,
        "queue": batch.queue,
        "rest": batch.rest,
        "record": batch_to_text(batch),
    }
