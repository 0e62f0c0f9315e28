"""The embedded store's file: how it is made, recognised and refused.

Only SQLite itself opens the file once this process has it open: on POSIX, closing any other
descriptor would drop the locks that it holds (https://www.sqlite.org/howtocorrupt.html).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain.errors import Conflict, StoreForeign, StoreFull, StoreRefused, StoreUnavailable
from queuectl.domain.job_fields import FIELDS
from queuectl.stores.sqlite.files import FilesExchanged, StoreFiles
from queuectl.stores.sqlite.schema import (
    APPLICATION_ID,
    DEVELOPMENT_ID,
    LAYOUT,
    SCHEMA,
    SCHEMA_VERSION,
    column_of,
    layout_of_version,
)
from queuectl.system.home import cannot, open_private, private_directory
from queuectl.system.terminal_stops import HOLDING

BUSY_SECONDS = 10.0
_LOG_BYTES = 16 * 1024 * 1024
"""What the log comes to between two copies; what readers make of it beyond that is cut off."""
EXCHANGED_SECONDS = 3.0
"""How long to wait for others to notice, and let go, when the store's files were exchanged."""

_PAUSE_SECONDS = 0.02


def open_database(
    path: Path, patience: float = EXCHANGED_SECONDS
) -> tuple[sqlite3.Connection, StoreFiles]:
    """Open the store's file, making it where there is none; `close_database` closes it.

    Waits `patience` seconds for others to let go of files that were exchanged. Raises
    StoreRefused, having changed nothing, for a file that is damaged, of another version of
    queuectl, or of another program; StoreUnavailable when it cannot be opened now.
    """
    if not is_there(path):
        private_directory(path.parent, parents=True)
    _refuse_links(path)
    files = StoreFiles(path)
    connection = _opened(path, files, patience)
    try:
        with translated(path):
            connection.execute("PRAGMA cache_size=-4000")
            pages = 4000 if os.path.exists(f"{path}-spare") else _log_pages(path)  # noqa: PTH110 - asked by every command
            connection.execute(f"PRAGMA wal_autocheckpoint={pages}")  # the log is copied home
            connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
            add_missing_columns(connection)
            connection.execute("PRAGMA synchronous=NORMAL")  # the rest is done by `transaction`
    except BaseException:
        close_database(connection, files)
        raise
    return connection, files


@contextlib.contextmanager
def opened_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Have a store's file open for a while. Raises as `open_database` does."""
    connection, files = open_database(path)
    try:
        yield connection
    finally:
        close_database(connection, files)


def _log_pages(path: Path) -> int:
    """Return how long the log may grow beside a store for which no room is kept back."""
    from queuectl.stores.sqlite import spare_room

    return 1 if spare_room.is_used(path) else 4000


def close_database(connection: sqlite3.Connection, files: StoreFiles) -> None:
    """Close a store's file. Closing twice is harmless."""
    with files.closing():
        connection.close()


def _opened(path: Path, files: StoreFiles, patience: float) -> sqlite3.Connection:
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


def _open_here(path: Path, files: StoreFiles) -> sqlite3.Connection:
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


def connect(path: Path, *, mode: str = "mode=rw") -> sqlite3.Connection:
    """Return a connection in autocommit mode to a file that exists."""
    with translated(path):
        return sqlite3.connect(
            f"file:{_quoted(path)}?{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            cached_statements=256,
        )


_spellings = itertools.count()


def set_busy_seconds(connection: sqlite3.Connection, seconds: float) -> None:
    """Say how long a connection waits for SQLite's locks.

    SQLite may do this while it prepares a statement, so each one is spelled anew.
    """
    connection.execute(f"PRAGMA busy_timeout={int(seconds * 1000)} -- {next(_spellings)}")


def is_busy(fault: sqlite3.Error) -> bool:
    """Whether an error of SQLite's says that a lock was not to be had in time."""
    return any(word in str(fault) for word in ("locked", "busy"))


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def is_there(path: Path) -> bool:
    """Whether there is a file, which is not opened. Raises StoreRefused for what is no store."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as fault:
        raise cannot("open", path, fault) from None
    if not stat.S_ISREG(found.st_mode):
        raise StoreRefused(f"{path} is not a regular file", hint="name another store with --store")
    if found.st_size == 0:
        raise StoreRefused(
            f"{path} is empty: it has been truncated, or is no store",
            hint="queuectl restore FILE brings a backup back; or remove it to start afresh",
        )
    return True


def _refuse_links(path: Path) -> None:
    """SQLite writes beside its file too, and would follow a symbolic link there."""
    for suffix in ("-wal", "-shm", "-journal"):
        beside = Path(f"{path}{suffix}")
        if beside.is_symlink():
            raise StoreRefused(
                f"{beside} is a symbolic link, which is not followed", hint="remove it"
            )


def _create(path: Path) -> None:
    """Make a new store beside its place and link it there whole.

    So a half-made store is never seen, and of two that are made at once the first one wins.
    """
    prepared = path.with_name(f"{path.name}.{os.getpid()}.new")
    prepared.unlink(missing_ok=True)
    try:
        os.close(open_private(prepared, os.O_RDWR | os.O_EXCL))
        with translated(path), contextlib.closing(connect(prepared)) as connection:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # see `vacuum`
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            _make_schema(connection)
        with contextlib.suppress(FileExistsError):
            os.link(prepared, path)
        from queuectl.stores.sqlite import spare_room  # as few commands make a store

        spare_room.keep(path)
    except OSError as fault:
        raise cannot("make", path, fault) from fault
    finally:
        for leftover in (prepared, Path(f"{prepared}-wal"), Path(f"{prepared}-shm")):
            leftover.unlink(missing_ok=True)


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    require_version(connection, path, "name another store with --store")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size < pages * page_size and not _has_wal(path):
        raise damaged(path, "it is shorter than its header says")


def _has_wal(path: Path) -> bool:
    """Whether a write-ahead log may hold the pages that the file lacks."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def require_version(connection: sqlite3.Connection, path: Path, another: str) -> None:
    """Raise StoreRefused for a file that this version of queuectl did not make.

    `another` is the hint for the file of another program (StoreForeign).
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    is_ours = application == APPLICATION_ID
    if application == DEVELOPMENT_ID or (
        is_ours and version > 0 and layout_of_version(version) < LAYOUT
    ):
        raise StoreRefused(
            f"{path} was written by a development version of queuectl, which this one cannot read",
            hint="queuectl export FILE of that version writes what queuectl import reads here",
        )
    if not is_ours:
        raise StoreForeign(f"{path} is a database of another program", hint=another)
    if version < 1:
        raise damaged(path, "it has no tables")
    if version > SCHEMA_VERSION:
        raise StoreRefused(
            f"{path} was written by a newer queuectl (schema {version}, "
            f"this one knows {SCHEMA_VERSION})",
            hint="upgrade queuectl",
        )


def add_missing_columns(connection: sqlite3.Connection) -> None:
    """Give the table of jobs the columns of fields that were not there when it was made.

    Raises sqlite3.Error; then nothing has changed.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    HOLDING.begin()
    try:
        with _transaction(connection):
            there = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
            for field in FIELDS.values():
                if field.column not in there:
                    connection.execute(f"ALTER TABLE jobs ADD COLUMN {column_of(field)}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    finally:
        HOLDING.end()


def _make_schema(connection: sqlite3.Connection) -> None:
    """Make the tables of a store in an empty database."""
    with _transaction(connection):
        for statement in _statements(SCHEMA):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all that is written meanwhile, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Split a script into statements; `executescript` would commit the open transaction."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def is_want_of_room(path: Path, fault: sqlite3.Error) -> bool:
    """Whether an error is want of room on the disk of a file, whatever SQLite calls it."""
    if "full" in str(fault):
        return True
    from queuectl.stores.sqlite import spare_room

    is_possible = isinstance(fault, sqlite3.OperationalError) and path.parent.exists()
    return is_possible and spare_room.is_full(path)


def damaged(path: Path, what: str) -> StoreRefused:
    """Return the error for a store that is damaged, with what is to be done about it."""
    return StoreRefused(
        f"{path} is damaged ({what})",
        hint="it was left as it is; queuectl restore FILE brings a backup back",
    )


class translated(contextlib.AbstractContextManager[None]):  # noqa: N801 - used as a verb
    """Turn SQLite's errors into ours: `with translated(path): …`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, _kind: object, fault: object, _trace: object) -> None:
        if isinstance(fault, sqlite3.Error):
            raise translate(self._path, fault) from fault


def translate(path: Path, fault: sqlite3.Error) -> Exception:
    """Return the error of ours that an error of SQLite's means."""
    text = str(fault)
    if any(word in text for word in ("not a database", "malformed", "no such table")):
        return damaged(path, text)
    if "jobs.unique_key" in text:
        return Conflict("another job with its unique key waits or runs")
    if is_busy(fault):
        from queuectl.system.lock_holder import (
            locked,  # to look for who it is takes long, and is rare
        )

        return locked(path)
    if is_want_of_room(path, fault):
        can_free = Path(f"{path}-spare").exists()
        return StoreFull(
            f"the disk of {path} is full",
            hint="make room and try again"
            + ("; queuectl purge and delete work even now" if can_free else ""),
        )
    if "readonly" in text or "unable to open" in text:
        return StoreUnavailable(
            f"cannot write {path} ({text})",
            hint="see that neither it, nor its directory, nor its file system is read-only",
        )
    if isinstance(fault, sqlite3.ProgrammingError) and "closed" in text:
        return StoreUnavailable(f"{path} is not open any more", hint="try again")
    if isinstance(fault, (sqlite3.IntegrityError, sqlite3.DataError)):
        return StoreRefused(f"{path} does not take this record: {text}")
    if isinstance(fault, sqlite3.OperationalError):
        return StoreUnavailable(
            f"cannot use {path}: {text}", hint="queuectl doctor looks for the cause"
        )
    return fault
