"""Writing jobs into the embedded store: new ones, whole ones, and transitions under their fence."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from queuectl.domain.dependencies import parents_in, refuse_circle
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import to_millis
from queuectl.stores.records import BATCH
from queuectl.stores.sqlite import changes, dependencies, reads, rows, statements

if TYPE_CHECKING:
    from queuectl.stores.sqlite.database import Database

BREATH_SECONDS = 0.002
"""How long others may write between two lots of new jobs."""

_COUNT_IN = (
    "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
)
_ARRIVED = (
    "INSERT INTO arrivals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
)
_READY_IN = (
    "INSERT INTO queue_priority_counters (queue, priority, ready) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET ready = ready + excluded.ready"
)
_BLOCKED_IN = (
    "INSERT OR IGNORE INTO blockers "
    "SELECT value, seq FROM jobs, json_each(blocked_by) WHERE jobs.id = ?"
)
_LIVE = WAITING | {State.PROCESSING}
_BATCH_OF = attrgetter("before.spec.batch")


# new jobs


class PreparedInsert:
    """New jobs as they were at an instant, made into rows before the lock is taken.

    The rows are right if their parents are then as they were found.
    """

    __slots__ = ("at", "jobs", "linked", "new", "parents", "waiting")

    def __init__(self, jobs: Sequence[Job], at: datetime, parents: dependencies.Parents) -> None:
        self.linked = linked = parents.link(jobs)
        self.jobs = jobs
        self.at = at
        self.parents = parents
        self.new = statements.new_rows(linked, at) if linked else None
        self.waiting = [(job.spec.id,) for job in linked if job.blocked_by]


def insert(db: Database, jobs: Sequence[Job], *, atomic: bool) -> frozenset[str]:
    """Insert new jobs; see `Store.insert`."""
    size = max(len(jobs), 1) if atomic else BATCH
    refused: set[str] = set()
    for start in range(0, len(jobs), size):
        if start:
            time.sleep(BREATH_SECONDS)
        db.recover()
        prepared = prepare(db, jobs[start : start + size], db.now())
        with db.adding:
            refused |= insert_prepared(db, prepared, atomic=atomic)
    return frozenset(refused)


def prepare(db: Database, jobs: Sequence[Job], now: datetime) -> PreparedInsert:
    """Do what can be done before the lock is taken for new jobs: with many that takes long."""
    return PreparedInsert(jobs, now, dependencies.parents_of(db, jobs))


def insert_prepared(db: Database, prepared: PreparedInsert, *, atomic: bool) -> set[str]:
    """Insert new jobs within a transaction; return the ids that are refused."""
    free, refused = _divided(db, prepared.jobs)
    if not (atomic and refused):
        _insert(db, prepared if free is prepared.jobs else prepare(db, free, prepared.at))
    return refused


def _divided(db: Database, jobs: Sequence[Job]) -> tuple[Sequence[Job], set[str]]:
    """Return the jobs whose ids and unique keys are free, and the ids of the others."""
    ids = [job.spec.id for job in jobs]
    uniques = [key for job in jobs if job.spec.unique and (key := _live_key(job))]
    taken, keys = reads.taken(db, ids), reads.keys_taken(db, uniques)
    if not (taken or uniques) and len(set(ids)) == len(ids):
        return jobs, set()
    free: list[Job] = []
    refused: set[str] = set()
    for job in jobs:
        job_id, key = job.spec.id, _live_key(job)
        if job_id in taken or key in keys:
            refused.add(job_id)
            continue
        taken.add(job_id)
        if key:
            keys.add(key)
        free.append(job)
    return free, refused


def _live_key(job: Job) -> str | None:
    """Return the unique key that a job has while it waits or runs."""
    unique = job.spec.unique
    return unique if unique and job.state in _LIVE else None


def _insert(db: Database, prepared: PreparedInsert) -> None:
    """Insert new jobs; rows that are not right any more are made anew."""
    if prepared.parents.ids:
        parents = dependencies.parents_of(db, prepared.jobs)
        if parents.states != prepared.parents.states:
            prepared = PreparedInsert(prepared.jobs, prepared.at, parents)
        dependencies.mark_parents(db, prepared.parents.ids)
    new = prepared.new
    if new is None:
        return
    for statement, values in new.inserts:
        db.connection.execute(statement, values)
    db.connection.executemany(_BLOCKED_IN, prepared.waiting)
    count_in(db, new, prepared.at)
    if prepared.waiting:
        _let_go(db, prepared.linked)
    if prepared.parents.ids:
        dependencies.cancel_those_of_failed(db, prepared.linked, prepared.at)


def _let_go(db: Database, jobs: Sequence[Job]) -> None:
    """Let the first of new jobs go that wait for their turn in their batch."""
    if any(job.spec.at_once for job in jobs):
        from queuectl.stores.sqlite import turns  # which other jobs have no use for

        turns.after_insert(db, jobs, db.now())


def count_in(db: Database, new: statements.NewRows, at: datetime) -> None:
    """Count new jobs where they are, within the transaction that inserts them."""
    many = db.connection.executemany
    many(_COUNT_IN, [(*place, number) for place, number in new.states.items()])
    minute = to_millis(at) // rows.MINUTE
    many(_ARRIVED, [(minute, queue, n) for (queue, _), n in new.states.items()])
    many(_READY_IN, [(*place, number) for place, number in new.ready_counts.items()])


# whole jobs


def restore(db: Database, jobs: Sequence[Job], *, keep_numbers: bool) -> frozenset[str]:
    """Insert whole jobs; see `Store.restore`."""
    now = db.now()
    with db.writing():
        free, refused = _divided(db, jobs)
        for job in free:
            _insert_whole(db, job, now, keep_number=keep_numbers)
        if not keep_numbers:
            _mark_parents_of_whole(db, free)
    return frozenset(refused)


def _insert_whole(db: Database, job: Job, now: datetime, *, keep_number: bool) -> None:
    execute = db.connection.execute
    seq = execute(*statements.insert_of_whole(job, now, keep_number=keep_number)).lastrowid
    assert seq is not None
    for statement in statements.inserts_of_runs([(seq, run) for run in job.history]):
        execute(*statement)
    execute(_COUNT_IN, (job.spec.queue, job.state.value, 1))
    if rows.ready_flag(job, now) == 1:
        execute(_READY_IN, (job.spec.queue, job.spec.priority, 1))
    if job.blocked_by:
        execute(_BLOCKED_IN, (job.spec.id,))


def _mark_parents_of_whole(db: Database, jobs: Sequence[Job]) -> None:
    """Let parents that are here tell these children of their end, if they have ended."""
    ids = {parent for job in jobs for parent in parents_in(job.blocked_by)}
    if not ids:
        return
    settled = ", ".join(f"'{state.value}'" for state in sorted(SETTLED))
    db.connection.execute(
        "UPDATE jobs SET rev = rev + (state <> 'processing'), has_dependents = 1, "
        "children_pending = CASE state WHEN 'processing' THEN children_pending "
        f"ELSE state IN ({settled}) END WHERE id IN (SELECT value FROM json_each(?))",
        (rows.dump_json(sorted(ids)),),
    )


# transitions


def commit(db: Database, change: Transition) -> bool:
    """Apply a transition if its fence holds; see `Store.commit`."""
    now = db.now()
    with db.writing():
        applied = commit_together(db, [change], now)
    wake_for(db, [change], applied, now)
    return applied[0]


def commit_all(db: Database, changes: Sequence[Transition]) -> list[bool]:
    """Apply changes of many jobs in one transaction; see `Store.commit_all`."""
    now = db.now()
    with db.writing():
        applied = [_commit_or_undo(db, change, now) for change in changes]
    wake_for(db, changes, applied, now)
    return applied


def wake_for(
    db: Database, changes: Sequence[Transition], applied: Sequence[bool], now: datetime
) -> None:
    """Wake a worker if what was applied has left a job to be claimed."""
    done = (change.after for change, is_done in zip(changes, applied, strict=True) if is_done)
    if any(after is not None and after.is_ready(now) for after in done):
        db.wake.notify()


def commit_together(db: Database, some: Sequence[Transition], now: datetime) -> list[bool]:
    """Write transitions, or find that they have been written already; say of each whether."""
    applied = apply_together(db, some, now)
    changes.record(db, [change for change, is_new in zip(some, applied, strict=True) if is_new])
    _see_to_batches(db, some, applied, now)
    return [
        is_new or (change.run is not None and change.run in reads.history(db, change.before.seq))
        for change, is_new in zip(some, applied, strict=True)
    ]


def _see_to_batches(
    db: Database, some: Sequence[Transition], applied: Sequence[bool], now: datetime
) -> None:
    """See to the batches of jobs that were changed: whose turn is next, and too many failures."""
    if any(map(_BATCH_OF, some)):
        from queuectl.stores.sqlite import turns  # which other jobs have no use for

        turns.after_changes(db, some, applied, now)


def _commit_or_undo(db: Database, change: Transition, now: datetime) -> bool:
    """Write a transition; one whose record is not taken leaves the transaction as it was."""
    execute = db.connection.execute
    execute("SAVEPOINT one")
    try:
        is_written = _apply(db, change, now)
        if is_written:
            changes.record(db, [change])
            _see_to_batches(db, [change], [True], now)
        return is_written
    except sqlite3.IntegrityError:
        execute("ROLLBACK TO one")
        return False
    finally:
        if db.connection.in_transaction:  # a full disk has ended it
            execute("RELEASE one")


def apply_together(db: Database, some: Sequence[Transition], now: datetime) -> list[bool]:
    """Write what transitions make of different jobs; say of each whether its fence held."""
    applied: list[bool] = []
    for is_plain, group in groupby(some, _is_plain):
        alike = list(group)
        if is_plain:
            pairs = [(change, change.after) for change in alike if change.after]
            written = changes.update(db, pairs, now)
            applied += [change.before.seq in written for change in alike]
        else:
            applied += [_apply(db, change, now) for change in alike]
    return applied


def _is_plain(change: Transition) -> bool:
    """Whether a change touches nothing but its own row."""
    after = change.after
    return after is not None and not (after.blocked_by or after.children_pending)


def _apply(db: Database, change: Transition, now: datetime) -> bool:
    """Write what a transition makes of its job if its fence holds; return whether it did."""
    before, after = change.before, change.after
    if after is None:
        is_deleted = changes.delete(db, change)
        if is_deleted and before.has_dependents:
            dependencies.detach_children(db, before)
        return is_deleted
    is_linked = change.has_new_blockers
    if is_linked:
        # two may be made at once
        refuse_circle(after.id, after.blocked_by, lambda ids: dependencies.blockers_of(db, ids))
        after = dependencies.link(db, after)
    if not changes.update(db, [(change, after)], now):
        return False
    if is_linked:
        dependencies.cancel_those_of_failed(db, [after], now)
    if after.children_pending:
        dependencies.notify_from(db, [before.seq], now)
    return True
