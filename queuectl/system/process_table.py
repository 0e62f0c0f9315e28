"""All living processes at one moment, for whoever looks for those of a run (Linux).

A look at /proc takes milliseconds, all of them spent in Python. Threads that end many runs at the
same time share one, or a worker of 64 slots would need seconds to end what it runs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from queuectl.system.processes import is_over, stat_fields
from queuectl.system.run_mark import RUN_ID_VARIABLE, is_mark, read_mark

_EXEC_SECONDS = 1.0
_EXEC_PAUSE = 0.001
# What `stat_fields` has, counted from its first; the bits are of the kernel's linux/sched.h.
_PARENT, _GROUP, _FLAGS = 1, 2, 6
_PROGRAM = slice(23, 26)
_EXITING = 0x4
_KERNEL_THREAD = 0x200000
_NAMED = f"{RUN_ID_VARIABLE}=".encode()


class Process(NamedTuple):
    """A living process; `named` is what its environment says of runs, unless it bears a mark."""

    pid: int
    parent: int
    group: int
    mark: int | None
    named: tuple[bytes, ...]


class ProcessTable:
    """Looks at all processes, one look for all threads that ask while the last one goes on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun_at = 0.0
        self._found: list[Process] = []

    def look(self) -> list[Process]:
        """Return all processes as they were at some moment after this was asked."""
        asked_at = time.monotonic()
        with self._lock:
            if self._begun_at <= asked_at:
                begun_at = time.monotonic()
                self._found = list(_living())
                self._begun_at = begun_at
            return self._found


def _living() -> Iterator[Process]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - a fifth of the time of Path.iterdir
        if not name.isdigit():
            continue
        pid = int(name)
        fields = stat_fields(pid)
        if fields is None or is_over(fields):
            continue
        mark = read_mark(pid)
        named = () if is_mark(mark) else tuple(e for e in _environment(pid) if e.startswith(_NAMED))
        yield Process(pid, int(fields[_PARENT]), int(fields[_GROUP]), mark, named)


def _environment(pid: int) -> list[bytes]:
    """Return what a process was given by its environment.

    A process in the middle of execve(2) shows none for a moment, so one that shows none is asked
    again, until its program is in place and has stayed the same from one look to the next.
    """
    ends_at = time.monotonic() + _EXEC_SECONDS
    place: list[bytes] = []
    try:
        while not (text := Path(f"/proc/{pid}/environ").read_bytes()):
            fields = stat_fields(pid)
            if fields is None or int(fields[_FLAGS]) & (_KERNEL_THREAD | _EXITING):
                return []
            seen, place = place, fields[_PROGRAM]
            is_in_place = seen == place and place[0] != b"0"
            if is_in_place or time.monotonic() > ends_at:
                return []
            time.sleep(_EXEC_PAUSE)
    except OSError:
        return []
    return text.split(b"\0")
