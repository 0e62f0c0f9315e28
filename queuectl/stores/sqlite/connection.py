"""One connection of SQLite's to a file: what its errors mean, and whether the file is ours.

Only SQLite itself opens the file once this process has it open: on POSIX, closing any other
descriptor would drop the locks that it holds (https://www.sqlite.org/howtocorrupt.html).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from typing import TYPE_CHECKING

from queuectl.domain.errors import (
    Conflict,
    StoreForeign,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from queuectl.stores.sqlite.schema import (
    APPLICATION_ID,
    DEVELOPMENT_ID,
    LATER_TABLES,
    LAYOUT,
    SCHEMA_VERSION,
    columns_of_later,
    layout_of_version,
)
from queuectl.system.terminal_stops import HOLDING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 10.0
"""How long a writer waits for SQLite's lock."""

_spellings = itertools.count()


def connect(path: str | Path, *, mode: str = "mode=rw") -> sqlite3.Connection:
    """Return a connection in autocommit mode to a file that exists."""
    quoted = os.fspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    with translated(path):
        return sqlite3.connect(
            f"file:{quoted}?{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            cached_statements=256,
        )


def set_busy_seconds(connection: sqlite3.Connection, seconds: float) -> None:
    """Say how long a connection waits for SQLite's locks.

    SQLite may do this while it prepares a statement, so each one is spelled anew.
    """
    connection.execute(f"PRAGMA busy_timeout={int(seconds * 1000)} -- {next(_spellings)}")


def number_of(connection: sqlite3.Connection, pragma: str) -> int:
    """Return what a pragma says of a file, as its `page_count`."""
    value: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value


@contextlib.contextmanager
def all_or_nothing(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all that is written meanwhile, or nothing of it, without regard to whose turn it is."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def translated(path: str | Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: `with translated(path): …`."""
    try:
        yield
    except sqlite3.Error as fault:
        raise translate(path, fault) from fault


def translate(path: str | Path, fault: sqlite3.Error) -> Exception:
    """Return the error of ours that an error of SQLite's means."""
    text = str(fault)
    if any(word in text for word in ("not a database", "malformed", "no such table")):
        return damaged(path, text)
    if "jobs.unique_key" in text:
        return Conflict("another job with its unique key waits or runs")
    if is_busy(fault):
        from pathlib import Path

        from queuectl.system.lock_holder import locked  # looks who it is, which takes long

        return locked(Path(path))
    if is_want_of_room(path, fault):
        can_free = os.path.exists(f"{path}-spare")
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


def is_busy(fault: sqlite3.Error) -> bool:
    """Whether an error of SQLite's says that a lock was not to be had in time."""
    return any(word in str(fault) for word in ("locked", "busy"))


def is_want_of_room(path: str | Path, fault: sqlite3.Error) -> bool:
    """Whether an error is want of room on the disk of a file, whatever SQLite calls it."""
    if "full" in str(fault):
        return True
    from pathlib import Path

    from queuectl.stores.sqlite import spare_room

    file = Path(path)
    is_possible = isinstance(fault, sqlite3.OperationalError) and file.parent.exists()
    return is_possible and spare_room.is_full(file)


def damaged(path: str | Path, what: str) -> StoreRefused:
    """Return the error for a store that is damaged, with what is to be done about it."""
    return StoreRefused(
        f"{path} is damaged ({what})",
        hint="it was left as it is; queuectl restore FILE brings a backup back",
    )


def require_version(connection: sqlite3.Connection, path: str | Path, another: str) -> None:
    """Raise StoreRefused for a file that this version of queuectl did not make.

    `another` is the hint for the file of another program (StoreForeign).
    """
    application = number_of(connection, "application_id")
    version = number_of(connection, "user_version")
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
    """Give each table the columns that there were not when it was made.

    Raises sqlite3.Error; then nothing has changed.
    """
    if number_of(connection, "user_version") == SCHEMA_VERSION:
        return
    HOLDING.begin()
    try:
        with all_or_nothing(connection):
            for table, columns in columns_of_later().items():
                there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                for column in columns:
                    if column.partition(" ")[0] not in there:
                        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            for statement in LATER_TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    finally:
        HOLDING.end()
