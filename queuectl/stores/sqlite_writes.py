"""Writing jobs into the embedded store: new ones, and transitions under their fence.

Everything here is called inside a transaction that is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from queuectl.domain.dependencies import refuse_circle
from queuectl.domain.job import HISTORY_RUNS, Job
from queuectl.domain.times import to_millis
from queuectl.domain.transitions import Transition, has_new_blockers
from queuectl.stores import sqlite_changes as changes
from queuectl.stores import sqlite_rows as rows
from queuectl.stores.sqlite_lanes import SqliteLanes
from queuectl.stores.sqlite_reads import SqliteReads

if TYPE_CHECKING:
    from queuectl.domain.ending import Ending


class SqliteWrites(SqliteReads, SqliteLanes):
    """The part of `SqliteStore` that writes jobs."""

    def _insert(self, jobs: list[Job], now: datetime) -> None:
        if not jobs:
            return
        new = changes.new_rows(jobs, now)
        for statement, values in new.inserts:
            self._connection.execute(statement, values)
        many = self._connection.executemany
        many(rows.BLOCKED_IN, [(job.spec.id,) for job in jobs if job.waits_for])
        many(rows.COUNT_IN, [(*place, number) for place, number in new.states.items()])
        minute = to_millis(now) // rows.MINUTE
        many(rows.ARRIVED, [(minute, queue, n) for (queue, _), n in new.states.items()])
        many(rows.READY_IN, [(*lane, number) for lane, number in new.lanes.items()])

    def _taken(self, ids: list[str]) -> set[str]:
        array = '["' + '","'.join(ids) + '"]'  # an id holds nothing that JSON would escape
        found = self._connection.execute(
            "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM jobs WHERE id = value) "
            "OR EXISTS (SELECT 1 FROM dlq WHERE id = value)",
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

    def _commit(self, change: Transition, now: datetime) -> bool:
        """Write a transition, or find that it has been written already."""
        if self._write(change, now):
            return True
        return change.run is not None and change.run in self._history(change.before.seq)

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
        execute = self._connection.execute
        seq, after = change.before.seq, change.after
        if after is None:
            return self._forget(change)
        if change.is_revival and not self._bring_back(change):
            return False
        if after.waits_for and has_new_blockers(change):
            refuse_circle(after.id, after.waits_for, self._waiting)  # two may be made at once
            after = self._relinked(after)
        is_held = execute(*changes.update_of(change, after, now)).rowcount
        if not is_held:
            return False
        if change.run is not None:
            execute(*changes.insert_of_run(seq, change.run))
            if change.run.n > HISTORY_RUNS:
                execute(rows.FORGET_RUNS, (seq, HISTORY_RUNS))
        self._note_ending(change)
        if change.is_burial:
            self._move("jobs", "dlq", seq)
        if after.unswept:
            self._sweep(seq, now)
        return True

    def _note_ending(self, change: Transition) -> None:
        """Keep what a change ends until it is told."""
        ending = _ending_of()(change)
        if ending is not None:
            self._connection.execute(*changes.insert_of_ending(ending))

    def _bring_back(self, change: Transition) -> bool:
        """Move a job out of the DLQ, if the fence holds there."""
        seq = change.before.seq
        held = self._connection.execute(
            f"SELECT 1 FROM dlq WHERE seq = ? AND {changes.FENCES[change.fence]}",
            (seq, *changes.fence_values(change)),
        ).fetchone()
        if held is not None:
            self._move("dlq", "jobs", seq)
            self._connection.execute(
                rows.COUNT_IN, (change.before.spec.queue, change.before.state.value, 1)
            )
        return held is not None

    def _forget(self, change: Transition) -> bool:
        table = "dlq" if change.is_revival else "jobs"
        seq = change.before.seq
        deleted = self._connection.execute(
            f"DELETE FROM {table} WHERE seq = ? AND {changes.FENCES[change.fence]}",
            (seq, *changes.fence_values(change)),
        ).rowcount
        if deleted:
            self._connection.execute("DELETE FROM runs WHERE seq = ?", (seq,))
            if change.before.has_children:
                self._forsake(change.before)
        return deleted > 0

    def _move(self, source: str, target: str, seq: int) -> None:
        self._connection.execute(
            f"INSERT INTO {target} ({rows.MOVED}) SELECT {rows.MOVED} FROM {source} WHERE seq = ?",
            (seq,),
        )
        self._connection.execute(f"DELETE FROM {source} WHERE seq = ?", (seq,))


@cache
def _ending_of() -> Callable[[Transition], Ending | None]:
    """Return the function; who only enqueues needs none, and who settles needs it quickly."""
    from queuectl.domain.ending import ending_of

    return ending_of
