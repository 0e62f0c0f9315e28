"""The records of batches in the embedded store, and what is asked of all jobs of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from queuectl.domain.dependencies import BATCH_PREFIX
from queuectl.domain.times import from_millis
from queuectl.stores import records, serialization
from queuectl.stores.sqlite.batch_rows import COLUMNS, to_row
from queuectl.stores.sqlite.named import NamedTable

if TYPE_CHECKING:
    from queuectl.domain.batch import Batch
    from queuectl.domain.job import Job, State
    from queuectl.stores.sqlite.database import Database

_NEXT_IN_TURN = "SELECT EXISTS (SELECT 1 FROM jobs WHERE blocked_by = '[\"turn:\"]')"
_PENDING = (
    "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE batch_name = ? AND state = 'pending' LIMIT ?)"
)
_UNSETTLED = (
    "SELECT EXISTS (SELECT 1 FROM jobs WHERE batch_name = ? "
    "AND state IN ('pending', 'failed', 'processing'))"
)
_UNUSED = (
    "name = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch_name = ?1) "
    "AND NOT EXISTS (SELECT 1 FROM blockers WHERE blocker IN "
    "('success:batch:' || ?1, 'failure:batch:' || ?1, 'end:batch:' || ?1))"
)


class BatchTable(NamedTable["Batch"]):
    """The batches, as `components.Batches` says."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, "batch", COLUMNS, to_row, _from_row, table="batches")

    def open(self) -> list[Batch]:
        """Return the batches that somebody has to look after; see `Batches.open`."""
        return self._selected("WHERE is_open = 1 ORDER BY name")

    def unmade(self) -> list[Batch]:
        """Return the batches of whose jobs some do not exist; see `Batches.unmade`."""
        return self._selected("WHERE unmade > 0 ORDER BY created_at, name")

    def counts(self, name: str) -> dict[State, int]:
        """Return how many jobs there are of a batch; see `Batches.counts`."""
        self._db.recover()
        found = self._db.rows(
            "SELECT state, count(*) FROM jobs WHERE batch_name = ? GROUP BY state", (name,)
        )
        return {
            known: number
            for state, number in found
            if (known := serialization.known_state(state)) is not None
        }

    def pending(self, name: str, limit: int) -> int:
        """Return how many jobs of a batch are pending; see `Batches.pending`."""
        found: int = self._db.row(_PENDING, (name, limit))[0]
        return found

    def has_unsettled(self, name: str) -> bool:
        """Whether a job of a batch has not ended; see `Batches.has_unsettled`."""
        return bool(self._db.row(_UNSETTLED, (name,))[0])

    def last_end(self, name: str) -> datetime | None:
        """Return when the last job of a batch ended; see `Batches.last_end`."""
        row = self._db.row("SELECT max(finished_at) FROM jobs WHERE batch_name = ?", (name,))
        return from_millis(row[0]) if row and row[0] is not None else None

    def make(self, before: Batch, jobs: Sequence[Job], after: Batch) -> bool:
        """Insert jobs of a batch and advance its record, in one transaction; see `Batches.make`."""
        from queuectl.stores.sqlite import writes  # which those who only look do without

        db = self._db
        prepared = writes.prepare(db, jobs, db.now())
        with db.writing():
            if not self._is_unchanged(before):
                return False
            writes.insert_prepared(db, prepared, atomic=False)
            self._save(after, before)
        db.wake.notify()
        return True

    def let_go(self) -> int:
        """Let jobs go whose turn it is; see `Batches.let_go`."""
        if not self._db.row(_NEXT_IN_TURN)[0]:
            return 0
        from queuectl.stores.sqlite import turns

        with self._db.writing():
            number = turns.let_go_all(self._db, self._db.now())
        if number:
            self._db.wake.notify()
        return number

    def notify(self, batch: Batch) -> bool:
        """Notify jobs that wait for the end of a batch; see `Batches.notify`."""
        from queuectl.stores.sqlite import dependencies

        state = batch.state if batch.ended_at is not None else None
        with self._db.writing():
            return dependencies.notify_of(self._db, f"{BATCH_PREFIX}{batch.name}", state)

    def forget(self, name: str) -> bool:
        """Remove the record of a batch that has no jobs; see `Batches.forget`."""
        if not self._db.row(f"SELECT 1 FROM batches WHERE {_UNUSED}", (name,)):
            return False
        with self._db.writing():
            gone = self._db.connection.execute(f"DELETE FROM batches WHERE {_UNUSED}", (name,))
        return gone.rowcount > 0


def _from_row(row: Sequence[Any]) -> Batch:
    return records.batch_from_text(row[-1])
