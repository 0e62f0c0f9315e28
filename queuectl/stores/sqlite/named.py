"""Hooks and schedules in the embedded store: records that have names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import records
from queuectl.stores.exchange import Fired
from queuectl.stores.sqlite import reads

if TYPE_CHECKING:
    from queuectl.domain.batch import Batch
    from queuectl.domain.hooks import Hook
    from queuectl.domain.host import HostRecord
    from queuectl.domain.job import Job
    from queuectl.domain.schedule import Schedule
    from queuectl.stores.sqlite.database import Database


Record = TypeVar("Record", bound="Hook | Schedule | Batch | HostRecord")


class NamedTable(Generic[Record]):
    """One table of them, as `components.Named` says; a `kind` is what one is called.

    `to_row` and `from_row` turn a record into the values of its columns and back.
    """

    def __init__(
        self,
        db: Database,
        kind: str,
        columns: Sequence[str],
        to_row: Callable[[Record], list[Any]],
        from_row: Callable[[Sequence[Any]], Record],
        table: str = "",
    ) -> None:
        self._db = db
        self._kind = kind
        self._table = table or f"{kind}s"
        self._columns = ", ".join(columns)
        self._marks = ", ".join("?" * len(columns))
        self._to_row = to_row
        self._from_row = from_row

    def all(self) -> list[Record]:
        """Return every record that can be read; see `Named.all`."""
        return self._selected("ORDER BY name")

    def _selected(self, which: str, *values: object) -> list[Record]:
        found = self._db.rows(f"SELECT {self._columns} FROM {self._table} {which}", values)
        return records.read_each(self._kind, ((row[0], row) for row in found), self._from_row)

    def get(self, name: str) -> Record | None:
        """Return one record; see `Named.get`."""
        row = self._db.row(f"SELECT {self._columns} FROM {self._table} WHERE name = ?", (name,))
        return records.read_named(self._kind, name, row, self._from_row) if row else None

    def save(self, after: Record, before: Record | None = None) -> bool:
        """Store a record if it is as it was read; see `Named.save`."""
        with self._db.writing():
            return self._save(after, before)

    def _save(self, after: Record, before: Record | None) -> bool:
        """Store a record within a transaction, if it is as it was read."""
        if before is None:
            statement = f"INSERT OR IGNORE INTO {self._table} ({self._columns}) "
            values = f"VALUES ({self._marks})"
            fence: list[object] = []
        else:
            statement = f"UPDATE {self._table} SET ({self._columns}) = ({self._marks}) "
            values, fence = _FENCE, _fence_of(before)
        written = self._db.connection.execute(statement + values, [*self._to_row(after), *fence])
        return written.rowcount > 0

    def _is_unchanged(self, record: Record) -> bool:
        found = self._db.row(f"SELECT 1 FROM {self._table} {_FENCE}", _fence_of(record))
        return found is not None

    def remove(self, name: str) -> bool:
        """Forget a record; see `Named.remove`."""
        with self._db.writing():
            removed = self._db.connection.execute(
                f"DELETE FROM {self._table} WHERE name = ?", (name,)
            )
        return removed.rowcount > 0


_FENCE = "WHERE name = ? AND rev = ? AND created_at = ?"
"""What tells a record from what it was before, and from another of its name."""


def _fence_of(record: Hook | Schedule | Batch | HostRecord) -> list[object]:
    return [record.name, record.rev, to_millis(record.created_at)]


class ScheduleTable(NamedTable["Schedule"]):
    """The schedules, as `components.Schedules` says."""

    def __init__(self, db: Database) -> None:
        super().__init__(
            db, "schedule", records.SCHEDULE_FIELDS, _schedule_to_row, _schedule_from_row
        )

    def due(self, by: datetime) -> list[Schedule]:
        """Return the schedules that are due; see `Schedules.due`."""
        which = "WHERE paused = 0 AND next_due <= ? ORDER BY next_due"
        return self._selected(which, to_millis(by))

    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        """Add the run of a schedule and advance it, in one transaction; see `Schedules.fire`."""
        from queuectl.stores.sqlite import writes  # which those who only look do without

        db = self._db
        prepared = writes.prepare(db, [job], db.now())
        with db.writing():
            if not self._is_unchanged(before):
                return Fired.LOST
            refused = writes.insert_prepared(db, prepared, atomic=False)
            if refused and not reads.taken(db, [job.id]):
                return Fired.OVERLAPS
            self._save(after, before)
        db.wake.notify()
        return Fired.ENQUEUED


def _schedule_to_row(schedule: Schedule) -> list[Any]:
    document = records.schedule_to_document(schedule)
    for name in records.SCHEDULE_TIMES:
        if document[name] is not None:
            document[name] = to_millis(document[name])
    return list(document.values())


def _schedule_from_row(row: Sequence[Any]) -> Schedule:
    document = dict(zip(records.SCHEDULE_FIELDS, row, strict=True))
    for name in records.SCHEDULE_TIMES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    return records.schedule_from_document(document)


def hook_table(db: Database) -> NamedTable[Hook]:
    """Return the hooks."""
    return NamedTable(
        db, "hook", ("name", "rev", "created_at", "record"), _hook_to_row, _hook_from_row
    )


def _hook_to_row(hook: Hook) -> list[Any]:
    return [*_fence_of(hook), records.hook_to_text(hook)]


def _hook_from_row(row: Sequence[Any]) -> Hook:
    return records.hook_from_text(row[-1])


def host_table(db: Database) -> NamedTable[HostRecord]:
    """Return what is kept of hosts."""
    return NamedTable(
        db, "host", ("name", "rev", "created_at", "record"), _host_to_row, _host_from_row
    )


def _host_to_row(host: HostRecord) -> list[Any]:
    return [*_fence_of(host), records.host_to_text(host)]


def _host_from_row(row: Sequence[Any]) -> HostRecord:
    return records.host_from_text(row[-1])
