"""The audit trail in the embedded store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queuectl.domain import audit
from queuectl.domain.times import from_millis, to_millis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from queuectl.domain.audit import AuditEntry
    from queuectl.stores.sqlite.database import Database


class AuditTable:
    """Who has changed what, as `components.Audit` says."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Note acts, and let the oldest go where there are too many."""
        rows = [
            (to_millis(each.at), each.who, json.dumps(audit.to_document(each))) for each in entries
        ]
        with self._db.writing():
            connection = self._db.connection
            connection.executemany("INSERT INTO audit (at, who, record) VALUES (?, ?, ?)", rows)
            connection.execute(
                "DELETE FROM audit WHERE n <= (SELECT max(n) FROM audit) - ?",
                (audit.MOST_ENTRIES,),
            )

    def find(
        self, since: datetime | None = None, who: str = "", limit: int = 100, skip: int = 0
    ) -> list[AuditEntry]:
        """Return acts, the latest first; see `Audit.find`."""
        earliest = 0 if since is None else to_millis(since)
        found = self._db.rows(
            "SELECT at, who, record FROM audit WHERE at >= ? AND instr(lower(who), lower(?)) > 0 "
            "ORDER BY at DESC, n DESC LIMIT ? OFFSET ?",
            (earliest, who, limit, skip),
        )
        return [
            audit.from_document(from_millis(at), name, json.loads(record))
            for at, name, record in found
        ]

    def forget(self, before: datetime) -> int:
        """Forget acts from before an instant; return how many."""
        with self._db.writing():
            removed = self._db.connection.execute(
                "DELETE FROM audit WHERE at < ?", (to_millis(before),)
            )
        return removed.rowcount
