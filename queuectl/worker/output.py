"""Where a run's output goes: two files that the command itself writes into."""

from __future__ import annotations

import errno
import os

from queuectl.domain.errors import StoreRefused, StoreUnavailable, shown
from queuectl.domain.job import TAIL_BYTES
from queuectl.domain.request import is_name
from queuectl.domain.values import frozen
from queuectl.home import DIRECTORY_MODE, FILE_MODE, Home, cannot, private_directory

_CREATE = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@frozen
class RunFiles:
    """The open files of one run."""

    stdout: int
    stderr: int

    def close(self) -> None:
        """Close both."""
        os.close(self.stdout)
        os.close(self.stderr)


class OutputFolder:
    """`logs/jobs` of a home, kept open so that no path is walked twice and no link is followed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder: int | None = None

    def open(self, job_id: str, run: int) -> RunFiles:
        """Make the log files of a run. Raises StoreUnavailable or StoreRefused when it cannot."""
        if not is_name(job_id):  # a record written by hand must not lead out of the folder
            raise StoreRefused(f"{shown(job_id)} is no job's id")
        try:
            return self._open(job_id, run)
        except FileNotFoundError:
            self.close()  # the folder was removed while we worked
        except OSError as fault:
            raise self._fault(job_id, fault) from fault
        try:
            return self._open(job_id, run)
        except OSError as fault:
            raise self._fault(job_id, fault) from fault

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def _open(self, job_id: str, run: int) -> RunFiles:
        folder = self._open_folder()
        try:
            os.mkdir(job_id, DIRECTORY_MODE, dir_fd=folder)
        except FileExistsError:  # it may be a link, which is refused
            directory = os.open(job_id, _DIRECTORY, dir_fd=folder)
            try:
                return _make_files(f"{run}", directory)
            finally:
                os.close(directory)
        return _make_files(f"{job_id}/{run}", folder)

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


def _make_files(stem: str, folder: int) -> RunFiles:
    out = os.open(f"{stem}.out", _CREATE, FILE_MODE, dir_fd=folder)
    try:
        return RunFiles(out, os.open(f"{stem}.err", _CREATE, FILE_MODE, dir_fd=folder))
    except OSError:
        os.close(out)
        raise


def read_tail(descriptor: int) -> tuple[str, int]:
    """Return the last 64 KiB of a file as text, and how many bytes come before them.

    Bytes that are not UTF-8 become U+FFFD; a character that the cut has split is dropped.
    """
    size = os.fstat(descriptor).st_size
    if size == 0:
        return "", 0
    cut = max(0, size - TAIL_BYTES)
    data = os.pread(descriptor, TAIL_BYTES, cut)
    if cut:
        split = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
        data, cut = data[split:], cut + split
    return data.decode(errors="replace"), cut
