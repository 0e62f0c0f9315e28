"""Whole copies of the embedded store: out of the file that is in use, and back into it.

SQLite itself copies, page by page, while others read and write. A copy that goes back takes the
place of everything in one transaction: the file stays the one that it was, and whoever has it
open goes on with what is in it then.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from queuectl.domain.errors import StoreUnavailable
from queuectl.stores.sqlite.connection import BUSY_SECONDS, connect, translated
from queuectl.stores.sqlite.transaction import WriterTurn
from queuectl.system.home import cannot, open_private

Progressed = Callable[[int, int], None]
"""Is told how many pages have been copied, and of how many."""

_PAGES = 256
"""How many are copied at once; then progress is told, and Ctrl-C is heard."""

_BUSY, _LOCKED = 5, 6  # https://www.sqlite.org/rescode.html
_PAUSE_SECONDS = 0.005
_BESIDE = ("-wal", "-shm", "-journal")
"""The files that belong to a database, and only to that one."""


def new_file(path: Path) -> sqlite3.Connection:
    """Make an empty file that only its owner can read; return a connection to it."""
    os.close(open_private(path, os.O_RDWR | os.O_EXCL))
    return connect(path)


def copy_from(source: sqlite3.Connection, target: Path, progressed: Progressed) -> int:
    """Copy a store as it is at one instant into a new file, which is on the disk then.

    Returns SQLite's `data_version` of that instant.
    """
    with contextlib.closing(new_file(target)) as copy, _one_view(source):
        version: int = source.execute("PRAGMA data_version").fetchone()[0]
        _copy(source, copy, progressed)
    return version


@contextlib.contextmanager
def _one_view(source: sqlite3.Connection) -> Iterator[None]:
    """Read what there is now, whatever others write meanwhile, or the copy would begin again."""
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
    finally:
        source.execute("ROLLBACK")


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, progressed: Progressed) -> None:
    """Copy all pages in one transaction of the target.

    Python waits for ever for a lock that somebody else holds, unless it is stopped here.
    """
    gives_up = time.monotonic() + BUSY_SECONDS
    (count,) = source.execute("PRAGMA page_count").fetchone()

    def step(status: int, left: int, total: int) -> None:
        nonlocal gives_up
        now = time.monotonic()
        if status not in (_BUSY, _LOCKED):
            gives_up = now + BUSY_SECONDS
            progressed(total - left, total)
        elif now >= gives_up:
            raise StoreUnavailable(
                "the store is locked by another process", hint="try again when that is done"
            )

    # two steps at least: after the first one the target is locked and nothing is committed
    pages = min(_PAGES, max(1, count // 2))
    source.backup(target, pages=pages, progress=step, sleep=_PAUSE_SECONDS)


def copy_into(
    path: Path, copy: Path, kept: Path, progressed: Progressed, allow: Callable[[], None]
) -> None:
    """Let a store have what is in a copy, in one transaction; `kept` gets what it had before.

    Nobody else can write between the two, nor between `allow`, which may raise what forbids it,
    and the end. Killed at any point, the store has either the one or the other whole.
    Raises StoreUnavailable when it stays locked, StoreRefused when it is too damaged for that;
    `kept` is not there then.
    """
    prepared = copy.with_name("kept")
    turn = WriterTurn(str(path), BUSY_SECONDS)
    try:
        with (
            translated(path),
            contextlib.closing(connect(copy)) as source,
            contextlib.closing(connect(path)) as reader,
            contextlib.closing(connect(path)) as target,
        ):
            version = copy_from(reader, prepared, _told_nothing)

            def step(done: int, total: int) -> None:
                # now that the target is locked and still as it was, what was kept can be proved
                if not kept.exists():
                    allow()
                    _keep(reader, version, prepared, kept)
                progressed(done, total)

            target.execute("PRAGMA busy_timeout=50")  # the rest of the waiting is done in `_copy`
            turn.take()
            _copy(source, target, step)
            with contextlib.suppress(sqlite3.Error):  # a reader may need the log for a while
                target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except Exception:  # after Ctrl-C it may have been done
        kept.unlink(missing_ok=True)
        raise
    finally:
        turn.close()


def _told_nothing(_done: int, _total: int) -> None:
    pass


def _keep(reader: sqlite3.Connection, version: int, prepared: Path, kept: Path) -> None:
    """Give the copy its name, once it has what was written since it was made."""
    (current,) = reader.execute("PRAGMA data_version").fetchone()
    if current != version:
        prepared.unlink()
        copy_from(reader, prepared, _told_nothing)
    prepared.rename(kept)
    sync_directory(kept.parent)


def put_in_place(path: Path, copy: Path, kept: Path) -> None:
    """Make a copy the store where there is none, or none that SQLite can write into.

    What was there gets the name `kept`, and so do the files that belong to it.
    Raises StoreUnavailable.
    """
    try:
        for suffix in (*_BESIDE, "-lock") if path.exists() else _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{kept}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(kept)
        os.link(copy, path)  # which never takes the place of another file
        sync_directory(path.parent)
    except OSError as fault:
        raise cannot("make", path, fault) from fault


def sync_directory(path: Path) -> None:
    """Return when the names in a directory are on the disk, where the system can tell."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_all(path: Path) -> None:
    """Remove a copy, and the files that SQLite may have left beside it."""
    for suffix in (*_BESIDE, "-lock", "-wake", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
