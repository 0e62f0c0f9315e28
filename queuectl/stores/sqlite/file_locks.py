"""What Linux tells of a store's files: who has them open, and which ones they are."""

from __future__ import annotations

import contextlib
import os
import sys

if os.name != "nt":
    import fcntl

_SHARED_START, _SHARED_BYTES = 0x40000002, 510
"""Where SQLite locks the store for as long as it has it open in WAL mode."""

_GENERATION = 0x80087601
"""FS_IOC_GETVERSION; where a file system knows none, it counts as 0."""


def lock_of(start: int, kind: int, length: int = 1) -> bytes:
    """Return a `struct flock` of 64-bit Linux, counted from the beginning of the file."""
    order = sys.byteorder
    return b"".join(
        (
            kind.to_bytes(2, order),
            bytes(6),
            start.to_bytes(8, order),
            length.to_bytes(8, order),
            bytes(8),
        )
    )


def is_locked(descriptor: int, byte: int) -> bool:
    """Whether another open file holds a lock on a byte of a file."""
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, lock_of(byte, fcntl.F_WRLCK))
    except OSError:
        return False
    return int.from_bytes(found[:2], sys.byteorder) != fcntl.F_UNLCK


def is_open_elsewhere(path: str) -> bool:
    """Whether another process has a store open that this one has not."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # SQLite will say why
    try:
        asked = lock_of(_SHARED_START, fcntl.F_WRLCK, _SHARED_BYTES)
        found = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
        return int.from_bytes(found[:2], sys.byteorder) != fcntl.F_UNLCK
    except OSError:
        return False
    finally:
        os.close(descriptor)


def descriptors_of(wanted: set[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return which descriptors of this process lead to some files."""
    found: dict[tuple[int, int], int] = {}
    with os.scandir("/proc/self/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    for number in numbers:
        with contextlib.suppress(OSError):  # the one that listed them is closed
            status = os.fstat(number)
            place = status.st_dev, status.st_ino
            if place in wanted:
                found[place] = number
    return found


def generation(descriptor: int) -> int:
    """Return what tells a file from an earlier one of its inode, where that is known."""
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, _GENERATION, bytes(8)), sys.byteorder)
    except OSError:
        return 0


def generation_at(name: str) -> int:
    """Return the generation of a file that nobody has open: to close one drops SQLite's locks."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return generation(descriptor)
    finally:
        os.close(descriptor)
