"""The processes of one run: found, stopped in their place, and killed; and who adopts orphans.

What belongs to a run is its process group, what bears its mark (`run_mark`), and all that descends
from these, unless it bears another mark. On Linux this is read from /proc; elsewhere psutil is
asked.

A process whose parent has ended becomes a child of the nearest ancestor that asked for orphans
(PR_SET_CHILD_SUBREAPER, see prctl(2)), else of the first process of the machine. A worker that
asks has every process of its runs below it, can end those that fork faster than a look at /proc
takes, and knows for certain when none is left: it has no child any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from queuectl.system.processes import IS_LINUX, has_ended, is_over, stat_fields
from queuectl.system.run_mark import RUN_ID_VARIABLE, is_mark, mark_of, read_mark

_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN_BYTES = 65536
_KILL_PAUSE = 0.005
_REFUSED_SECONDS = 0.5
"""How long to ask again what refuses to be killed, while others may still be dying."""

_SPINS = 200
_FREEZE_LOOKS = 20
_EXEC_SECONDS = 1.0
_EXEC_PAUSE = 0.001
# What `stat_fields` has, counted from its first; the bits are of the kernel's linux/sched.h.
_PARENT, _GROUP, _FLAGS = 1, 2, 6
_PROGRAM = slice(23, 26)
_EXITING = 0x4
_KERNEL_THREAD = 0x200000


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group whose leader has not been reaped; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def signal_run(group: int, pids: Collection[int], number: signal.Signals) -> None:
    """Signal a process group whose leader has not been reaped, and those of `pids` outside it."""
    signal_group(group, number)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) != group:
                _signal(pid, number)


def members(
    run_id: str, group: int | None, spare: Collection[int] = (), known: Collection[int] = ()
) -> list[int]:
    """Return the pids of the living processes of one run, without this one and those to spare.

    `group` must not have been reused: its leader is unreaped, or known by its start time. Those
    that are `known` to be of the run count, with what descends from them. A process that forks
    and ends all the time may be missed.
    """
    if IS_LINUX:
        return _linux_members(run_id, group, {os.getpid(), *spare}, known)
    return list(_other_members(run_id, group, {os.getpid(), *spare}))


def kill_run(
    run_id: str,
    group: int | None,
    patience: float = 10.0,
    *,
    orphans: Callable[[], Iterable[int]] = tuple,
    spare: Collection[int] = (),
) -> list[int]:
    """Kill every process of a run and wait until they are dead, for at most `patience` seconds.

    `orphans` returns those whose parents have ended; it is asked again and again without a pause,
    since they may fork and end faster than a look at all processes takes. Returns the pids of
    those that are left: of another user, as a rule, so that they cannot be killed.
    """
    begun = time.monotonic()
    while True:
        if group is not None:
            signal_group(group, signal.SIGKILL)  # all at once: no shell goes on behind its child
        _kill_orphans(orphans)
        living = {*members(run_id, group, spare, list(orphans())), *orphans()}
        if not living:
            return []
        for pid in living:
            _signal(pid, signal.SIGSTOP)  # what waits for another goes on no more when that dies
        refusing = {pid for pid in living if not _signal(pid, signal.SIGKILL)}
        spent = time.monotonic() - begun
        if spent > patience or (refusing == living and spent > _REFUSED_SECONDS):
            return sorted(living)
        time.sleep(_KILL_PAUSE)


def _kill_orphans(orphans: Callable[[], Iterable[int]]) -> None:
    for _ in range(_SPINS):
        found = list(orphans())
        if not found:
            return
        for pid in found:
            _signal(pid, signal.SIGKILL)


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


def _signal(pid: int, number: signal.Signals) -> bool:
    """Signal a process; return False when that is not allowed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _linux_members(
    run_id: str, group: int | None, spare: Collection[int], known: Collection[int]
) -> list[int]:
    mark, variable = mark_of(run_id), f"{RUN_ID_VARIABLE}={run_id}".encode()
    found: list[int] = []
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a fifth of the time of Path.iterdir
        if not name.isdigit() or (pid := int(name)) in spare:
            continue
        fields = stat_fields(pid)
        if fields is None or is_over(fields):
            continue
        limit = read_mark(pid)
        if pid in known or (group is not None and int(fields[_GROUP]) == group):
            found.append(pid)
        elif is_mark(limit):
            if limit == mark:
                found.append(pid)
        elif variable in _environment(pid):
            found.append(pid)
        else:
            children.setdefault(int(fields[_PARENT]), []).append(pid)
    for pid in found:  # it grows meanwhile
        found += children.pop(pid, ())
    return found


def _other_members(run_id: str, group: int | None, spare: Collection[int]) -> Iterator[int]:
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if process.pid in spare or process.status() == psutil.STATUS_ZOMBIE:
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


def adopt_orphans() -> bool:
    """Let orphans that descend from this process become its children; whether they will."""
    if not IS_LINUX:
        return False
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


def children_of(pid: int) -> list[int]:
    """Return the children of a process's first thread, those it has adopted among them.

    One that is gone has none. Children that come and go meanwhile may be missing.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [int(word) for word in os.read(descriptor, _CHILDREN_BYTES).split()]
    except OSError:
        return []
    finally:
        os.close(descriptor)


def reap_adopted() -> bool:
    """Let every child that has ended go; return whether some are alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def marked_orphans(run_id: str, adopters: Collection[int]) -> list[int]:
    """Return the processes of a run among the children of those who may have adopted them.

    The newest come first: of processes that fork and end all the time they are the living ones.
    """
    mark = mark_of(run_id)
    return [
        pid
        for adopter in adopters
        for pid in reversed(children_of(adopter))
        if read_mark(pid) == mark and not has_ended(pid)
    ]
