"""Room that is kept back beside the embedded store, for those who free room on a full disk.

To delete a job SQLite needs room too, for its log of writes. What makes room gives this file up
first, and makes it again afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from queuectl.domain.errors import StoreError
from queuectl.system.home import open_private

SPARE_BYTES = 1 << 20
_LEAST_BYTES = 1 << 16
_SHORT_BYTES = 4 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def spare_of(store_file: Path) -> Path:
    """Return the file that keeps the room back."""
    return store_file.with_name(f"{store_file.name}-spare")


def is_used(store_file: Path) -> bool:
    """Whether the room is given up and there is little else: the log of writes must stay small."""
    return not spare_of(store_file).exists() and _free_bytes(store_file) < _SHORT_BYTES


def is_full(store_file: Path, wanted: int = _LEAST_BYTES) -> bool:
    """Whether the disk, or the user's part of it, has no room for so many bytes.

    It is tried, as no figure tells what a quota allows.
    """
    probe = store_file.with_name(f"{store_file.name}.{os.getpid()}.probe")
    try:
        return not _allocated(probe, wanted)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def give_up(store_file: Path) -> int:
    """Free the room that was kept back, if the disk is full; return how much that was."""
    spare = spare_of(store_file)
    try:
        size = spare.lstat().st_size
        if not is_full(store_file, SPARE_BYTES):
            return 0
        spare.unlink()
    except OSError:
        return 0
    return size


def keep(store_file: Path, wanted: int = 0) -> None:
    """Keep room back where there is none: so much, or a share of what is left; else less."""
    spare = spare_of(store_file)
    if not hasattr(os, "posix_fallocate") or spare.exists():
        return
    size = wanted or min(SPARE_BYTES, _free_bytes(store_file) // 4)
    while size >= _LEAST_BYTES and not _allocated(spare, size):
        with contextlib.suppress(OSError):
            spare.unlink()
        size //= 2


def _free_bytes(store_file: Path) -> int:
    """Return how much room a disk has; 0 where that is not known."""
    try:
        disk = os.statvfs(store_file.parent)
    except (AttributeError, OSError):
        return 0
    return disk.f_bavail * disk.f_frsize


def _allocated(file: Path, size: int) -> bool:
    """Make a file of a size; whether there was room. What else goes wrong is no want of room."""
    try:
        descriptor = open_private(file, os.O_RDWR | os.O_EXCL)
    except StoreError as fault:
        return not _is_want_of_room(fault.__cause__)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    except OSError as fault:
        return not _is_want_of_room(fault)
    finally:
        os.close(descriptor)
    return True


def _is_want_of_room(fault: BaseException | None) -> bool:
    return isinstance(fault, OSError) and fault.errno in _FULL
