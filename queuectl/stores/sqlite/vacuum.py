"""Room that the embedded store does not need any more, given back to the file system.

Pages that deleted jobs have left are cut off the file a few at a time, each few in a write of
their own, so that claims come in between. A file that was made before that was possible is written
anew, once, when it is small and nothing is to be done. The write-ahead log is cut when it has
grown, which takes an instant without readers: that is waited for only when it is very long.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from queuectl.stores.sqlite.database import set_busy_seconds, translated
from queuectl.stores.sqlite.transaction import LogSync, WriterLock, WriteTransaction

log = logging.getLogger("queuectl.stores")

_INCREMENTAL = 2
_SPARE_PAGES = 256
"""So many free pages are kept: what comes next needs them again."""

_STEP_PAGES = 100
_BREATH_SECONDS = 0.005
_LONG_LOG_BYTES = 1024 * 1024
_HUGE_LOG_BYTES = 32 * 1024 * 1024
"""Twice what the log comes to where no reader is in its way."""

_HUGE_LOG_SECONDS = 0.1
"""How long readers are waited for then, while nobody writes."""

_REBUILT_BYTES = 64 * 1024 * 1024
"""A file with more in it than this is not written anew: its writers would wait too long."""

_REBUILD_ROOM = 3
"""How many times its content a file's disk has to have free for that: log and temporary file."""


class Room:
    """The room of one store's file and log, seen by a connection that is used by one thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        lock: WriterLock,
        writing: WriteTransaction,
        log_sync: LogSync,
    ) -> None:
        self._connection = connection
        self._path = path
        self._lock = lock
        self._writing = writing
        self._log_sync = log_sync

    def has_surplus(self) -> bool:
        """Whether the file has many more free pages than it should, and can give them back."""
        with translated(self._path):
            can_shrink = self._ask("auto_vacuum") == _INCREMENTAL
            return can_shrink and self._ask("freelist_count") > 2 * _SPARE_PAGES

    def give_back(self, seconds: float) -> bool:
        """Cut free pages off the file for some time; return whether there are more."""
        ends_at = time.monotonic() + seconds
        while (surplus := self._ask("freelist_count") - _SPARE_PAGES) > 0:
            with self._writing:
                for _ in range(min(surplus, _STEP_PAGES)):
                    # `execute` takes one step, which frees one page whatever number is asked for
                    self._connection.execute("PRAGMA incremental_vacuum(1)")
            if time.monotonic() >= ends_at:
                return surplus > _STEP_PAGES
            time.sleep(_BREATH_SECONDS)
        return False

    def shorten_log(
        self, *, is_quiet: bool, has_shrunk: bool, may_wait: Callable[[], bool]
    ) -> None:
        """Cut the log where it is long and little is going on, or where it is very long.

        Readers are waited for only then, and if `may_wait` says so. A file that `has_shrunk` does
        so on the disk when the log is copied into it.
        """
        try:
            size = Path(f"{self._path}-wal").stat().st_size
        except OSError:
            return
        is_huge = size > _HUGE_LOG_BYTES and may_wait()
        is_wanted = is_huge or (size > _LONG_LOG_BYTES and is_quiet)
        if not (is_wanted or has_shrunk):
            return
        with translated(self._path):
            # most of the work is done while others write; the rest is short
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if is_wanted:
            self._alone("PRAGMA wal_checkpoint(TRUNCATE)", _HUGE_LOG_SECONDS if is_huge else 0.0)

    def is_old(self) -> bool:
        """Whether the file cannot shrink, but is small enough to be made so that it can."""
        with translated(self._path):
            if self._ask("auto_vacuum") == _INCREMENTAL:
                return False
            used = self._ask("page_count") - self._ask("freelist_count")
            content = used * self._ask("page_size")
        disk = os.statvfs(self._path.parent)
        return content <= _REBUILT_BYTES and content * _REBUILD_ROOM < disk.f_bavail * disk.f_frsize

    def rebuild(self) -> None:
        """Write the file anew, so that it can shrink. Others wait meanwhile; readers need not."""
        began = time.monotonic()
        with translated(self._path):
            self._connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
        if self._alone("VACUUM", self._lock.patience):
            self._log_sync.note_commit()
            self._log_sync.catch_up()
            log.info("%s was written anew in %.1f s", self._path, time.monotonic() - began)

    def _alone(self, statement: str, patience: float) -> bool:
        """Run what SQLite makes a transaction of its own, in our turn; False: others have it."""
        if not self._lock.take_turn():
            return False
        try:
            with translated(self._path):
                set_busy_seconds(self._connection, patience)
                self._connection.execute(statement).fetchall()
        finally:
            self._lock.end()
            set_busy_seconds(self._connection, self._lock.patience)
        return True

    def _ask(self, name: str) -> int:
        value: int = self._connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value
