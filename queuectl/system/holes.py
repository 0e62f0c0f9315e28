"""Holes in files: parts that take no room on the disk, and are read as zeros."""

from __future__ import annotations

import errno
import os
import sys

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Of `fallocate`; see its manual page."""

BLOCK = 64 * 1024
"""Where holes should begin and end: at whole blocks, however large those of the file system are."""

_BLANK = bytes(4096)


def punch(descriptor: int, start: int, end: int) -> None:
    """Give back the room of a part of a file that somebody may be appending to.

    Bytes beyond it stay where they are. Raises OSError, also where the system or the file system
    cannot do that.
    """
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    allocate = getattr(libc, "fallocate64", None) or libc.fallocate
    size = ctypes.c_int64
    # a descriptor that was opened for reading will not do
    file = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY)
    try:
        if allocate(file, _KEEP_SIZE | _PUNCH_HOLE, size(start), size(end - start)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(file)


def hole_in(descriptor: int, start: int, data: bytes) -> tuple[int, int] | None:
    """Return where the first hole in a part of a file begins and ends; None if there is none.

    `data` is what was read from `start` on. A hole that began before it is told from there on.
    """
    at = data.find(_BLANK)
    if at < 0:
        return None
    try:
        begin = os.lseek(descriptor, start + at, os.SEEK_HOLE)
        if begin >= start + len(data):
            return None  # the zeros were written
        return begin, os.lseek(descriptor, begin, os.SEEK_DATA)
    except OSError as fault:
        if fault.errno == errno.ENXIO:  # nothing but the hole is left
            return begin, os.lseek(descriptor, 0, os.SEEK_END)
        return None
