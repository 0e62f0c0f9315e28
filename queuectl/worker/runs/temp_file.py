"""A file that no directory knows until it is given a name; see `output`."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from queuectl.system.home import FILE_MODE

if sys.platform == "linux":
    import fcntl

    _READ_LEASE = () if fcntl.F_RDLCK == 0 else (fcntl.F_RDLCK,)
    """The argument that asks for one; 0, as it is nearly everywhere, is quicker left out."""

SpawnAction = tuple[int, int, int] | tuple[int, int, str, int, int]
"""A file action of `os.posix_spawn`."""

_WRITE = os.O_WRONLY | os.O_APPEND
_ON_DISK = "/proc/self/fd"


class TempFile:
    """An empty file that no directory knows; it goes when `reader`, its descriptor, is closed."""

    def __init__(self, folder: int) -> None:
        """Make it where `folder` is. Raises OSError, also where the system has no such files.

        FileNotFoundError says that the folder is gone; Linux says that it is not permitted.
        """
        if sys.platform != "linux":
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        try:
            file = os.open(".", os.O_TMPFILE | os.O_RDWR, FILE_MODE, dir_fd=folder)
        except PermissionError:
            if os.fstat(folder).st_nlink:
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        try:
            # to be read only: who holds it for writing is told apart by that
            self.reader = os.open(f"{_ON_DISK}/{file}", os.O_RDONLY)
        finally:
            os.close(file)
        self._path = f"{_ON_DISK}/{self.reader}"
        self.has_name = False

    def opening(self, descriptor: int) -> SpawnAction:
        """Return how a new process opens it for writing, as one of its descriptors.

        Nobody else has it open for writing then.
        """
        return (os.POSIX_SPAWN_OPEN, descriptor, self._path, _WRITE, FILE_MODE)

    def is_blank(self) -> bool:
        """Whether it is empty and unnamed, and nobody holds it who could write into it later.

        A lease for reading is given only on a file that nobody has open for writing; see
        fcntl(2), `F_SETLEASE`. The size is looked at after that, when it is what it stays.
        """
        if self.has_name:
            return False
        try:
            fcntl.fcntl(self.reader, fcntl.F_SETLEASE, *_READ_LEASE)
            fcntl.fcntl(self.reader, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return os.lseek(self.reader, 0, os.SEEK_END) == 0

    def give_name(self, name: str, folder: int) -> None:
        """Make it a file of that name, in place of another; once. Raises OSError."""
        if self.has_name:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        os.link(self._path, name, dst_dir_fd=folder, follow_symlinks=True)
        self.has_name = True
