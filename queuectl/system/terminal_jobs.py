"""The latest jobs of each terminal: what a person enqueued or retried there, in a file of the home.

A terminal is known by its session leader, the shell of a person most often: by the pid, start and
boot of that process, so that a number that is used again means nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from queuectl.domain.errors import QueuectlError
from queuectl.system.home import Home, open_private, private_directory
from queuectl.system.processes import identify, this_boot

DIRECTORY = "terminals"
MOST = 100
"""So many jobs of a terminal are remembered."""

_MOST_BYTES = 64 * 1024
_KEPT_SECONDS = 30 * 86_400.0
"""What is not written to for so long is forgotten, whatever became of its terminal."""


def remember(home: Home, address: str, ids: Sequence[str]) -> None:
    """Remember jobs of the store at `address`, the latest last, as this terminal's.

    Whoever has no session, or cannot write, remembers nothing: the jobs are stored all the same.
    """
    name = _session()
    if not name or not ids:
        return
    place = " ".join(address.split())
    text = "".join(f"{job_id} {place}\n" for job_id in ids[-MOST:])
    folder = os.path.join(home.directory, DIRECTORY)
    path = os.path.join(folder, name)
    with contextlib.suppress(OSError, QueuectlError):
        if not os.path.exists(path):
            private_directory(folder)
            _forget_others(folder)
        descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, text.encode())
            is_long = os.fstat(descriptor).st_size > _MOST_BYTES
        finally:
            os.close(descriptor)
        if is_long:
            _shorten(path)


def recall(home: Home, address: str) -> list[str]:
    """Return the ids of this terminal's jobs in the store at `address`, the latest last."""
    name = _session()
    place = " ".join(address.split())
    path = os.path.join(home.directory, DIRECTORY, name)
    ids: dict[str, None] = {}
    for line in _lines(path) if name else ():
        job_id, _, where = line.partition(" ")
        if where == place:
            ids.pop(job_id, None)  # what was retried is the latest again
            ids[job_id] = None
    return list(ids)[-MOST:]


def _session() -> str:
    """Return a name for the session of this process; empty where there is none to be known."""
    if not hasattr(os, "getsid"):  # Windows
        return ""
    leader = identify(os.getsid(0) or -1)
    return f"{leader.pid}-{leader.started}-{_boot()}" if leader else ""


def _boot() -> str:
    return "".join(char if char.isalnum() else "-" for char in this_boot())


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _shorten(path: str) -> None:
    """Keep the latest lines of a file alone."""
    kept = "".join(f"{line}\n" for line in _lines(path)[-MOST:])
    draft = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    descriptor = open_private(draft, os.O_WRONLY | os.O_EXCL)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(kept)
    os.replace(draft, path)


def _forget_others(folder: str) -> None:
    """Remove the files of terminals that are gone."""
    boot = _boot()
    with os.scandir(folder) as entries:
        for entry in entries:
            pid, started, where = (*entry.name.split("-", 2), "", "")[:3]
            leader = identify(int(pid)) if where == boot and pid.isdecimal() else None
            is_gone = where == boot and (leader is None or leader.started != started)
            if is_gone or entry.stat().st_mtime < time.time() - _KEPT_SECONDS:
                os.unlink(entry.path)
