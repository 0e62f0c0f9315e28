"""What a run used: its processor time, and the most memory that its processes had together.

Processor time is what wait4(2) says of the command and of all that it has waited for.

So is the most memory that one process had (`ru_maxrss`), but that is believed only in part. A
command is started with vfork(2), and until it calls execve(2) it has the memory of its worker; the
kernel enters the high-water mark of what a process had before into that of the whole process
(exec_mmap in fs/exec.c calls setmax_mm_hiwater_rss). So `true` would be as large as the worker
that started it. Only what is larger than the worker has ever been is the command's own.

The rest is looked at while the command runs (`look`), from the moment on at which it is known to be
none of the many that are over at once: for one process its own high-water mark (`VmHWM` of
proc_pid_status(5)), which misses nothing that came before; for several also the sum of their shares
(`Pss` of proc_pid_smaps(5), in which a page that some have in common counts once). One that ended
before anybody looked, or just after, has its page faults too, each a page that it touched for the
first time: an estimate, and never more than `ru_maxrss`.

A run with limits has a cgroup, which counts everything; see `limits`.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

_IS_LINUX = sys.platform == "linux"
_RSS_UNIT = 1024 if _IS_LINUX else 1
"""What `ru_maxrss` counts in: see getrusage(2) of Linux and of macOS."""

_SURE_SECONDS = 0.1
"""Who ran for so long has been looked at more than once."""

_PAGE = resource.getpagesize()
_KIB = 1024
_TEXT_BYTES = 4096
_CHILDREN_BYTES = 65536


class Used(NamedTuple):
    """What a run used: processor time, and the most bytes of memory; None where nobody knows.

    `error` says that it was ended because it wanted more than it may have.
    """

    cpu_seconds: float | None
    memory: int | None
    error: str | None = None


class Reaped(NamedTuple):
    """How a child has ended: its status, and what it used as wait4(2) has it."""

    status: int
    used: resource.struct_rusage


class Meter:
    """Tells what runs used that one process has started."""

    def __init__(self) -> None:
        self._inherited = 0

    def peak(self, used: resource.struct_rusage, seen: int, lasted: float) -> int:
        """Return the most memory of a run in bytes, of which so much has been `seen`.

        `lasted` is how many seconds it ran.
        """
        largest = used.ru_maxrss * _RSS_UNIT
        if not _IS_LINUX or self._is_its_own(largest):
            return max(largest, seen)
        if seen and lasted > _SURE_SECONDS:
            return seen
        return max(seen, min(largest, (used.ru_minflt + used.ru_majflt) * _PAGE))

    def _is_its_own(self, largest: int) -> bool:
        """Whether a process was larger than this one ever was, so that it has not inherited that.

        The kernel counts pages by the processor and adds them up roughly, hence the margin. This
        process is asked only when it may have grown.
        """
        if largest <= self._inherited:
            return False
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        self._inherited = own + own // 8 + 2 * _KIB * _KIB
        return largest > self._inherited


def look(leader: int, others: Iterable[int], seen: int) -> int:
    """Return the most memory of a run, `seen` before or found now, in bytes.

    `leader` is its first process; `others` are such as have no parent in it any more.
    """
    pids = list(_with_descendants([leader, *others]))
    together = 0
    for pid in pids:
        at_most, now = _resident(pid)
        seen = max(seen, at_most)
        together += now
    if len(pids) == 1 or together <= seen:
        return seen  # what they share counts once, so that they have less than that together
    return max(seen, sum(map(_share, pids)))


def _with_descendants(pids: list[int]) -> Iterator[int]:
    """Yield processes, and all that they have started; what is gone has started nothing."""
    for pid in pids:  # it grows meanwhile
        yield pid
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - a fifth of the time
                words = _read(f"/proc/{pid}/task/{thread}/children", _CHILDREN_BYTES).split()
                pids += map(int, words)


def _resident(pid: int) -> tuple[int, int]:
    """Return the most bytes of memory that a process had, and those that it has now."""
    text = _read(f"/proc/{pid}/status", _TEXT_BYTES)
    return _amount(text, b"\nVmHWM:"), _amount(text, b"\nVmRSS:")


def _share(pid: int) -> int:
    """Return a process's share of memory in bytes: all of it where that cannot be read."""
    return _amount(_read(f"/proc/{pid}/smaps_rollup", _TEXT_BYTES), b"\nPss:") or _resident(pid)[1]


def _amount(text: bytes, name: bytes) -> int:
    """Return the bytes in a line such as `VmRSS:  1024 kB`; 0 where there is none."""
    at = text.find(name)
    return int(text[at + len(name) :].split(None, 1)[0]) * _KIB if at >= 0 else 0


def _read(path: str, most: int) -> bytes:
    """Return the beginning of a file; nothing of one that cannot be read, or is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, most)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
