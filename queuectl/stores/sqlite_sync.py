"""When the embedded store's commits reach the disk.

SQLite, told to sync each commit, does so while it holds the lock that all writers need. So it is
told to sync only before it copies its log home, which keeps the file sound and its commits in
order (https://www.sqlite.org/pragma.html#pragma_synchronous), and the log is synced here, after
each commit, when others may write already. A write is answered only after that.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from queuectl.domain.errors import StoreUnavailable

_sync_data = getattr(os, "fdatasync", os.fsync)
_UNOPENED = -1


class LogSync:
    """Syncs the write-ahead log of one store, unless `full_durability` is off."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._log = Path(f"{path}-wal")
        self._descriptor = _UNOPENED
        self._is_wanted = _is_wanted(connection)
        self._is_behind = False

    def close(self) -> None:
        """Let go of the log. Closing twice is harmless."""
        if self._descriptor != _UNOPENED:
            os.close(self._descriptor)
            self._descriptor = _UNOPENED

    def note_commit(self) -> None:
        """Say that something was committed that the disk may not have yet."""
        self._is_behind = self._is_wanted

    def catch_up(self) -> None:
        """Return when everything that was committed is on the disk. Raises StoreUnavailable."""
        if not self._is_behind:
            return
        try:
            if self._descriptor == _UNOPENED:
                # SQLite keeps no locks on this file, so closing another descriptor drops none.
                self._descriptor = os.open(self._log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            _sync_data(self._descriptor)
        except OSError as fault:
            raise StoreUnavailable(f"cannot sync {self._log}: {fault.strerror}") from fault
        self._is_behind = False


def _is_wanted(connection: sqlite3.Connection) -> bool:
    """Whether each commit is to be synced.

    Without it a crash of the machine may undo the last commits; it never leaves half of one.
    """
    found = connection.execute(
        "SELECT value FROM settings WHERE key = 'full_durability'"
    ).fetchone()
    return bool(found != ("false",))
