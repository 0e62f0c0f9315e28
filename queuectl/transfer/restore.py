"""Putting a backup in the place of the embedded store.

The backup is copied first, and everything is done to that copy: it is checked and made fit to
go on. Only then it becomes the store, all at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain.errors import Conflict, InvalidInput, StoreForeign, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.stores import open_store
from queuectl.stores.sqlite.connection import connect, translate, translated
from queuectl.stores.sqlite.copy import Progressed, copy_from, copy_into, put_in_place
from queuectl.stores.sqlite.database import Database
from queuectl.stores.sqlite.integrity import Layout, lay_out, layout_of, require_ours
from queuectl.stores.sqlite.reads import unreadable_jobs
from queuectl.system import pidfile
from queuectl.system.home import Home, Location, cannot, private_directory
from queuectl.transfer import refuse_workers
from queuectl.transfer.restored_state import Found, Settled, Wishes, compare, number_runs, settle

_STOP = "queuectl worker stop, then again; or --stop, which stops those of this home"
_WHERE_FROM = "name a file that queuectl backup made; queuectl import reads an export"


@frozen
class Restored:
    """What has come of it; `kept` is the old store, `kept_logs` are those of jobs it alone had."""

    settled: Settled
    kept: Path | None
    kept_logs: Path | None


class Restoration:
    """A checked copy of a backup on its way into one place, where `finish` puts it.

    `found` is what it holds. `unreadable` are the ids of jobs whose records cannot be read, and
    which will not run.
    """

    found: Found
    unreadable: tuple[str, ...]

    def __init__(self, place: Location, file: Path, progressed: Progressed) -> None:
        self._home = place.home
        self._path = Path(place.store_url)
        self._file = file
        self._progressed = progressed
        self._copy = self._path.with_name(f".{self._path.name}.restoring") / "copy.db"

    @classmethod
    @contextlib.contextmanager
    def of(cls, place: Location, file: Path, progressed: Progressed) -> Iterator[Restoration]:
        """Copy a backup, and check it.

        Raises InvalidInput for what cannot be read, StoreRefused for what is no sound store of
        queuectl's, Conflict for one that holds nothing, and while another restore goes on.
        """
        restoration = cls(place, file, progressed)
        _require_file(file, restoration._path)
        with _alone(restoration._copy.parent):
            restoration._prepare()
            yield restoration

    def _prepare(self) -> None:
        with self._judged(), contextlib.closing(_opened(self._file)) as source:
            copy_from(source, self._copy, self._progressed)
        layout = self._look()
        with self._judged(), contextlib.closing(connect(self._copy)) as copy:
            require_ours(copy, self._file)
            lay_out(copy, layout)
        with self._judged(), contextlib.closing(connect(self._copy)) as copy:
            self.found = compare(copy, self._path if layout else None)
        if self.found.contents.is_empty:
            raise Conflict(
                f"{self._file} holds nothing: no job, schedule, hook, queue or setting",
                hint="queuectl delete and queuectl purge empty a store",
            )
        with contextlib.closing(Database(self._copy)) as db:
            self.unreadable = tuple(map(str, unreadable_jobs(db)))

    @property
    def replaces(self) -> bool:
        """Whether there is something now that would be replaced."""
        return self._path.exists()

    def refuse_workers(self) -> None:
        """Raise Conflict, naming them, while workers live that would go on with the old store."""
        if self._look() is None:
            _refuse_processes(self._home)  # nobody else can tell
            return
        with contextlib.closing(open_store(str(self._path))) as store:
            refuse_workers(store, hint=_STOP)

    def _look(self) -> Layout | None:
        """Return the layout of the store there is; None where none is, or none can be read.

        Raises StoreForeign for another program's.
        """
        if not self.replaces:
            return None
        if not stat.S_ISREG(self._path.lstat().st_mode):
            raise StoreRefused(f"{self._path} is not a regular file", hint="move it away")
        try:
            open_store(str(self._path)).close()  # which recognises it
            with translated(self._path), contextlib.closing(connect(self._path)) as live:
                return layout_of(live)
        except StoreForeign:
            raise
        except StoreRefused:
            return None

    @contextlib.contextmanager
    def _judged(self) -> Iterator[None]:
        """Raise StoreRefused for what SQLite finds wrong with the backup."""
        try:
            yield
        except sqlite3.OperationalError as fault:
            is_ours = "full" in str(fault)  # it is the copy that has no room
            raise translate(self._path if is_ours else self._file, fault) from fault
        except sqlite3.DatabaseError as fault:
            raise StoreRefused(
                f"{self._file} is damaged, or no backup ({fault})", _WHERE_FROM
            ) from fault

    def finish(self, wishes: Wishes) -> Restored:
        """Make the copy the store. Raises Conflict for workers that live, and StoreUnavailable.

        Then the store is as it was.
        """
        self.refuse_workers()
        kept, layout = _free_name(self._path), self._look()
        with contextlib.closing(open_store(str(self._copy))) as store:
            settled = settle(store, wishes)
        with translated(self._copy), contextlib.closing(connect(self._copy)) as copy:
            strays = number_runs(copy, self._path if layout else None, self._home)
        had_one = self.replaces
        if layout is None or not self._into(kept):
            put_in_place(self._path, self._copy, kept)
        aside = _set_aside(self._home, strays, kept)
        return Restored(settled, kept if had_one else None, aside)

    def _into(self, kept: Path) -> bool:
        """Let the store have what is in the copy; return False when it is too damaged for that."""
        try:
            with contextlib.closing(open_store(str(self._path))) as store:

                def allow() -> None:
                    refuse_workers(store, hint=_STOP)

                copy_into(self._path, self._copy, kept, self._progressed, allow)
        except StoreRefused:
            _refuse_processes(self._home)
            return False
        return True


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Have a directory beside the store for oneself. Raises Conflict while another restore has it.

    What a restore that was killed has left there is removed.
    """
    around, was_there = directory.parent, directory.parent.exists()
    private_directory(around, parents=True)
    private_directory(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "another restore of this store goes on", hint="wait for its end"
            ) from None
        try:
            for left in directory.iterdir():
                left.unlink()
            yield
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            if not was_there:
                with contextlib.suppress(OSError):  # a store is in it now
                    around.rmdir()
    finally:
        os.close(descriptor)


def _require_file(file: Path, store: Path) -> None:
    try:
        found = file.stat()
    except OSError as fault:
        raise InvalidInput(f"cannot read {file}: {fault.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{file} is not a regular file", hint=_WHERE_FROM)
    if store.exists() and store.samefile(file):
        raise InvalidInput(f"{file} is the store itself", hint=_WHERE_FROM)
    if found.st_size == 0:
        raise StoreRefused(f"{file} is empty, so it is no backup", hint=_WHERE_FROM)
    if not os.access(file, os.R_OK):
        raise InvalidInput(f"cannot read {file}: Permission denied")
    if _size(f"{file}-journal"):
        raise StoreRefused(
            f"{file} was copied while it was written: {file}-journal is beside it", _WHERE_FROM
        )


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _opened(file: Path) -> sqlite3.Connection:
    """Open a file for reading; one that nobody writes to needs neither a log nor a lock."""
    has_log = _size(f"{file}-wal") > 0
    return connect(file, mode="mode=ro" if has_log else "mode=ro&immutable=1")


def _refuse_processes(home: Home) -> None:
    """Raise Conflict while workers of the home live: a store that is damaged cannot tell."""
    pids = sorted(entry.process.pid for entry in pidfile.living(home))
    if pids:
        names = ", ".join(map(str, pids))
        raise Conflict(f"workers of this home are running: pid {names}", hint=_STOP)


def _free_name(path: Path) -> Path:
    """Return a name beside the store that nothing has yet, with the time in it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in range(1, 1000):
        again = f"-{number}" if number > 1 else ""
        kept = path.with_name(f"{path.stem}.before-restore-{stamp}{again}{path.suffix}")
        if not kept.exists():
            return kept
    raise Conflict(f"too many old stores in {path.parent}", hint="remove some")


def _set_aside(home: Home, strays: list[str], kept: Path) -> Path | None:
    """Move the logs away of jobs that are not there any more: their ids may come again."""
    if not strays:
        return None
    aside = home.logs / f"jobs{kept.stem[kept.stem.index('.before-restore-') :]}"
    try:
        private_directory(aside)
        for name in strays:
            (home.job_logs / name).rename(aside / name)
    except OSError as fault:
        raise cannot("move the logs to", aside, fault) from fault
    return aside
