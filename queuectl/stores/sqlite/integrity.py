"""Whether a file holds a store of queuectl's, whole and with nothing in it that is not ours.

A trigger is code that runs with every write, and a view may stand where a table should be. So a
copy from elsewhere must have what the script of the schema makes, and no more.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain.errors import StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.stores.serialization import unreadable
from queuectl.stores.sqlite.connection import (
    add_missing_columns,
    damaged,
    number_of,
    require_version,
    translated,
)
from queuectl.stores.sqlite.database import Database
from queuectl.stores.sqlite.reads import unreadable_jobs
from queuectl.stores.sqlite.schema import SCHEMA

Layout = tuple[int, int]
"""The size of a page, and how a file lets go of empty ones (`auto_vacuum`)."""

_OF_SQLITE = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat2", "sqlite_stat3", "sqlite_stat4")
_ANOTHER = "name a file that queuectl backup made"
_ADDED, _MISSING = "is not queuectl's", "is missing"

QUICK_BYTES = 16 << 20
"""Up to this size of a store its pages are looked at by a quick check too."""


@frozen
class Odd:
    """What is not as queuectl makes it: a view, a table and so on, and what is wrong with it."""

    kind: str
    name: str
    fault: str

    def __str__(self) -> str:
        return f"the {self.kind} '{self.name}' {self.fault}"

    def remedy(self, path: str) -> str:
        """Return what to do about it in the store at a path."""
        if self.fault == _ADDED:
            quoted = self.name.replace('"', '""')
            return f'DROP {self.kind.upper()} "{quoted}" in {path} with the program sqlite3'
        return "queuectl restore FILE brings an earlier backup back"


def require_ours(connection: sqlite3.Connection, name: Path) -> None:
    """See that a copy is a sound store of this version; `name` is what people know it by.

    Raises StoreRefused for any other file; sqlite3.DatabaseError for one that is no database.
    """
    connection.execute("PRAGMA trusted_schema=OFF")
    require_version(connection, name, _ANOTHER)
    faults = integrity_faults(connection)
    if faults:
        raise StoreRefused(f"{name} is damaged ({faults[0]})", hint="take an earlier backup")
    add_missing_columns(connection)
    if fault := _misfit(connection):
        raise StoreRefused(f"{name} is not as queuectl makes it: {fault}", hint=_ANOTHER)


def integrity_faults(connection: sqlite3.Connection, *, quick: bool = False) -> list[str]:
    """Return what SQLite's own check of the whole file finds; a quick one leaves out indexes."""
    statement = "PRAGMA quick_check(1)" if quick else "PRAGMA integrity_check(20)"
    faults = [text for (text,) in connection.execute(statement) if text != "ok"]
    return [" ".join(text.replace("*** in database main ***", "").split()) for text in faults]


def _misfit(connection: sqlite3.Connection) -> str:
    """Return what is too much, missing or different in a file; nothing when it is ours."""
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    if encoding != "UTF-8":
        return f"its text is {encoding}"
    return str(next(odd_parts(connection), ""))


def odd_parts(connection: sqlite3.Connection) -> Iterator[Odd]:
    """Yield what is too much, different or missing in the schema of a store."""
    with contextlib.closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(SCHEMA)
        ours = _schema(fresh)
    found = _schema(connection)
    for part, text in found.items():
        if part not in ours:
            yield Odd(*part, _ADDED)
        elif ours[part] != text:
            yield Odd(*part, "has been changed")
    for part in ours:
        if part not in found:
            yield Odd(*part, _MISSING)


def _schema(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return what there is, and how it is made: a table by its columns, whose order is free."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {
        (kind, name): _columns(connection, name) if kind == "table" else " ".join(sql.split())
        for kind, name, sql in found.fetchall()
        if not (kind == "table" and name in _OF_SQLITE)
    }


def _columns(connection: sqlite3.Connection, table: str) -> str:
    found = connection.execute("SELECT * FROM pragma_table_xinfo(?)", (table,))
    return str(sorted(column[1:] for column in found))


def layout_of(connection: sqlite3.Connection) -> Layout:
    """Return how a file is laid out."""
    return number_of(connection, "page_size"), number_of(connection, "auto_vacuum")


def lay_out(connection: sqlite3.Connection, wanted: Layout | None) -> None:
    """Give a copy the layout of the store that it goes into, and a log of writes as that has.

    SQLite copies no pages into a file whose pages have another size.
    """
    connection.execute("PRAGMA journal_mode=DELETE")
    if wanted is not None and layout_of(connection) != wanted:
        connection.execute(f"PRAGMA page_size={wanted[0]}")
        connection.execute(f"PRAGMA auto_vacuum={wanted[1]}")
        connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode=WAL")


def check(db: Database, *, quick: bool) -> list[str]:
    """Look the whole file over, and try to read every job; see `Store.check`.

    Only that all parts are there, and where the file is small that pages are sound, if it is quick.
    """
    connection = db.connection
    with translated(db.path):
        odd_ones = list(odd_parts(connection))
        missing = sorted(f"{odd.kind} {odd.name}" for odd in odd_ones if odd.fault == _MISSING)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise damaged(db.path, f"{missing[0]}{more} is missing")
        size = number_of(connection, "page_count") * number_of(connection, "page_size")
        if not quick or size <= QUICK_BYTES:
            broken = integrity_faults(connection, quick=quick)
            if broken:
                raise damaged(db.path, "; ".join(broken))
        if quick:
            return []
        faults = [f"{odd}: {odd.remedy(db.path)}" for odd in odd_ones]
        (miscounted,) = connection.execute(
            "SELECT count(*) FROM (SELECT queue, state, count(*) AS jobs FROM jobs "
            "GROUP BY queue, state EXCEPT SELECT queue, state, jobs FROM counts)"
        ).fetchone()
    if miscounted:
        faults.append(f"{miscounted} of the counts by queue and state are wrong")
    return faults + [unreadable(job_id) for job_id in unreadable_jobs(db)]
