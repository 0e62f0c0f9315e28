"""Looking the embedded store over: whether all of its tables are there, and all pages sound.

Whoever opens the store meets only the pages that it reads. So `init` and `worker start` look at
more, as far as that takes no longer than a fraction of a second, and `doctor` at everything.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from queuectl.stores.sqlite_database import damaged
from queuectl.stores.sqlite_schema import SCHEMA

QUICK_BYTES = 16 << 20
"""Up to this size of a store its pages are looked at by a quick check too."""

_SHOWN = 20
_WHERE = "*** in database main ***"
_NAMED = "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'"


def require_parts(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreRefused when a table, an index or a trigger of ours is missing."""
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        model.executescript(SCHEMA)
        wanted = {part for (part,) in model.execute(_NAMED)}
    missing = sorted(wanted - {part for (part,) in connection.execute(_NAMED)})
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise damaged(path, f"{missing[0]}{more} is missing")


def require_pages(connection: sqlite3.Connection, path: Path, *, quick: bool = False) -> None:
    """Raise StoreRefused when SQLite's own check finds a fault; a quick one leaves out indexes."""
    asked = "PRAGMA quick_check(1)" if quick else f"PRAGMA integrity_check({_SHOWN})"
    faults = [text for (text,) in connection.execute(asked) if text != "ok"]
    if faults:
        told = (" ".join(fault.replace(_WHERE, "").split()) for fault in faults)
        raise damaged(path, "; ".join(told))


def is_small(connection: sqlite3.Connection) -> bool:
    """Whether a check of all pages takes no longer than a fraction of a second."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return bool(pages * page_size <= QUICK_BYTES)
