"""Waking idle workers of one machine: a FIFO beside the store that writers write a byte into.

It is only a hint, so nothing is lost when it is: sleepers look for themselves now and then.
"""

from __future__ import annotations

import contextlib
import os
import stat

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)
_DRAIN = 65_536


class WakeFifo:
    """Both ends of the FIFO of one store. On a system without FIFOs it does nothing."""

    def __init__(self, store_file: str) -> None:
        self._path = f"{store_file}-wake"
        self._reader: int | None = None

    def close(self) -> None:
        """Stop listening."""
        if self._reader is not None:
            os.close(self._reader)
            self._reader = None

    def notify(self) -> None:
        """Wake whoever sleeps; without sleepers, or when they have been told, do nothing."""
        with contextlib.suppress(OSError):
            writer = os.open(self._path, os.O_WRONLY | _NON_BLOCKING | _NO_FOLLOW)
            try:
                if stat.S_ISFIFO(os.fstat(writer).st_mode):
                    os.write(writer, b"w")
            finally:
                os.close(writer)

    def listen(self) -> int | None:
        """Return a descriptor that is readable once somebody has notified, if there is one."""
        if self._reader is None and hasattr(os, "mkfifo"):
            with contextlib.suppress(OSError):
                self._reader = self._open_reader()
        return self._reader

    def _open_reader(self) -> int | None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
        # Opened for reading and writing: with a writer always there it never reads as ended.
        reader = os.open(self._path, os.O_RDWR | _NON_BLOCKING | _NO_FOLLOW)
        if stat.S_ISFIFO(os.fstat(reader).st_mode):
            return reader
        os.close(reader)
        return None

    def drain(self) -> None:
        """Forget what was notified so far; look for work after this, not before."""
        if self._reader is not None:
            with contextlib.suppress(OSError):
                os.read(self._reader, _DRAIN)
