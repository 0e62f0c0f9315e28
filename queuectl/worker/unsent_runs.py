"""The runs whose output is to be kept for other hosts, in a file until it is, for who comes next.

Each worker has a file of its own, `logs/unsent/WORKER`, which it holds locked: a line for each run
that it begins. One that nobody holds is of a worker that died, and another takes it over.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import frozen
from queuectl.system.home import Home, open_private, private_directory

_LONGEST = 2**20
"""A file of so many bytes is written anew, with what is left alone."""

_APPEND = os.O_RDWR | os.O_APPEND


@frozen
class BegunRun:
    """A run that has begun, whose output is to be kept."""

    job_id: str
    run: int
    claim_id: str


class UnsentRuns:
    """The list of one worker, made when it is first written to. Used by several threads.

    Raises StoreUnavailable or StoreRefused where it cannot be written.
    """

    def __init__(self, home: Home, worker_id: str) -> None:
        self._home = home
        self._folder = home.logs / "unsent"
        self._path = self._folder / worker_id
        self._file: int | None = None
        self._size = 0

    def add(self, run: BegunRun) -> None:
        """Note a run that is about to begin."""
        if self._file is None:
            for directory in (self._home.root, self._home.logs, self._folder):
                private_directory(directory)
            self._file = self._open()
        self._size += os.write(self._file, _line(run))

    def _open(self) -> int:
        """Open and lock the file; another worker that took it for an orphan may have removed it."""
        while True:
            file = open_private(self._path, _APPEND)
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink:
                return file
            os.close(file)

    def keep(self, left: Iterable[BegunRun]) -> None:
        """Forget all but those that are left, once the file has grown, or nothing is left.

        Nobody else may add any meanwhile.
        """
        runs = [*left]
        if self._file is None or not self._size or (runs and self._size < _LONGEST):
            return
        text = b"".join(map(_line, runs))
        os.ftruncate(self._file, 0)  # a crash right here loses the list of what was not sent
        os.write(self._file, text)
        self._size = len(text)

    def close(self) -> None:
        """Let go of the file; with nothing left in it, it is removed."""
        if self._file is not None:
            if not self._size:
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._file)
            self._file = None

    def orphans(self) -> Iterator[tuple[Path, int, list[BegunRun]]]:
        """Yield the path of each file that a dead worker left, its open descriptor, and its runs.

        It is locked then: whoever gets it closes it, and removes it once all of it is sent.
        """
        paths = [*self._folder.iterdir()] if self._folder.is_dir() else []
        for path in paths:
            if path == self._path:
                continue
            with suppress(OSError):
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(file)
                    continue
                yield path, file, _runs_in(file)


def _line(run: BegunRun) -> bytes:
    return f"{run.run} {run.claim_id} {run.job_id}\n".encode()


def _runs_in(file: int) -> list[BegunRun]:
    """Return the runs in a file, each once; what is no line of ours is passed over."""
    found: dict[BegunRun, None] = {}
    with os.fdopen(os.dup(file), "rb") as lines:
        for line in lines:
            number, _, rest = line.decode(errors="replace").rstrip("\n").partition(" ")
            claim_id, _, job_id = rest.partition(" ")
            if number.isdecimal() and claim_id and is_name(job_id):
                found[BegunRun(job_id, int(number), claim_id)] = None
    return [*found]
