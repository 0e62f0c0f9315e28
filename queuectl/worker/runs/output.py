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
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from queuectl.domain.errors import StoreRefused, StoreUnavailable, shown
from queuectl.domain.field_checks import is_name
from queuectl.domain.job import TAIL_BYTES
from queuectl.system import holes
from queuectl.system.home import DIRECTORY_MODE, FILE_MODE, Home, cannot, private_directory
from queuectl.system.run_order import Sizes
from queuectl.worker.runs.temp_file import SpawnAction, TempFile

_CREATE = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NOTHING = ("", 0)
_MERGED = (os.POSIX_SPAWN_DUP2, 1, 2)
"""Makes standard error the same file as standard output."""

T = TypeVar("T")

_Pair = tuple[TempFile, TempFile]


class RunFiles:
    """The open files of one run: what the command writes into, and what is read back."""

    _is_merged = False

    def __init__(
        self, folder: OutputFolder, job_id: str, run: int, stdout: int, stderr: int
    ) -> None:
        self._folder, self._job_id, self._run = folder, job_id, run
        self._stdout, self._stderr = stdout, stderr

    def merge(self) -> None:
        """Have the command, which is not started yet, write all into the first."""
        self._is_merged = True

    @property
    def actions(self) -> tuple[SpawnAction, SpawnAction]:
        """How a command gets them as its standard output and standard error."""
        dup = os.POSIX_SPAWN_DUP2
        stderr = _MERGED if self._is_merged else (dup, self._stderr, 2)
        return (dup, self._stdout, 1), stderr

    def show(self) -> None:
        """Let others see the files; where that fails, `close` tries again."""

    @property
    def descriptors(self) -> tuple[int, int]:
        """The open files, to be looked at."""
        return self._stdout, self._stderr

    def sizes(self) -> Sizes:
        """Return how much has been written into each, in bytes."""
        return os.lseek(self._stdout, 0, os.SEEK_END), os.lseek(self._stderr, 0, os.SEEK_END)

    def is_error_older(self) -> bool:
        """Whether standard error was written to before standard output was, the last time each."""
        return os.fstat(self._stderr).st_mtime_ns < os.fstat(self._stdout).st_mtime_ns

    def make_order(self) -> int:
        """Return a new file, open for writing, for the order of what is in both. Raises OSError."""
        return self._folder.make_order(self._job_id, self._run)

    def drop_part(self, stream: int, start: int, end: int) -> None:
        """Drop a part of a file, standard error with `stream` 1. Raises OSError; see `holes`."""
        holes.punch(self._stderr if stream else self._stdout, start, end)

    def tails(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return the end of each, as `read_tail` does."""
        return read_tail(self._stdout), read_tail(self._stderr)

    def close(self) -> None:
        """Close both. Raises StoreUnavailable or StoreRefused when what is in them is lost."""
        os.close(self._stdout)
        os.close(self._stderr)


class ScratchFiles(RunFiles):
    """The files of a command that prepares a run: nobody sees them, and they go with their end."""

    def __init__(self) -> None:
        """Make them. Raises StoreUnavailable when that cannot be done."""
        from tempfile import TemporaryFile, gettempdir

        try:
            with TemporaryFile() as stdout, TemporaryFile() as stderr:
                self._stdout, self._stderr = os.dup(stdout.fileno()), os.dup(stderr.fileno())
        except OSError as fault:
            raise cannot("write", gettempdir(), fault) from fault


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

    def make_order(self, job_id: str, run: int) -> int:
        """Return a new file, open for writing, for the order of a run's output. Raises OSError.

        It is for the thread that samples: the folder may be closed and opened meanwhile.
        """
        folder = os.open(self._home.job_logs, _DIRECTORY)
        try:
            directory = os.open(job_id, _DIRECTORY, dir_fd=folder)
            try:
                return os.open(f"{run}.order", _CREATE, FILE_MODE, dir_fd=directory)
            finally:
                os.close(directory)
        finally:
            os.close(folder)

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
            stdout, stderr = _make_files(run, directory)
        self._is_full = False
        return RunFiles(self, job_id, run, stdout, stderr)

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
        self._folder, self._job_id, self._run = folder, job_id, run
        self._stdout, self._stderr = files[0].reader, files[1].reader
        self._files = files
        self._is_blank = False

    @property
    def actions(self) -> tuple[SpawnAction, SpawnAction]:
        stdout, stderr = self._files
        return stdout.opening(1), _MERGED if self._is_merged else stderr.opening(2)

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


def _make_files(run: int, directory: int) -> tuple[int, int]:
    """Make the files of a run, in place of those of another job that had the same id."""
    stdout, stderr = _names(run)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{run}.order", dir_fd=directory)
    out = os.open(stdout, _CREATE, FILE_MODE, dir_fd=directory)
    try:
        return out, os.open(stderr, _CREATE, FILE_MODE, dir_fd=directory)
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
