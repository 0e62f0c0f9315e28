"""Who holds the lock that the writers of an embedded store wait for.

SQLite's lock is a POSIX lock on one byte of its `-shm` file. Who has it the kernel tells, but it
must be asked through SQLite's own descriptor: to close another one of that file would drop every
lock that this process has there (https://www.sqlite.org/howtocorrupt.html). Before SQLite's lock
writers take the lock of the `-lock` file, which /proc/locks lists.

All of this is for Linux; elsewhere nobody is named.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import sys
from pathlib import Path

from queuectl.domain.errors import StoreLocked
from queuectl.domain.frozen import frozen
from queuectl.system.terminal_stops import COMMAND_MARK

_WRITE_LOCK_AT = 120
"""WAL_WRITE_LOCK of https://www.sqlite.org/walformat.html: the byte that the writer locks."""

_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: kind, whence, start, length, pid."""

_CAN_ASK = sys.platform == "linux" and sys.maxsize > 2**32
_MARK = f"/memfd:{COMMAND_MARK}"
_NAME_LENGTH = 15


@frozen
class Holder:
    """The process that holds a store's lock; `started` tells it from a later one of its pid."""

    pid: int
    name: str
    started: str
    is_stopped: bool
    is_ours: bool

    def __str__(self) -> str:
        text = f"process {self.pid} ({self.name})"
        return f"{text}, which is stopped" if self.is_stopped else text


def holder_of(store_file: Path) -> Holder | None:
    """Return the other process that keeps this one from writing into a store.

    The store is open in this process. None: nobody does at this moment, or it cannot be told.
    """
    with contextlib.suppress(OSError, ValueError):
        if _CAN_ASK:
            turn = Path(f"{store_file}-lock")
            return _described(_pid_at_lock(store_file) or _pid_at_flock(turn))
    return None


def flock_holder_of(lock_file: Path) -> Holder | None:
    """Return the other process that holds the lock of a whole file (flock), as `holder_of` does."""
    with contextlib.suppress(OSError, ValueError):
        return _described(_pid_at_flock(lock_file)) if _CAN_ASK else None
    return None


def locked(store_file: Path) -> StoreLocked:
    """Return the error to raise when a store's lock was not to be had in time."""
    return locked_by(holder_of(store_file), store_file)


def locked_by(holder: Holder | None, path: Path) -> StoreLocked:
    """Return the error to raise when what somebody holds was not to be had in time."""
    hint = "try again when that is done"
    if holder is None:
        return StoreLocked(f"{path} is locked by another process", hint=hint)
    if holder.is_stopped:
        hint = f"kill -CONT {holder.pid} lets it go on, kill -KILL {holder.pid} ends it"
    return StoreLocked(f"{path} is locked by {holder}", hint=hint)


def _pid_at_lock(store_file: Path) -> int:
    """Return the pid that holds SQLite's lock of writers; 0 for nobody, or for this process."""
    descriptor = _own_descriptor(Path(f"{store_file}-shm"))
    if descriptor is None:
        return 0
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _WRITE_LOCK_AT, 1, 0)
    kind, *_, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def _own_descriptor(path: Path) -> int | None:
    """Return the descriptor that SQLite has of a file, without opening or closing any."""
    wanted = path.stat()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - Path.iterdir takes thrice as long
        with contextlib.suppress(OSError):
            found = os.fstat(int(name))
            if stat.S_ISREG(found.st_mode) and os.path.samestat(found, wanted):
                return int(name)
    return None


def _pid_at_flock(path: Path) -> int:
    """Return the pid that holds the lock of a whole file; 0 for nobody."""
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, *fields = line.split()
        if kind == "FLOCK" and fields[3] == device:
            return int(fields[2])
    return 0


def _described(pid: int) -> Holder | None:
    """Return what there is to know of another process. Raises OSError when it has gone.

    The pid of one that cannot be seen from here, as in another container, is no positive number.
    """
    if pid <= 0 or pid == os.getpid():
        return None
    text = Path(f"/proc/{pid}/stat").read_bytes()
    name = text[text.index(b"(") + 1 : text.rindex(b")")][:_NAME_LENGTH]
    state, *fields = text[text.rindex(b")") + 2 :].split()
    is_ours = _bears_mark(pid)
    shown = (
        "queuectl" if is_ours else "".join(filter(str.isprintable, name.decode(errors="replace")))
    )
    return Holder(pid, shown, fields[18].decode(), state == b"T", is_ours)


def _bears_mark(pid: int) -> bool:
    """Whether a process is a command or a worker of ours, and no program that uses queuectl."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - as above
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith(_MARK):  # noqa: PTH115
                    return True
    return False
