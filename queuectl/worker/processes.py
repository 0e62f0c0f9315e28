"""Telling processes apart for certain, and ending those that belong to one run.

A pid alone says little: it is reused, and another host or container has the same numbers. On
Linux what is needed is read from /proc; elsewhere psutil is asked.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from queuectl.domain.worker import ProcessIdentity, WorkerRecord

RUN_ID_VARIABLE = "QUEUECTL_RUN_ID"
HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 6 * HEARTBEAT_SECONDS
"""A worker of another machine that has been silent for so long counts as gone."""

IS_LINUX = sys.platform == "linux"
_DEAD_STATES = b"ZXx"
_LOCK = rb"lock:\s+\d+: \S+\s+\S+\s+WRITE "
_KILL_PAUSE = 0.005
_FREEZE_LOOKS = 20
_EXEC_SECONDS = 1.0
_EXEC_PAUSE = 0.001
# What `_stat_fields` has, counted from its first; the bits are of the kernel's linux/sched.h.
_FLAGS = 6
_PROGRAM = slice(23, 26)
_EXITING = 0x4
_KERNEL_THREAD = 0x200000


@functools.cache
def this_boot() -> str:
    """Return a name for the running kernel and pid namespace: pids mean the same within it."""
    if IS_LINUX:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
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


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped in its place (SIGSTOP); False where only Linux can tell."""
    fields = _stat_fields(pid) if IS_LINUX else None
    return fields is not None and fields[0] == b"T"


def has_write_lock(pid: int) -> bool:
    """Whether a process holds a lock that excludes others, on any file (see proc_pid_fdinfo(5))."""
    for info in Path(f"/proc/{pid}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            if any(re.match(_LOCK, line) for line in info.read_bytes().splitlines()):
                return True
    return False


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group whose leader has not been reaped; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def members(run_id: str, group: int | None) -> list[int]:
    """Return the pids of the living processes of one run.

    They are those of its process group, and those that carry its id in their environment, so
    that a process which has left the group is found too. `group` must not have been reused:
    its leader is unreaped, or known by its start time.
    """
    if IS_LINUX:
        return list(_linux_members(f"{RUN_ID_VARIABLE}={run_id}".encode(), group))
    return list(_other_members(run_id, group))


def kill_run(run_id: str, group: int | None, patience: float = 10.0) -> bool:
    """Kill every process of a run and wait until they are dead, for at most `patience` seconds.

    Returns whether none is left.
    """
    deadline = time.monotonic() + patience
    while living := members(run_id, group):
        for pid in living:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(_KILL_PAUSE)
    return True


def freeze_run(run_id: str, group: int) -> None:
    """Stop every process of a run in its place; its leader has not been reaped.

    What a process had started before its turn came is found by looking again.
    """
    stopped: set[int] = set()
    signal_group(group, signal.SIGSTOP)
    for _ in range(_FREEZE_LOOKS):
        found = set(members(run_id, group)) - stopped
        if not found:
            return
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        stopped |= found


def continue_run(run_id: str, group: int) -> None:
    """Let every process of a run that was stopped in its place go on."""
    for pid in members(run_id, group):
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _linux_members(mark: bytes, group: int | None) -> Iterator[int]:
    me = os.getpid()
    for name in os.listdir("/proc"):  # noqa: PTH208 - a fifth of the time of Path.iterdir
        if not name.isdigit() or int(name) == me:
            continue
        pid = int(name)
        fields = _stat_fields(pid)
        if fields is None or fields[0] in _DEAD_STATES:
            continue
        if (group is not None and int(fields[2]) == group) or mark in _environment(pid):
            yield pid


def _other_members(run_id: str, group: int | None) -> Iterator[int]:
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            in_group = group is not None and os.getpgid(process.pid) == group
            if in_group or process.environ().get(RUN_ID_VARIABLE) == run_id:
                yield process.pid


def _environment(pid: int) -> list[bytes]:
    """Return what a process was given by its environment.

    A process in the middle of execve(2) shows none for a moment, so one that shows none is asked
    again, until its program is in place and has stayed the same from one look to the next.
    """
    ends_at = time.monotonic() + _EXEC_SECONDS
    place: list[bytes] = []
    try:
        while not (text := Path(f"/proc/{pid}/environ").read_bytes()):
            fields = _stat_fields(pid)
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


def _stat_fields(pid: int) -> list[bytes] | None:
    """Return /proc/PID/stat from its third field (the state) on; see proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()


def _start_time(pid: int) -> str | None:
    """Return when a process started, as an opaque word; None when there is none that lives."""
    if IS_LINUX:
        fields = _stat_fields(pid)
        return None if fields is None or fields[0] in _DEAD_STATES else fields[19].decode()
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
    fields = _stat_fields(pid)
    if fields is None:
        return False
    tick = 1 / os.sysconf("SC_CLK_TCK")
    return earliest - tick <= int(fields[19]) * tick <= latest + tick


def boot_clock() -> float:
    """Return seconds that go on while the machine sleeps, on the scale of start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if IS_LINUX else time.monotonic()
