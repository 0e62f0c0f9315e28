"""The smaller tables of the embedded store: settings, notes, turns, workers, environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.errors import NotFound
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import records
from queuectl.stores.sqlite.rows import dump_json, load_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from typing import Any

    from queuectl.domain.host import HostReport
    from queuectl.domain.worker_record import StopRequest, WorkerRecord
    from queuectl.stores.sqlite.database import Database

_WORKER_FIELDS = (
    "id", "pid", "started", "boot", "host", "home", "queues", "started_at", "heartbeat_at", "stop",
    "slots", "resources", "report",
)  # fmt: skip


def try_acquire_turn(db: Database, chore: str, every_seconds: float) -> bool:
    """Take the turn at a chore if it is due; see `Store.try_acquire_turn`."""
    now = to_millis(db.now())
    with db.writing():
        taken = db.connection.execute(
            "INSERT INTO turns VALUES (?1, ?2) ON CONFLICT DO UPDATE "
            "SET next_at = excluded.next_at WHERE next_at <= ?3 OR next_at > excluded.next_at",
            (chore, now + int(every_seconds * 1000), now),
        )
    return taken.rowcount > 0


class MetaTable:
    """Notes about the store itself, as `components.Meta` says."""

    def __init__(self, db: Database, table: str = "meta", key: str = "name") -> None:
        self._db = db
        self._table = table
        self._key = key

    def get(self, name: str) -> str | None:
        """Return what is noted under a name."""
        row = self._db.row(f"SELECT value FROM {self._table} WHERE {self._key} = ?", (name,))
        return row[0] if row else None

    def set(self, name: str, value: str | None) -> None:
        """Note something under a name; None removes it."""
        with self._db.writing():
            if value is None:
                statement, values = f"DELETE FROM {self._table} WHERE {self._key} = ?", [name]
            else:
                statement, values = f"REPLACE INTO {self._table} VALUES (?, ?)", [name, value]
            self._db.connection.execute(statement, values)


class SettingsTable:
    """The settings that were changed, as `components.StoredSettings` says."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._values = MetaTable(db, "settings", "key")

    def all(self) -> dict[str, object]:
        """Return the stored settings; what is not JSON is returned as the text it is."""
        return {key: _loaded(value) for key, value in self._db.rows("SELECT * FROM settings")}

    def set(self, key: str, value: object | None) -> None:
        """Store one setting; None removes it."""
        self._values.set(key, None if value is None else dump_json(value))


def _loaded(value: str) -> object:
    try:
        return load_json(value)
    except ValueError:
        return value


class WorkerTable:
    """The registry of workers, as `components.Workers` says."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[WorkerRecord]:
        """Return every registered worker, the earliest first."""
        fields = ", ".join(_WORKER_FIELDS)
        found = self._db.rows(f"SELECT {fields} FROM workers ORDER BY started_at, id")
        return records.read_each("worker", ((row[0], row) for row in found), _worker)

    def register(self, worker: WorkerRecord) -> None:
        """Add a worker to the registry."""
        from pathlib import Path

        from queuectl.stores.sqlite import spare_room  # which few commands need

        spare_room.keep(Path(self._db.path))
        document = records.worker_to_document(worker)
        document["queues"] = dump_json(document["queues"])
        document["resources"] = document["resources"] and dump_json(document["resources"])
        document["started_at"] = to_millis(document["started_at"])
        document["heartbeat_at"] = to_millis(self._db.now())
        with self._db.writing():
            self._db.connection.execute(
                f"INSERT OR REPLACE INTO workers ({', '.join(_WORKER_FIELDS)}) "
                f"VALUES ({', '.join('?' * len(_WORKER_FIELDS))})",
                [document[name] for name in _WORKER_FIELDS],
            )

    def heartbeat(
        self, worker_id: str, slots: int, report: HostReport | None = None
    ) -> StopRequest | None:
        """Note that a worker lives; see `Workers.heartbeat`."""
        told = report and records.report_to_text(report)
        with self._db.writing():
            row = self._db.row(
                "UPDATE workers SET heartbeat_at = ?, slots = ?, report = ? WHERE id = ? "
                "RETURNING stop",
                (to_millis(self._db.now()), slots, told, worker_id),
            )
        if row is None:
            raise NotFound(f"worker '{worker_id}' is not registered")
        return records.stop_request(row[0])

    def unregister(self, worker_id: str) -> None:
        """Remove a worker from the registry."""
        with self._db.writing():
            self._db.connection.execute("DELETE FROM workers WHERE id = ?", (worker_id,))

    def ask_to_stop(self, worker_ids: Collection[str], how: StopRequest) -> None:
        """Leave a request that each worker finds with its next heartbeat."""
        with self._db.writing():
            self._db.connection.executemany(
                "UPDATE workers SET stop = ? WHERE id = ?",
                [(how.value, worker_id) for worker_id in worker_ids],
            )


def _worker(row: Sequence[Any]) -> WorkerRecord:
    document = dict(zip(_WORKER_FIELDS, row, strict=True))
    document["queues"] = load_json(document["queues"])
    document["resources"] = load_json(document["resources"] or "null")
    document["started_at"] = from_millis(document["started_at"])
    document["heartbeat_at"] = from_millis(document["heartbeat_at"])
    return records.worker_from_document(document)


class EnvironmentTable:
    """Captured environments, as `components.Environments` says."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def names(self) -> list[str]:
        """Return the names of the captured environments."""
        return [name for (name,) in self._db.rows("SELECT id FROM environments ORDER BY id")]

    def get(self, name: str) -> tuple[tuple[str, str], ...] | None:
        """Return the variables of a captured environment."""
        row = self._db.row("SELECT variables FROM environments WHERE id = ?", (name,))
        return tuple((key, value) for key, value in load_json(row[0])) if row else None

    def save(self, name: str, variables: Sequence[tuple[str, str]]) -> None:
        """Store an environment, or renew its age."""
        with self._db.writing():
            self._db.connection.execute(
                "REPLACE INTO environments VALUES (?, ?, ?)",
                (name, dump_json(list(variables)), to_millis(self._db.now())),
            )

    def forget(self, before: datetime) -> int:
        """Remove those stored before an instant that no job names; see `Environments.forget`."""
        with self._db.writing():
            return self._db.connection.execute(
                "DELETE FROM environments WHERE kept_at < ? "
                "AND NOT EXISTS (SELECT 1 FROM jobs WHERE environment = environments.id)",
                (to_millis(before),),
            ).rowcount
