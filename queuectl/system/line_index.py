"""How many lines end before a byte of a file, without reading all of that each time.

It is kept for each stretch of a file that has been looked at.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict

STRETCH = 1024 * 1024
_MOST_FILES = 64
_HEAD = 256
"""By so much of its beginning a file is told from one that had its place on the disk before."""


class _Index:
    """How many lines end in each stretch of files, of those that were asked for last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, int, bytes], tuple[int, list[int]]] = OrderedDict()

    def _sums(self, file: int) -> list[int]:
        """Return how many lines end before each stretch of a file, of those that are known.

        One that takes less room than before was cut, or is another: nothing is known of it.
        """
        stat = os.fstat(file)
        key = (stat.st_dev, stat.st_ino, os.pread(file, _HEAD, 0))
        with self._lock:
            room, sums = self._known.pop(key, (0, [0]))
            if stat.st_blocks < room:
                sums = [0]
            self._known[key] = (stat.st_blocks, sums)
            while len(self._known) > _MOST_FILES:
                self._known.popitem(last=False)
        return sums

    def count(self, file: int, until: int) -> int:
        """Return how many lines of an open file end before a byte of it."""
        sums = self._sums(file)
        whole = until // STRETCH
        while len(sums) <= whole:
            at = len(sums) - 1
            number = _count(file, at * STRETCH, (at + 1) * STRETCH)
            with self._lock:
                if len(sums) == at + 1:
                    sums.append(sums[at] + number)
        return sums[whole] + _count(file, whole * STRETCH, until)


def _count(file: int, begin: int, end: int) -> int:
    """Return how many lines end in a part of a file; one without any data has none."""
    if end <= begin:
        return 0
    try:
        if os.lseek(file, begin, os.SEEK_DATA) >= end:
            return 0
    except OSError as fault:
        if fault.errno == errno.ENXIO:  # nothing but a hole is left
            return 0
    return os.pread(file, end - begin, begin).count(b"\n")


_INDEX = _Index()


def lines_before(file: int, until: int) -> int:
    """Return how many lines of an open file end before a byte of it."""
    return _INDEX.count(file, until)
