"""Writers of one store take turns at a lock file before they ask SQLite for its lock.

SQLite has no queue: who finds its lock taken sleeps for a millisecond, then two, then five. That
is longer than a whole job's bookkeeping takes. Here the next writer looks again within
microseconds. The lock is only a courtesy: SQLite's own still decides.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from queuectl.home import open_private
from queuectl.stores.sqlite_files import StoreFiles
from queuectl.stores.sqlite_schema import translate
from queuectl.stores.sqlite_sync import LogSync

if os.name != "nt":
    import fcntl
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
        if os.name == "nt":
            return  # SQLite's own lock is enough there
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
        if os.name != "nt":
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)


class WriteTransaction(contextlib.AbstractContextManager[None]):
    """One transaction that nobody else's write can come between; used again and again.

    What it wrote is on the disk in the end, in the files that the store's names lead to. With
    `lags` the first is left to whoever made it, but for what was written before. `on_commit` is
    called when others can see it, and it may not be on the disk yet. A class and not a generator,
    because every job passes through it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        turn: WriterTurn,
        log: LogSync,
        path: Path,
        files: StoreFiles,
        *,
        lags: bool = False,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._turn = turn
        self._log = log
        self._path = path
        self._files = files
        self._lags = lags
        self._on_commit = on_commit

    def __enter__(self) -> None:
        self._log.catch_up()
        self._turn.take()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as fault:
            self._turn.give()
            raise translate(self._path, fault) from fault

    def __exit__(self, _kind: object, fault: object, _trace: object) -> None:
        try:
            if fault is None:
                self._connection.execute("COMMIT")
                self._log.note_commit()
        except sqlite3.Error as refusal:
            self._roll_back()
            raise translate(self._path, refusal) from refusal
        else:
            if fault is not None:
                self._roll_back()
            if isinstance(fault, sqlite3.Error):
                raise translate(self._path, fault) from fault
        finally:
            self._turn.give()
        if fault is None:
            self._on_commit()
        if not self._lags:
            self._log.catch_up()
        if fault is None:
            self._files.require_whole()  # else it is in a file that nobody will find

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
