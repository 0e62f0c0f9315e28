"""Writing jobs into the embedded store: new ones, and transitions under their fence.

Everything here is called inside a transaction that is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.dependencies import (
    has_failed,
    is_gone,
    parent_of,
    refuse_circle,
    root_cause,
    unwanted_by,
)
from queuectl.domain.job import HISTORY_RUNS, Job, State
from queuectl.domain.settings import CANCEL
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import to_millis
from queuectl.stores.sqlite import insert_statements as inserts
from queuectl.stores.sqlite import row_values as changes
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite import update_statements as updates
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.queues import Parents, SqliteLanes
from queuectl.stores.sqlite.reads import SqliteReads

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished

_ALL = 2**31


class PreparedInsert:
    """New jobs as they were at an instant, made into rows before the lock is taken.

    The rows are right if their parents are then as they were found.
    """

    __slots__ = ("at", "jobs", "linked", "new", "parents", "waiting")

    def __init__(self, jobs: Sequence[Job], at: datetime, parents: Parents) -> None:
        self.linked = linked = parents.link(jobs)
        self.jobs = jobs
        self.at = at
        self.parents = parents
        self.new = changes.new_rows(linked, at) if linked else None
        self.waiting = [(job.spec.id,) for job in linked if job.blocked_by]


class SqliteWrites(SqliteReads, SqliteLanes):
    """The part of `SqliteStore` that writes jobs."""

    def _prepare_insert(self, jobs: Sequence[Job], now: datetime) -> PreparedInsert:
        """Do what can be done before the lock is taken for new jobs: with many that takes long."""
        with translated(self._path):
            return PreparedInsert(jobs, now, self._parents_of(jobs))

    def _insert(self, prepared: PreparedInsert) -> None:
        """Insert new jobs; rows that are not right any more are made anew."""
        if prepared.parents.wanted:
            parents = self._parents_of(prepared.jobs)
            if parents.states != prepared.parents.states:
                prepared = PreparedInsert(prepared.jobs, prepared.at, parents)
            self._mark_wanted(prepared.parents.wanted)
        new = prepared.new
        if new is None:
            return
        for statement, values in new.inserts:
            self._connection.execute(statement, values)
        many = self._connection.executemany
        many(rows.BLOCKED_IN, prepared.waiting)
        many(rows.COUNT_IN, [(*place, number) for place, number in new.states.items()])
        minute = to_millis(prepared.at) // rows.MINUTE
        many(rows.ARRIVED, [(minute, queue, n) for (queue, _), n in new.states.items()])
        many(rows.READY_IN, [(*lane, number) for lane, number in new.ready_counts.items()])
        if prepared.parents.wanted:
            self._cancel_those_of_failed(prepared.linked, prepared.at)

    def _cancel_those_of_failed(self, jobs: Sequence[Job], now: datetime) -> None:
        """Cancel jobs that were just linked to parents which have failed, if they ask for it."""
        asking = [job for job in jobs if job.spec.on_parent_failure == CANCEL]
        blockers = {blocker for job in asking for blocker in job.blocked_by}
        if not blockers:
            return
        states = self._states(map(parent_of, blockers))
        for blocker in sorted(blockers):
            parent = parent_of(blocker)
            state = None if is_gone(blocker) else states.get(parent)
            if has_failed(state):
                error = self._error_of(parent)
                self._notify_down(self._cancel_children(parent, state, error, now, _ALL), now)

    def _error_of(self, job_id: str) -> str | None:
        row = self._connection.execute(
            "SELECT last_error FROM jobs WHERE id = ?", (job_id,)
        ).fetchone()
        return row[0] if row else None

    def _cancel_children(
        self, job_id: str, state: State | None, error: str | None, now: datetime, limit: int
    ) -> list[int]:
        """Cancel the children of a failed job that ask for it; return their numbers."""
        found = self._connection.execute(
            f"SELECT {rows.SELECTED_ALL} FROM jobs "
            "WHERE seq IN (SELECT seq FROM blockers WHERE blocker = ?) "
            "AND on_parent_failure = ? AND state IN ('pending', 'failed') LIMIT ?",
            (unwanted_by(job_id, state), CANCEL, limit),
        ).fetchall()
        children = [job for job in map(self._readable, found) if job is not None]
        if children:
            why = root_cause(job_id, state, error)
            changes = [state_machine.cancel_with_parent(job, why, now) for job in children]
            self._update([(change, change.after) for change in changes if change.after], now)
            self._record(changes)
        return [job.seq for job in children]

    def _taken(self, ids: list[str]) -> set[str]:
        array = '["' + '","'.join(ids) + '"]'  # an id holds nothing that JSON would escape
        found = self._connection.execute(
            "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM jobs WHERE id = value)",
            (array,),
        )
        return {job_id for (job_id,) in found}

    def _keys_taken(self, keys: list[str]) -> set[str]:
        if not keys:
            return set()
        found = self._connection.execute(
            f"SELECT unique_key FROM jobs WHERE {rows.IS_LIVE} "
            "AND unique_key IN (SELECT value FROM json_each(?))",
            (rows.dump_json(keys),),
        )
        return {key for (key,) in found}

    def _commit_together(self, changes: Sequence[Transition], now: datetime) -> list[bool]:
        """Write transitions, or find that they have been written already; say of each whether."""
        applied = self._apply_together(changes, now)
        self._record([change for change, is_new in zip(changes, applied, strict=True) if is_new])
        return [
            is_new or (change.run is not None and change.run in self._history(change.before.seq))
            for change, is_new in zip(changes, applied, strict=True)
        ]

    def _commit_or_undo(self, change: Transition, now: datetime) -> bool:
        """Write a transition; one whose record is not taken leaves the transaction as it was."""
        execute = self._connection.execute
        execute("SAVEPOINT one")
        try:
            return self._write(change, now)
        except sqlite3.IntegrityError:
            execute("ROLLBACK TO one")
            return False
        finally:
            if self._connection.in_transaction:  # a full disk has ended it
                execute("RELEASE one")

    def _write(self, change: Transition, now: datetime) -> bool:
        """Write a transition if its fence holds; return whether it did."""
        is_written = self._apply(change, now)
        if is_written:
            self._record([change])
        return is_written

    def _apply_together(self, changes: Sequence[Transition], now: datetime) -> list[bool]:
        """Write what transitions make of different jobs; say of each whether its fence held."""
        applied: list[bool] = []
        for is_plain, alike in groupby(changes, _is_plain):
            some = list(alike)
            if is_plain:
                written = self._update([(each, each.after) for each in some if each.after], now)
                applied += [each.before.seq in written for each in some]
            else:
                applied += [self._apply(each, now) for each in some]
        return applied

    def _apply(self, change: Transition, now: datetime) -> bool:
        """Write what a transition makes of its job if its fence holds; return whether it did."""
        seq, after = change.before.seq, change.after
        if after is None:
            return self._forget(change)
        is_linked = change.has_new_blockers
        if is_linked:
            refuse_circle(after.id, after.blocked_by, self._waiting)  # two may be made at once
            after = self._relinked(after)
        if not self._update([(change, after)], now):
            return False
        if is_linked:
            self._cancel_those_of_failed([after], now)
        if after.children_pending:
            self._notify_children(seq, now)
        return True

    def _update(self, made: Sequence[tuple[Transition, Job]], now: datetime) -> set[int]:
        """Write jobs as they shall be, where the fences hold; return the numbers of those."""
        written: set[int] = set()
        wanted = (updates.update_of(change, after, now) for change, after in made)
        for statement in updates.statements_for(wanted):
            written.update(seq for (seq,) in self._connection.execute(*statement))
        return written

    def _record(self, written: Sequence[Transition]) -> None:
        """Enter runs that have ended into the history, and keep their events until processed."""
        execute = self._connection.execute
        runs = [(change.before.seq, change.run) for change in written if change.run is not None]
        for insert in inserts.inserts_of_runs(runs):
            execute(*insert)
        for seq, run in runs:
            if run.n > HISTORY_RUNS:
                execute(rows.FORGET_RUNS, (seq, HISTORY_RUNS))
        events = [event for event in map(_event_of(), written) if event is not None]
        for insert in inserts.inserts_of_events(events):
            execute(*insert)

    def _forget(self, change: Transition) -> bool:
        seq = change.before.seq
        deleted = self._connection.execute(
            f"DELETE FROM jobs WHERE seq = ? AND {updates.FENCES[change.fence]}",
            (seq, *updates.fence_values(change)),
        ).rowcount
        if deleted:
            self._connection.execute("DELETE FROM runs WHERE seq = ?", (seq,))
            if change.before.has_dependents:
                self._detach_children(change.before)
        return deleted > 0


def _is_plain(change: Transition) -> bool:
    """Whether a change touches nothing but its own row."""
    after = change.after
    return after is not None and not (after.blocked_by or after.children_pending)


@cache
def _event_of() -> Callable[[Transition], RunFinished | None]:
    """Return the function; who only enqueues needs none, and who settles needs it quickly."""
    from queuectl.domain.events import event_of

    return event_of
