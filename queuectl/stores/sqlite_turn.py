"""Writers of one store take turns at a lock file before they ask SQLite for its lock.

SQLite has no queue: who finds its lock taken sleeps for a millisecond, then two, then five. That
is longer than a whole job's bookkeeping takes. Here the next writer looks again within
microseconds. The lock is only a courtesy: SQLite's own still decides.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from queuectl.home import open_private

_HAS_FLOCK = os.name != "nt"
_PAUSES = (0.00003, 0.002)


class WriterTurn:
    """The lock file of one store, held while a transaction writes."""

    def __init__(self, store_file: Path, patience: float) -> None:
        self._patience = patience
        self._file = open_private(store_file.with_name(f"{store_file.name}-lock"), os.O_RDWR)

    def close(self) -> None:
        """Let go of the file, and with it of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def take(self) -> None:
        """Wait for the lock, for a while; whoever holds it longer is SQLite's to deal with."""
        if not _HAS_FLOCK:
            return  # SQLite's own lock is enough there
        import fcntl

        pause, longest = _PAUSES
        deadline = 0.0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + self._patience
                if now >= deadline:
                    return
                time.sleep(pause)
                pause = min(pause * 1.5, longest)

    def give(self) -> None:
        """Let the next writer have it."""
        if _HAS_FLOCK:
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
