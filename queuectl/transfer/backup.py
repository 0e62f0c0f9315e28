"""A backup of the embedded store: one file, whole, sound and for its owner alone."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from queuectl.domain.batch import Batch
from queuectl.domain.errors import Conflict, InvalidInput, NotFound, StoreFull, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.times import UTC, iso
from queuectl.stores.records import batch_from_text
from queuectl.stores.sqlite.connection import connect, is_want_of_room, translate
from queuectl.stores.sqlite.copy import Progressed, copy_from, remove_all, sync_directory
from queuectl.stores.sqlite.database import Database
from queuectl.stores.sqlite.integrity import integrity_faults, odd_parts
from queuectl.system.home import cannot

MADE_AT = "backed_up_at"
"""The mark of a backup: when it was made."""

_DRAFT = ".new"
_DRAFT_NAME = re.compile(r"\..+\.queuectl-(?P<host>.+)-(?P<pid>[1-9][0-9]*)\.new")
_OLD_SECONDS = 86_400.0
"""After so long without a write a backup that another host makes was killed."""


@frozen
class Contents:
    """How much there is in a store; deliveries of hooks are no jobs, those not made yet are."""

    jobs: int
    schedules: int
    hooks: int
    settings: int
    queues: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that anybody could miss."""
        return not (self.jobs or self.schedules or self.hooks or self.settings or self.queues)


def back_up(store: Path, file: Path, progressed: Progressed) -> Contents:
    """Copy a store into a new file, while others use it; return what is in the copy.

    Raises NotFound without a store, Conflict when the file is there already, InvalidInput for a
    place where no backup can be, StoreRefused when the store is damaged, or has more or less in it
    than queuectl makes, as `restore` would refuse the backup then, and StoreFull for a backup that
    has no room.
    """
    _require_free(store, file)
    draft = file.with_name(f".{file.name}.queuectl-{_host()}-{os.getpid()}{_DRAFT}")
    try:
        _remove_left_drafts(file.absolute().parent)
        with _blamed(store, file), contextlib.closing(Database(store)) as source:
            copy_from(source.connection, draft, progressed)
        with _blamed(store, file), contextlib.closing(connect(draft)) as copy:
            # no memory is shared with others then, which some file systems cannot do
            copy.execute("PRAGMA locking_mode=EXCLUSIVE")
            if faults := integrity_faults(copy):
                raise StoreRefused(
                    f"{store} is damaged ({faults[0]}), so no backup was made of it",
                    hint="queuectl restore FILE brings an earlier backup back",
                )
            if odd := next(odd_parts(copy), None):
                raise StoreRefused(
                    f"{store} is not as queuectl makes it: {odd}, so no backup was made of it",
                    hint=odd.remedy(str(store)),
                )
            now = iso(datetime.now(UTC))
            copy.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MADE_AT, now))
            found = contents(copy)
        _give_name(draft, file)
    except OSError as fault:
        raise cannot("write", file, fault) from fault
    finally:
        remove_all(draft)
    return found


def _require_free(store: Path, file: Path) -> None:
    if not store.exists():
        raise NotFound(f"there is no store yet at {store}", hint="queuectl init makes one")
    if file.is_dir():
        raise InvalidInput(f"{file} is a directory", hint=f"name a file, such as {file}/backup.db")
    if file.exists() or file.is_symlink():
        raise Conflict(
            f"{file} exists already, and is not overwritten", hint="name another file, or remove it"
        )
    if file.absolute().parent == store.parent and file.name.startswith(f"{store.name}-"):
        raise InvalidInput(
            f"{file} has the name of a file of the store itself", hint="name another"
        )


def _host() -> str:
    return os.uname().nodename


def _remove_left_drafts(directory: Path) -> None:
    """Remove what backups that were killed have left in a directory, as far as that may be."""
    with contextlib.suppress(PermissionError):  # a directory may be for writing alone
        for left in list(directory.iterdir()):
            found = _DRAFT_NAME.fullmatch(left.name)
            with contextlib.suppress(OSError):  # it may be somebody else's
                if found and _is_left(left, found["host"], int(found["pid"])):
                    remove_all(left)


def _is_left(draft: Path, host: str, pid: int) -> bool:
    """Whether nobody makes a draft any more; those of another host are judged by their age."""
    if host != _host():
        return time.time() - draft.stat().st_mtime > _OLD_SECONDS
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # somebody else's process has that number
    return pid == os.getpid()


@contextlib.contextmanager
def _blamed(store: Path, file: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; only the backup needs room, on a disk of its own perhaps."""
    try:
        yield
    except sqlite3.OperationalError as fault:
        if is_want_of_room(file, fault):
            raise StoreFull(
                f"the disk of {file} is full, so no backup was made",
                hint="make room there, or name a file on another disk",
            ) from fault
        raise translate(store, fault) from fault
    except sqlite3.Error as fault:
        raise translate(store, fault) from fault


def contents(copy: sqlite3.Connection) -> Contents:
    """Return how much there is in an open store."""
    tables = (f"jobs WHERE queue >= '{FIRST_NAME}'", "schedules", "hooks", "settings", "queues")
    jobs, *others = [
        copy.execute(f"SELECT count(*) FROM main.{table}").fetchone()[0] for table in tables
    ]
    return Contents(jobs + sum(batch.unmade for batch in unmade_batches(copy)), *others)


def unmade_batches(copy: sqlite3.Connection) -> list[Batch]:
    """Return the batches in an open store of whose jobs some do not exist yet."""
    is_there = "SELECT 1 FROM main.sqlite_master WHERE name = 'batches'"
    if copy.execute(is_there).fetchone() is None:  # in a store of an earlier version
        return []
    rows = copy.execute("SELECT record FROM main.batches WHERE unmade > 0").fetchall()
    return [batch_from_text(record) for (record,) in rows]


def _give_name(draft: Path, file: Path) -> None:
    """Let a draft be the file, if there is still none. Raises Conflict."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Conflict(f"{file} exists already, and is not overwritten") from None
    try:
        draft.replace(file)
    except OSError:
        file.unlink(missing_ok=True)  # nobody shall take what is empty for a backup
        raise
    sync_directory(file.absolute().parent)
