"""Being told when a file is written to that nobody has written to for a while: inotify(7)."""

from __future__ import annotations

import errno
import os
import struct
import sys

_MODIFY, _ONESHOT = 0x2, 0x80000000
_NONBLOCK = 0o4000
_CLOEXEC = 0o2000000
_HEAD = struct.Struct("iIII")
_MOST_BYTES = 64 * 1024


class FirstWrites:
    """Tells of the first write to each file after that was watched, in the order of these writes.

    `descriptor` is readable when there is something to be told.
    """

    def __init__(self) -> None:
        """Begin. Raises OSError, also where the system cannot do that."""
        if sys.platform != "linux":
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        import ctypes

        self._errno = ctypes.get_errno
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._checked(self._libc.inotify_init1(_NONBLOCK | _CLOEXEC))

    def close(self) -> None:
        """End, with all watches."""
        os.close(self.descriptor)

    def watch(self, file: int) -> int:
        """Watch an open file, by its descriptor, and return the number of the watch.

        Raises OSError when it cannot, as of all watches of a user there are too many.
        """
        path = f"/proc/self/fd/{file}".encode()
        add = self._libc.inotify_add_watch
        return self._checked(add(self.descriptor, path, _MODIFY | _ONESHOT))

    def forget(self, watch: int) -> None:
        """Watch a file no longer, if it is still watched."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def told(self) -> list[int]:
        """Return the watches whose files were written to, the first that was written to first."""
        try:
            data = os.read(self.descriptor, _MOST_BYTES)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            watch, what, _, length = _HEAD.unpack_from(data, at)
            if what & _MODIFY:
                found.append(watch)
            at += _HEAD.size + length
        return found

    def _checked(self, result: int) -> int:
        if result < 0:
            number = self._errno()
            raise OSError(number, os.strerror(number))
        return result
