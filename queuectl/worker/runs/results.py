"""The results that runs leave: a file for each that writes one, read and removed at its end."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress

from queuectl.domain.errors import StoreError
from queuectl.domain.run_result import MAX_RESULT_BYTES, refusal
from queuectl.system.home import Home, private_directory

_STALE_SECONDS = 30 * 24 * 3600
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class ResultFolder:
    """Where the runs of one worker leave their results, in a directory that all of a home share."""

    def __init__(self, home: Home) -> None:
        self._folder = home.results
        with suppress(StoreError):  # then runs cannot leave any, and say so themselves
            private_directory(self._folder)
        self._sweep()

    def path_of(self, run_id: str) -> str:
        """Return the path of the file that a run may write."""
        return f"{self._folder}/{run_id}.json"

    def _sweep(self) -> None:
        """Remove what runs left a month ago whose worker was killed before they ended."""
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                    _remove(entry.path)


def take_result(path: str) -> tuple[str | None, str | None]:
    """Return the JSON text in the file of a run that has ended, and a note where it is none.

    The file is removed. Most runs have none, which costs one system call.
    """
    if not os.access(path, os.F_OK, follow_symlinks=False):
        return None, None
    try:
        text = _read(path)
        why = refusal(text)
    except (OSError, ValueError) as fault:
        text, why = "", getattr(fault, "strerror", None) or str(fault)
    _remove(path)
    if why is None:
        return text, None
    return None, f"the result was not kept: {why}"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except IsADirectoryError:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass  # it is looked for again when it is old


def _read(path: str) -> str:
    """Return what is in a file. Raises OSError, and ValueError for what is no text of that size."""
    descriptor = os.open(path, _READ)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a regular file")
        if found.st_size > MAX_RESULT_BYTES:
            raise ValueError(
                f"it has {found.st_size:,} bytes, and at most {MAX_RESULT_BYTES:,} are kept"
            )
        data = os.read(descriptor, MAX_RESULT_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("it is not valid JSON: it is not UTF-8") from None
