"""Schedules and hooks in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import records, serialization
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.registry import SqliteFleet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from queuectl.domain.hooks import Hook
    from queuectl.domain.schedule import Schedule


_COLUMNS = ", ".join(records.SCHEDULE_FIELDS)
_SELECT = f"SELECT {_COLUMNS} FROM schedules"


class SqliteSchedules(SqliteFleet):
    """The part of `SqliteStore` that keeps schedules."""

    def schedules(self, due_by: datetime | None = None) -> list[Schedule]:
        """Return every schedule, or those that are due; see `Store.schedules`."""
        with translated(self._path):
            if due_by is None:
                found = self._connection.execute(f"{_SELECT} ORDER BY name").fetchall()
            else:
                found = self._connection.execute(
                    f"{_SELECT} WHERE paused = 0 AND next_due <= ? ORDER BY next_due",
                    (to_millis(due_by),),
                ).fetchall()
        schedules = []
        for row in found:
            try:
                schedules.append(records.schedule_from_document(_document(row)))
            except serialization.UNREADABLE:
                serialization.note_unreadable("schedules", row[0])
        return schedules

    def schedule(self, name: str) -> Schedule | None:
        """Return one schedule."""
        with translated(self._path):
            row = self._connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        return records.the_schedule(_document(row)) if row else None

    def save_schedule(self, after: Schedule, before: Schedule | None = None) -> bool:
        """Store a schedule if it is as it was read; see `Store.save_schedule`."""
        with self._writing():
            if before is not None:
                return self._advance(before, after)
            written = self._connection.execute(
                f"INSERT OR IGNORE INTO schedules ({_COLUMNS}) "
                f"VALUES ({', '.join('?' * len(records.SCHEDULE_FIELDS))})",
                _row(after),
            )
        return written.rowcount > 0

    def remove_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether it was there."""
        with self._writing():
            removed = self._connection.execute("DELETE FROM schedules WHERE name = ?", (name,))
        return removed.rowcount > 0

    def _is_unchanged(self, schedule: Schedule) -> bool:
        found = self._connection.execute(
            "SELECT 1 FROM schedules WHERE name = ? AND rev = ? AND created_at = ?",
            _fence(schedule),
        )
        return found.fetchone() is not None

    def _advance(self, before: Schedule, after: Schedule) -> bool:
        """Store a schedule within a transaction, if it is as it was read."""
        places = ", ".join("?" * len(records.SCHEDULE_FIELDS))
        written = self._connection.execute(
            f"UPDATE schedules SET ({_COLUMNS}) = ({places}) "
            "WHERE name = ? AND rev = ? AND created_at = ?",
            [*_row(after), *_fence(before)],
        )
        return written.rowcount > 0


def _fence(schedule: Schedule) -> list[Any]:
    """Return what tells a schedule from what it was before, and from another of its name."""
    return [schedule.name, schedule.rev, to_millis(schedule.created_at)]


def _row(schedule: Schedule) -> list[Any]:
    document = records.schedule_to_document(schedule)
    for name in records.SCHEDULE_TIMES:
        if document[name] is not None:
            document[name] = to_millis(document[name])
    return list(document.values())


def _document(row: Sequence[Any]) -> serialization.Document:
    document = dict(zip(records.SCHEDULE_FIELDS, row, strict=True))
    for name in records.SCHEDULE_TIMES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    return document


class SqliteHooks(SqliteFleet):
    """The part of `SqliteStore` that keeps hooks."""

    def hooks(self) -> list[Hook]:
        """Return every hook, by name; see `Store.hooks`."""
        with translated(self._path):
            found = self._connection.execute("SELECT name, record FROM hooks ORDER BY name")
            rows = found.fetchall()
        if not rows:
            return []
        from queuectl.stores.records import readable_hooks

        return readable_hooks(rows)

    def save_hook(self, after: Hook, before: Hook | None = None) -> bool:
        """Store a hook if it is as it was read; see `Store.save_hook`."""
        with self._writing():
            if before is None:
                written = self._connection.execute(
                    "INSERT OR IGNORE INTO hooks VALUES (?, ?, ?, ?)", _hook_row(after)
                )
            else:
                written = self._connection.execute(
                    "UPDATE hooks SET (name, rev, created_at, record) = (?, ?, ?, ?) "
                    "WHERE name = ? AND rev = ? AND created_at = ?",
                    [*_hook_row(after), *_hook_row(before)[:3]],
                )
        return written.rowcount > 0

    def remove_hook(self, name: str) -> bool:
        """Forget a hook; return whether it was there."""
        with self._writing():
            removed = self._connection.execute("DELETE FROM hooks WHERE name = ?", (name,))
        return removed.rowcount > 0


def _hook_row(hook: Hook) -> list[Any]:
    from queuectl.stores.records import hook_to_text

    return [hook.name, hook.rev, to_millis(hook.created_at), hook_to_text(hook)]
