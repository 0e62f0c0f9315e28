"""The log files of supervisors and workers by name, and reading on in those that make way.

`ID.log` is being written; when it is full it becomes `ID.log.1`, that `ID.log.2`, and the last
goes. The id is HOST-PID-TOKEN, after `supervisor-` where it is one.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_SUFFIX = re.compile(r"\.log(?:\.(\d+))?$")
_SUPERVISOR = "supervisor-"
_INT64 = 2**63 - 1


def log_name(word: str) -> str:
    """Return what stands for a worker's id, or a host, in the names of files."""
    return re.sub(r"[^\w.-]", "_", word)


def worker_log(worker_id: str) -> str:
    """Return the name of a worker's log file."""
    return f"{log_name(worker_id)}.log"


def logs_of(folder: Path) -> dict[str, list[Path]]:
    """Return the log files in a folder by the process they are of, its oldest file first."""
    files: defaultdict[str, list[tuple[int, Path]]] = defaultdict(list)
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if suffix := _SUFFIX.search(path.name):
                files[path.name[: suffix.start()]].append((-int(suffix[1] or 0), path))
    return {name: [path for _, path in sorted(paths)] for name, paths in files.items()}


def pid_of(name: str) -> str:
    """Return the pid in the name of a process's log."""
    return name.split("-")[-2:][0]


def host_of_log(name: str) -> str:
    """Return the host in the name of a process's log; empty for one that names none."""
    parts = name.removeprefix(_SUPERVISOR).rsplit("-", 2)
    return parts[0] if len(parts) == 3 and parts[1].isdecimal() else ""


def is_log_of(name: str, word: str) -> bool:
    """Whether a log is of the process that is named by its id, or of the worker with a pid."""
    return name == log_name(word) or (not name.startswith(_SUPERVISOR) and pid_of(name) == word)


class Trail:
    """How far the log of one process has been read: which file, and up to where in it."""

    def __init__(self, file: int = 0, offset: int = 0) -> None:
        self._file = file
        self._offset = offset

    @property
    def position(self) -> tuple[int, int]:
        """The number of the file and the place in it, which another trail goes on from."""
        return self._file, self._offset

    def read(self, paths: list[Path], lines: int | None) -> bytes:
        """Return the whole lines that are new; with `lines` at least so many of the last."""
        read: list[tuple[int, bytes]] = []
        missing = lines
        # The newest is opened first: a file that moves on meanwhile is met again, not missed.
        for path in reversed(paths):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            with file:
                number = os.fstat(file.fileno()).st_ino & _INT64
                if any(number == known for known, _ in read):
                    continue
                is_last = number == self._file
                file.seek(self._offset if is_last else 0)
                read.append((number, file.read()))
            if missing is not None:
                missing -= read[-1][1].count(b"\n")
            if is_last or (missing is not None and missing <= 0):
                break
        if not read:
            return b""
        newest, data = read[0]
        whole = data[: data.rfind(b"\n") + 1]
        self._offset = len(whole) + (self._offset if newest == self._file else 0)
        self._file = newest
        return b"".join([*(older for _, older in read[:0:-1]), whole])
