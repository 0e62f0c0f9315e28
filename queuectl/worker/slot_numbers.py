"""The number of the slot that a job of a batch runs in: the least that no other one has.

All workers of a home share them, through locks on the bytes of one file. Those end with the
process that holds them, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.system.home import open_private

_TAKEN = (errno.EAGAIN, errno.EACCES)


class SlotNumbers:
    """The numbers of one worker's runs, by the ids of these. Use it from one thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._numbers: dict[str, int] = {}

    def take(self, run: str) -> int:
        """Return the number for a run, from 1; nobody else of this home gets it until it is free.

        Where files cannot be locked, nobody else of this worker does.
        """
        mine = {*self._numbers.values()}
        number = 1
        while number in mine or not self._lock(number):
            number += 1
        self._numbers[run] = number
        return number

    def free(self, run: str) -> None:
        """Let others have the number of a run, if it has one."""
        number = self._numbers.pop(run, None) if self._numbers else None
        if number is not None and self._descriptor is not None:
            with suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Let go of all numbers."""
        self._numbers.clear()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, number: int) -> bool:
        """Whether a number is this worker's now."""
        try:
            if self._descriptor is None:
                self._descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT)
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as fault:
            return fault.errno not in _TAKEN
        except (StoreUnavailable, StoreRefused):
            return True
        return True
