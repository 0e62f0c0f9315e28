"""What was decided about queues in the embedded store: which are paused, and how many may run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.queue_limits import QueueLimit
from queuectl.stores.sqlite import reads

if TYPE_CHECKING:
    from queuectl.stores.sqlite.database import Database


def queue_limits(db: Database) -> dict[str, QueueLimit]:
    """Return what was decided about queues; see `Store.queue_limits`."""
    found = db.rows("SELECT name, paused, slot_limit FROM queues ORDER BY name")
    return {
        name: QueueLimit(bool(paused), limit, reads.used_slots(db, name) if limit else 0)
        for name, paused, limit in found
    }


def set_queue_limit(db: Database, queue: str, paused: bool | None, limit: int | None) -> None:
    """Pause, resume or limit a queue; see `Store.set_queue_limit`."""
    with db.writing():
        execute = db.connection.execute
        execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", (queue,))
        if paused is not None:
            execute("UPDATE queues SET paused = ? WHERE name = ?", (paused, queue))
        if limit is not None:
            execute("UPDATE queues SET slot_limit = ? WHERE name = ?", (limit, queue))
        execute(
            "UPDATE queue_priority_counters SET full = 0, "
            "paused = (SELECT paused FROM queues WHERE name = ?1) WHERE queue = ?1",
            (queue,),
        )
        execute("DELETE FROM queues WHERE name = ? AND paused = 0 AND slot_limit = 0", (queue,))
