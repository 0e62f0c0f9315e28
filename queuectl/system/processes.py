"""Telling processes apart for certain.

A pid alone says little: it is reused, and another host or container has the same numbers. On
Linux what is needed is read from /proc; elsewhere psutil is asked.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord

if TYPE_CHECKING:
    import signal

HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 6 * HEARTBEAT_SECONDS
"""A worker of another machine that has been silent for so long counts as gone."""

IS_LINUX = sys.platform == "linux"
_DEAD_STATES = b"ZXx"
_TERMINAL, _THREADS = 4, 17  # of what `stat_fields` has, counted from its first
_ARGUMENTS = slice(45, 47)
"""Where that says from which to which address the command line stands."""

_LOCK = rb"lock:\s+\d+: \S+\s+\S+\s+WRITE "


@functools.cache
def this_boot() -> str:
    """Return a name for the running kernel and what pids and start times are relative to.

    Within one such name both mean the same. Another pid namespace has other pids; in another time
    namespace start times are told shifted, as they are by a clock of its own (time_namespaces(7)).
    """
    if IS_LINUX:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        spaces = (f"/proc/self/ns/{kind}" for kind in ("pid", "time"))
        return "/".join((boot, *(os.readlink(space) for space in spaces if os.path.islink(space))))
    import socket

    import psutil

    return f"{socket.gethostname()}/{int(psutil.boot_time())}"


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a living process of this machine, or None."""
    started = _start_time(pid)
    return None if started is None else ProcessIdentity(pid, started, this_boot())


def this_process() -> ProcessIdentity:
    """Return the identity of this process."""
    me = identify(os.getpid())
    assert me is not None, "a process that runs is alive"
    return me


def is_here(process: ProcessIdentity) -> bool:
    """Whether a process is, or was, one of this machine since it booted."""
    return process.boot == this_boot()


def is_alive(process: ProcessIdentity) -> bool:
    """Whether that very process still runs on this machine."""
    return is_here(process) and _start_time(process.pid) == process.started


def is_live(worker: WorkerRecord, now: datetime) -> bool:
    """Whether a registered worker is alive: looked up here, judged by its heartbeat elsewhere."""
    if is_here(worker.process):
        return is_alive(worker.process)
    return now - worker.heartbeat_at < timedelta(seconds=SILENCE_SECONDS)


def send_signal(process: ProcessIdentity, number: signal.Signals) -> bool:
    """Signal that very process; return False when it is gone. A stranger is never signalled."""
    if not is_alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def owner_of(pid: int) -> int | None:
    """Return the user id of a process; None when it is gone, or where only Linux can tell."""
    try:
        return os.stat(f"/proc/{pid}").st_uid if IS_LINUX else None
    except OSError:
        return None


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped in its place (SIGSTOP); False where only Linux can tell."""
    fields = stat_fields(pid) if IS_LINUX else None
    return fields is not None and fields[0] == b"T"


def rouse(pid: int) -> None:
    """Let a process go on that was stopped in its place, unless it has a terminal to do that."""
    import signal  # few commands stop or wake anything

    fields = stat_fields(pid) if IS_LINUX else None
    if fields is not None and fields[0] == b"T" and fields[_TERMINAL] == b"0":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGCONT)


def has_ended(pid: int) -> bool:
    """Whether a process is gone or a zombie; only Linux can tell."""
    fields = stat_fields(pid)
    return fields is None or is_over(fields)


def is_over(fields: list[bytes]) -> bool:
    """Whether `stat_fields` tell of a process of which nothing can act any more.

    One whose first thread has ended looks like a zombie, although its others go on.
    """
    return fields[0] in _DEAD_STATES and int(fields[_THREADS]) < 2


def has_write_lock(pid: int) -> bool:
    """Whether a process holds a lock that excludes others, on any file (see proc_pid_fdinfo(5))."""
    from pathlib import Path

    for info in Path(f"/proc/{pid}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            if any(re.match(_LOCK, line) for line in info.read_bytes().splitlines()):
                return True
    return False


def stat_fields(pid: int) -> list[bytes] | None:
    """Return /proc/PID/stat from its third field (the state) on; see proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()


def _start_time(pid: int) -> str | None:
    """Return when a process started, as an opaque word; None when there is none that lives."""
    if IS_LINUX:
        fields = stat_fields(pid)
        return None if fields is None or is_over(fields) else fields[19].decode()
    import psutil

    try:
        process = psutil.Process(pid)
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return None if is_dead else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def started_between(pid: int, earliest: float, latest: float) -> bool:
    """Whether a process exists and started within two readings of `boot_clock`."""
    if not IS_LINUX:
        return _start_time(pid) is not None
    fields = stat_fields(pid)
    if fields is None:
        return False
    tick = 1 / os.sysconf("SC_CLK_TCK")
    return earliest - tick <= int(fields[19]) * tick <= latest + tick


def boot_clock() -> float:
    """Return seconds that go on while the machine sleeps, on the scale of start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if IS_LINUX else time.monotonic()


def set_title(title: str) -> None:
    """Call this process something else than what it was started as, where that can be done.

    Its command line is overwritten in place, and cut to the room that is there.
    """
    if not IS_LINUX:
        return
    import ctypes

    with contextlib.suppress(OSError, ValueError), open("/proc/self/comm", "w") as file:
        file.write(title)
    fields = stat_fields(os.getpid())
    if fields is None:
        return
    start, end = (int(address) for address in fields[_ARGUMENTS])
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, title.encode()[: end - start - 1], min(len(title), end - start - 1))
