"""`workers.pid`: the processes of this home's workers and supervisors, as JSON.

An entry holds a pid and the identity that tells it from a later process of the same pid.
Entries of processes that are gone heal by themselves: at the next change those of this machine, and
those of another, or of an earlier boot or container, when the registry forgets the worker. A
courier's stays until the next one has come, or somebody has seen to what it left. Without entries
there is no file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.worker_record import ProcessIdentity
from queuectl.system.home import Home, cannot, open_private
from queuectl.system.processes import is_alive, is_here
from queuectl.system.terminal_stops import HOLDING

if TYPE_CHECKING:
    from queuectl.system.lock_watch import LockWatch

WORKER = "worker"
SUPERVISOR = "supervisor"
COURIER = "courier"
_LOCK_NAME = "workers.lock"
_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.01
"""How long the lock of the home is waited for, and how often it is asked for."""


@frozen
class ProcessEntry:
    """One process. Only a worker has a `worker_id`; `supervisor` is its parent's pid.

    A worker that is `passing` leaves by itself when what it was started for is done.
    """

    role: str
    process: ProcessIdentity
    worker_id: str = ""
    supervisor: int = 0
    passing: bool = False


def living(home: Home) -> list[ProcessEntry]:
    """Return this home's processes that are alive on this machine, in order of arrival.

    Raises StoreRefused when the file cannot be understood.
    """
    return [entry for entry in registered(home) if is_alive(entry.process)]


def add(home: Home, entry: ProcessEntry) -> None:
    """Enter a process, once; a courier in the place of the one before it on this machine."""

    def stays(other: ProcessEntry) -> bool:
        is_replaced = other.role == entry.role == COURIER and is_here(other.process)
        return other.process != entry.process and not is_replaced

    _change(home, lambda entries: [*filter(stays, entries), entry])


def remove(home: Home, pids: Collection[int]) -> None:
    """Strike out processes of this machine, and whatever is stale; a home that is gone stays so."""
    if not home.root.is_dir():
        return
    _change(
        home,
        lambda entries: [
            entry
            for entry in entries
            if entry.process.pid not in pids or not is_here(entry.process)
        ],
    )


def forget(home: Home, worker_id: str) -> None:
    """Strike out a worker of another machine; with a supervisor's last, it and its courier too."""
    found = [entry for entry in registered(home) if entry.worker_id == worker_id]
    if found:
        _change(home, lambda entries: _without(entries, found[0]))


def _without(entries: list[ProcessEntry], lost: ProcessEntry) -> list[ProcessEntry]:
    left = [entry for entry in entries if entry.worker_id != lost.worker_id]
    family = (lost.process.boot, lost.supervisor)
    below = [each for each in left if (each.process.boot, each.supervisor) == family]
    if any(each.role == WORKER for each in below):
        return left
    return [
        each
        for each in left
        if each not in below and (each.process.boot, each.process.pid) != family
    ]


def _change(home: Home, decide: Callable[[list[ProcessEntry]], list[ProcessEntry]]) -> None:
    with _locked(home):
        try:
            entries = registered(home)
        except StoreRefused:  # kept beside the new one: data is never overwritten
            home.pid_file.replace(home.pid_file.with_suffix(".pid.damaged"))
            entries = []
        _write(home, [entry for entry in decide(entries) if not _is_stale(entry)])


def _is_stale(entry: ProcessEntry) -> bool:
    """Whether nobody needs an entry any more: of a process of this machine that is gone.

    That of a courier tells that there may be deliveries to take back, until it is struck out.
    """
    is_gone = is_here(entry.process) and not is_alive(entry.process)
    return is_gone and entry.role != COURIER


def require_usable(home: Home) -> None:
    """Raise StoreUnavailable, naming the file, where this user may not change what is here."""
    os.close(open_private(home.root / _LOCK_NAME, os.O_RDWR))


@contextlib.contextmanager
def _locked(home: Home) -> Iterator[None]:
    """Hold the lock of the home, kept in a file that is never replaced. Raises StoreLocked."""
    home.make()
    path = home.root / _LOCK_NAME
    descriptor = open_private(path, os.O_RDWR)
    HOLDING.begin()
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)
        HOLDING.end()


def _take(descriptor: int, path: Path) -> None:
    """Wait for the lock of a file, for a while. Raises StoreLocked."""
    watch: LockWatch | None = None
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            from queuectl.system.lock_holder import flock_holder_of, locked_by
            from queuectl.system.lock_watch import LockWatch

            watch = watch or LockWatch(path, flock_holder_of)
            watch.look()
            if time.monotonic() >= deadline:
                raise locked_by(flock_holder_of(path), path) from None
        HOLDING.pause()
        time.sleep(_LOOK_SECONDS)


def registered(home: Home) -> list[ProcessEntry]:
    """Return what is in the file, stale entries too. Raises as `living` does."""
    try:
        text = home.pid_file.read_text()
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise cannot("read", home.pid_file, fault) from fault
    except UnicodeDecodeError:
        raise _damaged(home) from None
    try:
        return [_entry(item) for item in json.loads(text)["processes"]]
    except (ValueError, KeyError, TypeError):
        raise _damaged(home) from None


def _damaged(home: Home) -> StoreRefused:
    return StoreRefused(
        f"{home.pid_file} is damaged", hint="remove it, or start a worker to have it renewed"
    )


def _entry(item: dict[str, Any]) -> ProcessEntry:
    process = ProcessIdentity(int(item["pid"]), str(item["started"]), str(item["boot"]))
    worker_id, supervisor = str(item["worker_id"]), int(item["supervisor"])
    return ProcessEntry(
        str(item["role"]), process, worker_id, supervisor, bool(item.get("passing"))
    )


def _write(home: Home, entries: list[ProcessEntry]) -> None:
    """Replace the file whole, or remove it when there is nothing to say."""
    if not entries:
        home.pid_file.unlink(missing_ok=True)
        return
    items = [
        {
            "role": entry.role,
            "pid": entry.process.pid,
            "started": entry.process.started,
            "boot": entry.process.boot,
            "worker_id": entry.worker_id,
            "supervisor": entry.supervisor,
            "passing": entry.passing,
        }
        for entry in entries
    ]
    draft = home.pid_file.with_suffix(".pid.new")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_TRUNC), "w") as file:
            json.dump({"processes": items}, file, indent=1)
        draft.replace(home.pid_file)
    except OSError as fault:
        raise cannot("write", home.pid_file, fault) from fault
