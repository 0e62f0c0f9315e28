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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from queuectl.system.process_table import ProcessTable
from queuectl.system.processes import IS_LINUX, has_ended
from queuectl.system.run_mark import RUN_ID_VARIABLE, is_mark, mark_of, read_mark

_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN_BYTES = 65536
_KILL_PAUSE = 0.005
_REFUSED_SECONDS = 0.5
"""How long to ask again what refuses to be killed, while others may still be dying."""

_SPINS = 200
_FREEZE_LOOKS = 20
_PROCESSES = ProcessTable()

Runs = Mapping[str, int | None]
"""Runs by their ids, each with its process group; None where that is not known, or not its own."""


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


def signal_members(pids: Collection[int], number: signal.Signals) -> bool:
    """Signal processes that a look has found just now; return False when none of them can be.

    Groups that one of them leads are signalled at once, so that no shell goes on behind its child.
    """
    groups = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(pid)
            groups.add(group if group in pids else -pid)
    is_allowed = not groups
    for target in groups:
        with contextlib.suppress(PermissionError):
            is_allowed = _signal(-target, number) or is_allowed
    return is_allowed


def members(
    run_id: str, group: int | None, spare: Collection[int] = (), known: Collection[int] = ()
) -> list[int]:
    """Return the pids of the living processes of one run, without this one and those to spare.

    `group` must not have been reused: its leader is unreaped, or known by its start time. Those
    that are `known` to be of the run count, with what descends from them. A process that forks
    and ends all the time may be missed.
    """
    return _members({run_id: group}, spare, known)


def _members(runs: Runs, spare: Collection[int], known: Collection[int]) -> list[int]:
    if IS_LINUX:
        return _linux_members(runs, {os.getpid(), *spare}, known)
    return list(_other_members(runs, {os.getpid(), *spare}))


def members_of_each(run_ids: Collection[str]) -> dict[str, list[int]]:
    """Return the pids of the living processes of each of some runs, by one look at all."""
    if not IS_LINUX:
        return {run_id: members(run_id, None) for run_id in run_ids}
    of_mark = {mark_of(run_id): run_id for run_id in run_ids}
    of_name = {f"{RUN_ID_VARIABLE}={run_id}".encode(): run_id for run_id in run_ids}
    found: dict[str, list[int]] = {run_id: [] for run_id in run_ids}
    children: dict[int, list[int]] = {}
    for process in _PROCESSES.look():
        named = next((of_name[each] for each in process.named if each in of_name), None)
        run_id = of_mark.get(process.mark or 0) if is_mark(process.mark) else named
        if run_id is not None:
            found[run_id].append(process.pid)
        elif not is_mark(process.mark):
            children.setdefault(process.parent, []).append(process.pid)
    for pids in found.values():
        for pid in pids:  # it grows meanwhile
            pids += children.pop(pid, ())
    return found


def kill_run(
    run_id: str,
    group: int | None,
    patience: float = 10.0,
    *,
    orphans: Callable[[], Iterable[int]] = tuple,
    spare: Collection[int] = (),
) -> list[int]:
    """Kill every process of a run; see `kill_runs`."""
    return kill_runs({run_id: group}, patience, orphans=orphans, spare=spare)


def kill_runs(
    runs: Runs,
    patience: float = 10.0,
    *,
    orphans: Callable[[], Iterable[int]] = tuple,
    spare: Collection[int] = (),
) -> list[int]:
    """Kill every process of runs and wait until they are dead, for at most `patience` seconds.

    `orphans` returns those whose parents have ended; it is asked again and again without a pause,
    since they may fork and end faster than a look at all processes takes. Returns the pids of
    those that are left: of another user, as a rule, so that they cannot be killed.
    """
    begun = time.monotonic()
    while True:
        for group in filter(None, runs.values()):
            signal_group(group, signal.SIGKILL)  # all at once: no shell goes on behind its child
        _kill_orphans(orphans)
        living = {*_members(runs, spare, list(orphans())), *orphans()}
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


def _linux_members(runs: Runs, spare: Collection[int], known: Collection[int]) -> list[int]:
    marks, groups = set(map(mark_of, runs)), set(filter(None, runs.values()))
    variables = {f"{RUN_ID_VARIABLE}={run_id}".encode() for run_id in runs}
    found: list[int] = []
    children: dict[int, list[int]] = {}
    for process in _PROCESSES.look():
        pid = process.pid
        if pid in spare:
            continue
        if pid in known or process.group in groups:
            found.append(pid)
        elif is_mark(process.mark):
            if process.mark in marks:
                found.append(pid)
        elif not variables.isdisjoint(process.named):
            found.append(pid)
        else:
            children.setdefault(process.parent, []).append(pid)
    for pid in found:  # it grows meanwhile
        found += children.pop(pid, ())
    return found


def _other_members(runs: Runs, spare: Collection[int]) -> Iterator[int]:
    import psutil

    groups = set(filter(None, runs.values()))

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if process.pid in spare or process.status() == psutil.STATUS_ZOMBIE:
                continue
            in_group = os.getpgid(process.pid) in groups
            if in_group or process.environ().get(RUN_ID_VARIABLE) in runs:
                yield process.pid


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


def marked_orphans(run_ids: Iterable[str], adopters: Collection[int]) -> list[int]:
    """Return the processes of runs among the children of those who may have adopted them.

    The newest come first: of processes that fork and end all the time they are the living ones.
    """
    marks = set(map(mark_of, run_ids))
    return [
        pid
        for adopter in adopters
        for pid in reversed(children_of(adopter))
        if read_mark(pid) in marks and not has_ended(pid)
    ]
