"""The smaller tables of the embedded store: settings, the registry of workers, turns."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from queuectl.domain.errors import NotFound
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import records, serialization
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.rows import dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

    from queuectl.domain.worker_record import StopRequest, WorkerRecord

_WORKER_FIELDS = (
    "id", "pid", "started", "boot", "host", "home", "queues", "started_at", "heartbeat_at", "stop",
)  # fmt: skip


class SqliteFleet:
    """The part of `SqliteStore` that is not about jobs."""

    _path: Path
    _connection: sqlite3.Connection

    def now(self) -> datetime:
        """Return the store's time."""
        raise NotImplementedError

    def recover(self) -> None:
        """Open the file again where that is needed; see `Store.recover`."""
        raise NotImplementedError

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError

    def settings(self) -> dict[str, object]:
        """Return the stored settings; what is not JSON is returned as the text it is."""
        with translated(self._path):
            found = self._connection.execute("SELECT key, value FROM settings").fetchall()
        return {key: _loaded(value) for key, value in found}

    def set_setting(self, key: str, value: object | None) -> None:
        """Store one setting; None removes it."""
        with self._writing():
            if value is None:
                self._connection.execute("DELETE FROM settings WHERE key = ?", (key,))
            else:
                self._connection.execute(
                    "INSERT INTO settings VALUES (?, ?) "
                    "ON CONFLICT DO UPDATE SET value = excluded.value",
                    (key, dump_json(value)),
                )

    def try_acquire_turn(self, chore: str, every_seconds: float) -> bool:
        """Take the turn at a chore if it is due."""
        now = to_millis(self.now())
        with self._writing():
            taken = self._connection.execute(
                "INSERT INTO turns VALUES (?1, ?2) ON CONFLICT DO UPDATE "
                "SET next_at = excluded.next_at WHERE next_at <= ?3 OR next_at > excluded.next_at",
                (chore, now + int(every_seconds * 1000), now),
            ).rowcount
        return taken > 0

    def register(self, worker: WorkerRecord) -> None:
        """Add a worker to the registry."""
        from queuectl.stores.sqlite import spare_room  # which few commands need

        spare_room.keep(self._path)
        document = records.worker_to_document(worker)
        document["queues"] = dump_json(document["queues"])
        document["started_at"] = to_millis(document["started_at"])
        document["heartbeat_at"] = to_millis(self.now())
        with self._writing():
            self._connection.execute(
                f"INSERT OR REPLACE INTO workers ({', '.join(_WORKER_FIELDS)}) "
                f"VALUES ({', '.join('?' * len(_WORKER_FIELDS))})",
                [document[name] for name in _WORKER_FIELDS],
            )

    def heartbeat(self, worker_id: str) -> StopRequest | None:
        """Note that a worker lives; return what it was asked."""
        with self._writing():
            row = self._connection.execute(
                "UPDATE workers SET heartbeat_at = ? WHERE id = ? RETURNING stop",
                (to_millis(self.now()), worker_id),
            ).fetchone()
        if row is None:
            raise NotFound(f"worker '{worker_id}' is not registered")
        return records.stop_request(row[0])

    def unregister(self, worker_id: str) -> None:
        """Remove a worker from the registry."""
        with self._writing():
            self._connection.execute("DELETE FROM workers WHERE id = ?", (worker_id,))

    def workers(self) -> list[WorkerRecord]:
        """Return every registered worker, the earliest first."""
        with translated(self._path):
            found = self._connection.execute(
                f"SELECT {', '.join(_WORKER_FIELDS)} FROM workers ORDER BY started_at, id"
            ).fetchall()
        workers = []
        for row in found:
            try:
                workers.append(_worker(dict(zip(_WORKER_FIELDS, row, strict=True))))
            except serialization.UNREADABLE:
                serialization.note_unreadable("workers", row[0])
        return workers

    def ask_to_stop(self, worker_ids: Collection[str], how: StopRequest) -> None:
        """Leave a request that each worker finds with its next heartbeat."""
        with self._writing():
            self._connection.executemany(
                "UPDATE workers SET stop = ? WHERE id = ?",
                [(how.value, worker_id) for worker_id in worker_ids],
            )

    def check(self, *, quick: bool = False) -> list[str]:
        """See that all parts are there, ours alone, and all pages sound; recount the counts.

        Only that all are there, and where the file is small that pages are sound, if it is quick.
        """
        from queuectl.stores.sqlite import integrity

        faults: list[str] = []
        with translated(self._path):
            integrity.require_parts(self._connection, self._path)
            if not quick or integrity.is_small(self._connection):
                integrity.require_pages(self._connection, self._path, quick=quick)
            if quick:
                return faults
            from queuectl.stores.sqlite.integrity import odd_parts

            faults += [f"{odd}: {odd.remedy(self._path)}" for odd in odd_parts(self._connection)]
            (miscounted,) = self._connection.execute(
                "SELECT count(*) FROM (SELECT queue, state, count(*) AS jobs FROM jobs "
                "GROUP BY queue, state EXCEPT SELECT queue, state, jobs FROM counts)"
            ).fetchone()
        if miscounted:
            faults.append(f"{miscounted} of the counts by queue and state are wrong")
        return faults


def _loaded(value: str) -> object:
    try:
        return load_json(value)
    except ValueError:
        return value


def _worker(document: serialization.Document) -> WorkerRecord:
    document["queues"] = load_json(document["queues"])
    document["started_at"] = from_millis(document["started_at"])
    document["heartbeat_at"] = from_millis(document["heartbeat_at"])
    return records.worker_from_document(document)
