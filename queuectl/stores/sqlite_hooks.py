"""Hooks in the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.times import to_millis
from queuectl.stores.sqlite_database import translated
from queuectl.stores.sqlite_fleet import SqliteFleet

if TYPE_CHECKING:
    from typing import Any

    from queuectl.domain.hook import Hook


class SqliteHooks(SqliteFleet):
    """The part of `SqliteStore` that keeps hooks."""

    def hooks(self) -> list[Hook]:
        """Return every hook, by name; see `Store.hooks`."""
        with translated(self._path):
            found = self._connection.execute("SELECT name, record FROM hooks ORDER BY name")
            rows = found.fetchall()
        if not rows:
            return []
        from queuectl.stores.hook_codec import readable_hooks

        return readable_hooks(rows)

    def put_hook(self, after: Hook, before: Hook | None = None) -> bool:
        """Store a hook if it is as it was read; see `Store.put_hook`."""
        with self._writing():
            if before is None:
                written = self._connection.execute(
                    "INSERT OR IGNORE INTO hooks VALUES (?, ?, ?, ?)", _row(after)
                )
            else:
                written = self._connection.execute(
                    "UPDATE hooks SET (name, rev, created_at, record) = (?, ?, ?, ?) "
                    "WHERE name = ? AND rev = ? AND created_at = ?",
                    [*_row(after), *_row(before)[:3]],
                )
        return written.rowcount > 0

    def remove_hook(self, name: str) -> bool:
        """Forget a hook; return whether it was there."""
        with self._writing():
            removed = self._connection.execute("DELETE FROM hooks WHERE name = ?", (name,))
        return removed.rowcount > 0


def _row(hook: Hook) -> list[Any]:
    from queuectl.stores.hook_codec import hook_to_text

    return [hook.name, hook.rev, to_millis(hook.created_at), hook_to_text(hook)]
