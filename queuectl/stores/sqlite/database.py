"""The embedded store's file: how it is made, recognised and refused; and the file once open."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import StoreRefused
from queuectl.domain.times import from_millis
from queuectl.stores.sqlite.connection import (
    add_missing_columns,
    all_or_nothing,
    connect,
    damaged,
    number_of,
    require_version,
    translate,
    translated,
)
from queuectl.stores.sqlite.files import FilesExchanged, StoreFiles
from queuectl.stores.sqlite.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION
from queuectl.stores.sqlite.transaction import (
    LogSync,
    Watch,
    WriterLock,
    WriterTurn,
    WriteTransaction,
)
from queuectl.stores.sqlite.wakeup import WakeFifo
from queuectl.system.home import cannot, open_private, private_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

EXCHANGED_SECONDS = 3.0
"""How long to wait for others to notice, and let go, when the store's files were exchanged."""

_LOG_BYTES = 16 * 1024 * 1024
"""What the log comes to between two copies; what readers make of it beyond that is cut off."""

_PAUSE_SECONDS = 0.02


class Database:
    """One store's file while it is open: its connection, and the transactions that write into it.

    What belongs to it reaches connection and transactions through it, as `recover` replaces them.
    `watch` looks after the holder of the lock that a writer waits for.
    """

    connection: sqlite3.Connection
    files: StoreFiles

    def __init__(self, path: str | Path, watch: Watch | None = None) -> None:
        self.path = path = os.fspath(path)
        self.wake = WakeFifo(path)
        self._watch = watch
        self._open(EXCHANGED_SECONDS)

    def _open(self, patience: float) -> None:
        path = self.path
        self.connection, self.files = connection, files = _open_database(path, patience)
        try:
            self.log = log = LogSync(path, is_wanted=self._has_full_durability())
            self._turn = WriterTurn(path)
        except BaseException:
            _close_database(connection, files)
            raise
        self.lock = lock = WriterLock(connection, path, self._turn, self._watch)
        self._transaction = WriteTransaction(lock, log, files)
        # a worker need not wait for the disk: nobody was told yet that there is a job
        self.claiming = WriteTransaction(lock, log, files, lags=True)
        self.adding = WriteTransaction(lock, log, files, on_commit=self.wake.notify)

    def _has_full_durability(self) -> bool:
        """Whether each commit is to be synced.

        Without it a crash of the machine may undo the last commits; it never leaves half of one.
        """
        row = self.row("SELECT value FROM settings WHERE key = 'full_durability'")
        return bool(row != ("false",))

    def recover(self, patience: float = EXCHANGED_SECONDS) -> None:
        """Open the file again whose `-wal` or `-shm` was taken away; see `Store.recover`.

        The last one to let go of what was taken brings what is in it home.
        """
        files = self.files
        if files.is_open and (files.is_whole() or self.connection.in_transaction):
            return
        if not files.is_own_file():
            files.require_whole()
        patience_of_lock = self.lock.patience
        self._close_files()
        self._open(patience)
        if self.files.place != files.place:  # it was put there just now
            self._close_files()
            self.files = files
            files.require_whole()
        if self.lock.patience != patience_of_lock:
            with translated(self.path):
                self.lock.be_patient_for(patience_of_lock)

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self.wake.close()
        self._close_files()

    def _close_files(self) -> None:
        self._turn.close()
        self.log.close()
        _close_database(self.connection, self.files)

    def now(self) -> datetime:
        """Return this machine's time."""
        return from_millis(time.time_ns() // 1_000_000)

    def writing(self) -> WriteTransaction:
        """Return the transaction that is on the disk when it has ended."""
        self.recover()
        return self._transaction

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return what a statement selects, or returns of what it writes."""
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.Error as fault:
            raise translate(self.path, fault) from fault

    def row(self, statement: str, values: Sequence[object] = ()) -> Any:
        """Return the first row of what a statement selects, or None."""
        try:
            return self.connection.execute(statement, values).fetchone()
        except sqlite3.Error as fault:
            raise translate(self.path, fault) from fault

    def version(self) -> int:
        """Return a number that changes when another connection has written."""
        version: int = self.row("PRAGMA data_version")[0]
        return version


def _open_database(path: str, patience: float) -> tuple[sqlite3.Connection, StoreFiles]:
    """Open the store's file, making it where there is none; `_close_database` closes it.

    Waits `patience` seconds for others to let go of files that were exchanged. Raises
    StoreRefused, having changed nothing, for a file that is damaged, of another version of
    queuectl, or of another program; StoreUnavailable when it cannot be opened now.
    """
    if not is_there(path):
        private_directory(os.path.dirname(path), parents=True)
    _refuse_links(path)
    files = StoreFiles(path)
    connection = _opened(path, files, patience)
    try:
        with translated(path):
            connection.execute("PRAGMA cache_size=-4000")
            pages = 4000 if os.path.exists(f"{path}-spare") else _log_pages(path)
            connection.execute(f"PRAGMA wal_autocheckpoint={pages}")  # the log is copied home
            connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
            add_missing_columns(connection)
            connection.execute("PRAGMA synchronous=NORMAL")  # the rest is done by `transaction`
    except BaseException:
        _close_database(connection, files)
        raise
    return connection, files


def _log_pages(path: str) -> int:
    """Return how long the log may grow beside a store for which no room is kept back."""
    from pathlib import Path

    from queuectl.stores.sqlite import spare_room

    return 1 if spare_room.is_used(Path(path)) else 4000


def _close_database(connection: sqlite3.Connection, files: StoreFiles) -> None:
    """Close a store's file. Closing twice is harmless."""
    with files.closing():
        connection.close()


def _opened(path: str, files: StoreFiles, patience: float) -> sqlite3.Connection:
    """Return a connection to files that belong together, if need be once others have let go."""
    ends_at = time.monotonic() + patience
    while True:
        try:
            with files.opening():
                return _open_here(path, files)
        except FilesExchanged:
            if time.monotonic() >= ends_at:
                files.let_go()
                raise
        time.sleep(_PAUSE_SECONDS)


def _open_here(path: str, files: StoreFiles) -> sqlite3.Connection:
    """Open the file, or make it, while nobody else opens or closes it."""
    if not is_there(path):
        _create(path)
    connection = connect(path)
    try:
        with translated(path):
            _recognise(connection, path)
            if not files.settle():
                connection.execute("PRAGMA journal_mode=WAL")  # which a copy may have lost
                _recognise(connection, path)
                files.require_settled()
    except BaseException:
        connection.close()
        raise
    return connection


def is_there(path: str | Path) -> bool:
    """Whether there is a file, which is not opened. Raises StoreRefused for what is no store."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as fault:
        raise cannot("open", path, fault) from None
    if not stat.S_ISREG(status.st_mode):
        raise StoreRefused(f"{path} is not a regular file", hint="name another store with --store")
    if status.st_size == 0:
        raise StoreRefused(
            f"{path} is empty: it has been truncated, or is no store",
            hint="queuectl restore FILE brings a backup back; or remove it to start afresh",
        )
    return True


def _refuse_links(path: str) -> None:
    """SQLite writes beside its file too, and would follow a symbolic link there."""
    for suffix in ("-wal", "-shm", "-journal"):
        beside = f"{path}{suffix}"
        if os.path.islink(beside):
            raise StoreRefused(
                f"{beside} is a symbolic link, which is not followed", hint="remove it"
            )


def _create(path: str) -> None:
    """Make a new store beside its place and link it there whole.

    So a half-made store is never seen, and of two that are made at once the first one wins.
    """
    from pathlib import Path

    from queuectl.stores.sqlite import spare_room

    prepared = Path(f"{path}.{os.getpid()}.new")
    prepared.unlink(missing_ok=True)
    try:
        os.close(open_private(prepared, os.O_RDWR | os.O_EXCL))
        with translated(path), contextlib.closing(connect(prepared)) as connection:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # see `vacuum`
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            with all_or_nothing(connection):
                for statement in _statements(SCHEMA):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        with contextlib.suppress(FileExistsError):
            os.link(prepared, path)
        spare_room.keep(Path(path))
    except OSError as fault:
        raise cannot("make", path, fault) from fault
    finally:
        for leftover in (prepared, Path(f"{prepared}-wal"), Path(f"{prepared}-shm")):
            leftover.unlink(missing_ok=True)


def _statements(script: str) -> list[str]:
    """Split a script into statements; `executescript` would commit the open transaction."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _recognise(connection: sqlite3.Connection, path: str) -> None:
    require_version(connection, path, "name another store with --store")
    size = number_of(connection, "page_count") * number_of(connection, "page_size")
    if os.stat(path).st_size < size and not _has_wal(path):
        raise damaged(path, "it is shorter than its header says")


def _has_wal(path: str) -> bool:
    """Whether a write-ahead log may hold the pages that the file lacks."""
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except OSError:
        return False
