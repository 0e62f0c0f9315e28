"""Where a run's output goes: two files that the command itself writes into.

They are `logs/jobs/ID/RUN.out` and `RUN.err`, but for a command that succeeds at once without a
word: nothing is made for that. So, where the system allows it, they have no names at first.

Two files in a directory of their own cost a short job more than its shell does (ext4: 250 µs and
more, as the kernel also steps over what was removed just before). A file without a name
(`O_TMPFILE`, see open(2)) can serve one command after another while it stays empty, and is given
a name when there is something to be seen.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from queuectl.domain.errors import StoreRefused, StoreUnavailable, shown
from queuectl.domain.field_checks import is_name
from queuectl.domain.job import TAIL_BYTES
from queuectl.system.home import DIRECTORY_MODE, FILE_MODE, Home, cannot, private_directory

if sys.platform == "linux":
    import fcntl

    _READ_LEASE = () if fcntl.F_RDLCK == 0 else (fcntl.F_RDLCK,)
    """The argument that asks for one; 0, as it is nearly everywhere, is quicker left out."""

SpawnAction = tuple[int, int, int] | tuple[int, int, str, int, int]
"""A file action of `os.posix_spawn`."""

_WRITE = os.O_WRONLY | os.O_APPEND
_ON_DISK = "/proc/self/fd"
_CREATE = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NOTHING = ("", 0)
T = TypeVar("T")


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


_Pair = tuple[TempFile, TempFile]


class RunFiles:
    """The open files of one run: what the command writes into, and what is read back."""

    def __init__(self, stdout: int, stderr: int) -> None:
        self._stdout, self._stderr = stdout, stderr

    @property
    def actions(self) -> tuple[SpawnAction, SpawnAction]:
        """How a command gets them as its standard output and standard error."""
        dup = os.POSIX_SPAWN_DUP2
        return (dup, self._stdout, 1), (dup, self._stderr, 2)

    def show(self) -> None:
        """Let others see the files; where that fails, `close` tries again."""

    def tails(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return the end of each, as `read_tail` does."""
        return read_tail(self._stdout), read_tail(self._stderr)

    def close(self) -> None:
        """Close both. Raises StoreUnavailable or StoreRefused when what is in them is lost."""
        os.close(self._stdout)
        os.close(self._stderr)


class OutputFolder:
    """`logs/jobs` of a home, kept open so that no path is walked twice and no link is followed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder: int | None = None
        self._blanks: list[_Pair] = []
        self._has_unnamed = True
        self._is_full = False

    def open(self, job_id: str, run: int) -> RunFiles:
        """Make the log files of a run. Raises StoreUnavailable or StoreRefused when it cannot."""
        if not is_name(job_id):  # a record written by hand must not lead out of the folder
            raise StoreRefused(f"{shown(job_id)} is no job's id")
        return self._in_folder(partial(self._open, job_id, run), job_id)

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None
        for stdout, stderr in self._blanks:
            os.close(stdout.reader)
            os.close(stderr.reader)
        self._blanks = []

    def give_names(self, files: _Pair, job_id: str, run: int) -> None:
        """Make unnamed files those of a run. Raises StoreUnavailable or StoreRefused."""
        try:
            self._in_folder(partial(self._give_names, files, job_id, run), job_id)
        except (StoreUnavailable, StoreRefused):
            self._is_full = True  # the next run finds out before it begins
            raise

    def take_back(self, blanks: _Pair) -> None:
        """Keep files that nothing was written into, and nothing can be, for a later run."""
        self._blanks.append(blanks)

    def _in_folder(self, act: Callable[[], T], job_id: str) -> T:
        """Do something in the folder, which may have been removed while we worked."""
        try:
            try:
                return act()
            except FileNotFoundError:
                self.close()
                return act()
        except OSError as fault:
            raise self._fault(job_id, fault) from fault

    def _open(self, job_id: str, run: int) -> RunFiles:
        folder = self._open_folder()
        if self._has_unnamed and not self._is_full and not _exists(job_id, folder):
            try:
                blanks = self._blanks.pop() if self._blanks else _unnamed_pair(folder)
                return _UnnamedFiles(self, blanks, job_id, run)
            except OSError as fault:  # see open(2), O_TMPFILE
                if fault.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
                    raise
                self._has_unnamed = False
        with _entered(job_id, folder) as directory:
            files = _make_files(run, directory)
        self._is_full = False
        return files

    def _give_names(self, files: _Pair, job_id: str, run: int) -> None:
        with _entered(job_id, self._open_folder()) as directory:
            for file, name in zip(files, _names(run), strict=True):
                file.give_name(name, directory)

    def _open_folder(self) -> int:
        if self._folder is None:
            for directory in (self._home.root, self._home.logs, self._home.job_logs):
                private_directory(directory, parents=directory == self._home.root)
            self._folder = os.open(self._home.job_logs, _DIRECTORY)
        return self._folder

    def _fault(self, job_id: str, fault: OSError) -> StoreUnavailable | StoreRefused:
        path = self._home.job_logs / job_id
        if fault.errno in (errno.ELOOP, errno.ENOTDIR):
            return StoreRefused(f"{path} is a symbolic link, which is not followed", "remove it")
        return cannot("write", path, fault)


class _UnnamedFiles(RunFiles):
    """Files of a run that get their names when there is something to be seen."""

    def __init__(self, folder: OutputFolder, files: _Pair, job_id: str, run: int) -> None:
        stdout, stderr = files
        super().__init__(stdout.reader, stderr.reader)
        self._folder, self._files = folder, files
        self._job_id, self._run = job_id, run
        self._is_blank = False

    @property
    def actions(self) -> tuple[SpawnAction, SpawnAction]:
        stdout, stderr = self._files
        return stdout.opening(1), stderr.opening(2)

    def show(self) -> None:
        with contextlib.suppress(StoreUnavailable, StoreRefused):
            self._give_names()

    def tails(self) -> tuple[tuple[str, int], tuple[str, int]]:
        return (_NOTHING, _NOTHING) if self._stay_blank() else super().tails()

    def close(self) -> None:
        if self._stay_blank():
            self._folder.take_back(self._files)
            return
        try:
            self._give_names()
        finally:
            super().close()

    def _stay_blank(self) -> bool:
        """Whether nothing was written, and nothing can be any more."""
        stdout, stderr = self._files
        self._is_blank = self._is_blank or (stdout.is_blank() and stderr.is_blank())
        return self._is_blank

    def _give_names(self) -> None:
        if not all(file.has_name for file in self._files):
            self._folder.give_names(self._files, self._job_id, self._run)


@contextlib.contextmanager
def _entered(job_id: str, folder: int) -> Iterator[int]:
    """The directory of a job, made where there is none; a link in its place is refused."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(job_id, DIRECTORY_MODE, dir_fd=folder)
    directory = os.open(job_id, _DIRECTORY, dir_fd=folder)
    try:
        yield directory
    finally:
        os.close(directory)


def _exists(job_id: str, folder: int) -> bool:
    # unlike `stat` it raises nothing where there is none, as for nearly every job
    return os.access(job_id, os.F_OK, dir_fd=folder, follow_symlinks=False)


def _names(run: int) -> tuple[str, str]:
    return f"{run}.out", f"{run}.err"


def _make_files(run: int, directory: int) -> RunFiles:
    stdout, stderr = _names(run)
    out = os.open(stdout, _CREATE, FILE_MODE, dir_fd=directory)
    try:
        return RunFiles(out, os.open(stderr, _CREATE, FILE_MODE, dir_fd=directory))
    except OSError:
        os.close(out)
        raise


def _unnamed_pair(folder: int) -> _Pair:
    first = TempFile(folder)
    try:
        return first, TempFile(folder)
    except OSError:
        os.close(first.reader)
        raise


def read_tail(descriptor: int) -> tuple[str, int]:
    """Return the last 64 KiB of a file as text, and how many bytes come before them.

    Bytes that are not UTF-8 become U+FFFD; a character that the cut has split is dropped.
    """
    size = os.lseek(descriptor, 0, os.SEEK_END)  # a sixth of what fstat costs
    if size == 0:
        return _NOTHING
    cut = max(0, size - TAIL_BYTES)
    data = os.pread(descriptor, TAIL_BYTES, cut)
    if cut:
        split = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
        data, cut = data[split:], cut + split
    return data.decode(errors="replace"), cut
