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

from queuectl.domain.errors import StoreUnavailable
from queuectl.stores.sqlite import connection as connections
from queuectl.stores.sqlite.connection import is_busy, set_busy_seconds, translate
from queuectl.stores.sqlite.files import StoreFiles
from queuectl.system.home import open_private
from queuectl.system.terminal_stops import HOLDING

if os.name != "nt":
    import fcntl

_TURN_SECONDS = 1.0
"""How long a writer waits for its turn before it waits for SQLite's lock."""

_PAUSES = (0.00003, 0.002)
_LOOK_SECONDS = 0.25
"""How often to look who has SQLite's lock, while it is waited for without a turn."""

Watch = Callable[[str], Callable[[], "float | None"]]
"""Returns what one that waits for the lock of a file calls now and then to look after its holder.

That returns in how many seconds the holder is ended; None: it is not.
"""

_sync_data = getattr(os, "fdatasync", os.fsync)
_UNOPENED = -1


class LogSync:
    """Syncs the write-ahead log of one store, where that `is_wanted`."""

    def __init__(self, path: str, *, is_wanted: bool) -> None:
        self._log = f"{path}-wal"
        self._descriptor = _UNOPENED
        self._is_wanted = is_wanted
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


class WriterTurn:
    """The lock file of one store, held while a transaction writes.

    `patience` is for how many seconds it is waited for.
    """

    def __init__(self, store_file: str, patience: float = _TURN_SECONDS) -> None:
        self.patience = patience
        self._file = open_private(f"{store_file}-lock", os.O_RDWR)

    def close(self) -> None:
        """Let go of the file, and with it of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def take(self) -> bool:
        """Wait for the lock, for a while; return whether it is ours now.

        Whoever holds it longer is SQLite's to deal with.
        """
        if os.name == "nt":
            return True  # SQLite's own lock is enough there
        pause, longest = _PAUSES
        deadline = 0.0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + self.patience
                if now >= deadline:
                    return False
                time.sleep(pause)
                pause = min(pause * 1.5, longest)

    def give(self) -> None:
        """Let the next writer have it."""
        if os.name != "nt":
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)


class WriterLock:
    """SQLite's own lock of one store: what decides who writes.

    `patience` is for how many seconds it is waited for, after the turn, and `watch` looks after its
    holder meanwhile.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        turn: WriterTurn,
        watch: Watch | None,
    ) -> None:
        self.patience = connections.BUSY_SECONDS
        self.connection = connection
        self.path = path
        self._turn = turn
        self._watch = watch
        self._look: Callable[[], float | None] | None = None

    def be_patient_for(self, seconds: float) -> None:
        """Wait no longer than this for turn and lock from now on. Raises sqlite3.Error."""
        self.patience = seconds
        self._turn.patience = min(seconds, _TURN_SECONDS)
        set_busy_seconds(self.connection, seconds)

    def begin(self) -> None:
        """Begin a transaction that writes. Raises sqlite3.Error; then nothing is held."""
        HOLDING.begin()
        try:
            if self._turn.take():
                self._begin_at_once()
            else:
                self._insist(self.patience)
        except BaseException:
            if self.connection.in_transaction:  # interrupted when it had just begun
                self.connection.execute("ROLLBACK")
            self.end()
            raise

    def take_turn(self) -> bool:
        """Take the turn alone, for what SQLite makes a transaction of its own, until `end`."""
        HOLDING.begin()
        has_turn = False
        try:
            has_turn = self._turn.take()
        finally:
            if not has_turn:
                HOLDING.end()
        return has_turn

    def end(self) -> None:
        """Let others write: the transaction has ended."""
        self._turn.give()
        HOLDING.end()

    def _begin_at_once(self) -> None:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as fault:
            if not is_busy(fault):
                raise
            # whoever has the lock had no turn; it may be one that is stopped
            self._insist(0.0)

    def _insist(self, seconds: float) -> None:
        """Wait for the lock a little at a time, with an eye on who has it."""
        if self._look is None:
            self._look = self._watch(self.path) if self._watch else lambda: None
        deadline = time.monotonic() + seconds
        set_busy_seconds(self.connection, min(_LOOK_SECONDS, self.patience))
        try:
            while True:
                ends_in = self._look()
                # it is worth while to wait longer for one that is going to be ended
                is_about_to_end = ends_in is not None and ends_in < self.patience
                try:
                    self.connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.Error as fault:
                    is_late = time.monotonic() >= deadline
                    if not is_busy(fault) or (is_late and not is_about_to_end):
                        raise
                HOLDING.pause()
        finally:
            set_busy_seconds(self.connection, self.patience)


class WriteTransaction(contextlib.AbstractContextManager[None]):
    """One transaction that nobody else's write can come between; used again and again.

    What it wrote is on the disk in the end, in the files that the store's names lead to. With
    `lags` the first is left to whoever made it, but for what was written before. `on_commit` is
    called when others can see it, and it may not be on the disk yet. A class and not a generator,
    because every job passes through it.
    """

    def __init__(
        self,
        lock: WriterLock,
        log: LogSync,
        files: StoreFiles,
        *,
        lags: bool = False,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = lock.connection
        self._lock = lock
        self._log = log
        self._files = files
        self._lags = lags
        self._on_commit = on_commit

    def __enter__(self) -> None:
        self._log.catch_up()
        try:
            self._lock.begin()
        except sqlite3.Error as fault:
            raise translate(self._lock.path, fault) from fault

    def __exit__(self, _kind: object, fault: object, _trace: object) -> None:
        try:
            if fault is None:
                self._connection.execute("COMMIT")
                self._log.note_commit()
        except sqlite3.Error as refusal:
            self._roll_back()
            raise translate(self._lock.path, refusal) from refusal
        else:
            if fault is not None:
                self._roll_back()
            if isinstance(fault, sqlite3.Error):
                raise translate(self._lock.path, fault) from fault
        finally:
            self._lock.end()
        if fault is None:
            self._on_commit()
        if not self._lags:
            self._log.catch_up()
        if fault is None:
            self._files.require_whole()  # else it is in a file that nobody will find

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
