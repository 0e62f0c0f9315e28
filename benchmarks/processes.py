"""Processes by pid: finding, measuring and ending them; and the machine they run on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PATIENCE_SECONDS = 600.0
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


class BenchError(Exception):
    """A run did not do what it should; the text says what."""


def become_subreaper() -> None:
    """Have daemons that our children start handed to us, so that we find and end them by pid."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise BenchError("prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants(*, dead: bool = False) -> set[int]:
    """Return the pids of what came from this process and lives, or awaits being collected."""
    children: dict[int, list[int]] = {}
    states: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            states[pid] = fields[0]
            children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    todo = list(children.get(os.getpid(), ()))
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo += children.get(pid, ())
    return {pid for pid in found if (states[pid] in "ZX") == dead}


def end_descendants() -> None:
    """End what came from this process by pid, asking first, and collect it."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        asked: set[int] = set()
        while (alive := descendants()) and time.monotonic() < deadline:
            for pid in alive - asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            asked |= alive
            time.sleep(0.02)
    for pid in descendants(dead=True):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def proportional_memory(pids: Iterable[int]) -> float:
    """Return the MB of memory of processes, each shared page divided among its sharers."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss")
    return total / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that all threads of processes have used."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e9


def kilobytes(path: Path, name: str) -> int:
    """Return a value from one of the tables of /proc that count in kilobytes."""
    lines = path.read_text().splitlines()
    found = (int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return next(found, 0)  # one that has just ended has no memory


def wait_until(is_so: Callable[[], bool], what: str, pause: float = 0.01) -> None:
    """Look until something is so. Raises BenchError when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: nothing after {PATIENCE_SECONDS:.0f} s")
        time.sleep(pause)


# the machine


def fdatasync_ms() -> float:
    """Return the median of what syncing four kilobytes costs where the homes are."""
    page, spent = b"x" * 4096, []
    with tempfile.NamedTemporaryFile(prefix="queuectl-bench-") as file:
        for _ in range(200):
            os.pwrite(file.fileno(), page, 0)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            spent.append(1000 * (time.perf_counter() - begun))
    return statistics.median(spent)


def machine() -> dict[str, str]:
    """Return what the figures depend on and does not change."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    system = os.uname()
    return {
        "CPU": f"{os.cpu_count()} × {model}",
        "kernel": system.release.partition("-")[0],
        "Python": ".".join(map(str, sys.version_info[:3])),
        "SQLite": sqlite3.sqlite_version,
    }


def conditions() -> dict[str, str]:
    """Return what differs from one moment to the next: the disk, and who else is working."""
    return {
        "an fdatasync takes": f"{fdatasync_ms():.3f} ms",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
