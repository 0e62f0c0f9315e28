"""Control groups of version 2: one for each run that has limits, where they are delegated to us.

See https://docs.kernel.org/admin-guide/cgroup-v2.html and https://systemd.io/CGROUP_DELEGATION.
A process may make groups below its own if that belongs to its user, as in a unit of systemd with
`Delegate=yes` or in a container. A group that hands controllers on to others has no processes of
its own, so all that are in ours move into one beside those of the runs:

    ours/queuectl.own          workers, what looks after them, and runs without limits
    ours/queuectl.run-PID-ID   a run with limits of the worker with that PID
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress

from queuectl.system.processes import has_ended

MEMORY, CPU = "memory", "cpu"
"""The controllers that limits need."""

_OWN, _RUN = "queuectl.own", "queuectl.run-"
_TRIES, _PAUSE_SECONDS = 50, 0.02
_CPU_PERIOD, _LEAST_QUOTA = 100_000, 1_000
"""Microseconds: the period over which processor time is counted, and the least share of it."""

_NO_LONGER = (errno.ESRCH, errno.ENOENT)
_HELD = (errno.EBUSY, errno.ENOTEMPTY)


class NotDelegated(Exception):
    """Groups cannot be made here; the text says why, and what to do."""


class Cgroup:
    """The group of one run, below that of its worker."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def procs(self) -> str:
        """The file into which a process writes its pid to enter the group."""
        return f"{self._path}/cgroup.procs"

    def limit(self, memory: int, cpus: float) -> None:
        """Set how many bytes of memory, and how many processors, it may use; 0 is no limit.

        What exceeds the memory is killed as a whole: the kernel does not choose one of several.
        Raises OSError.
        """
        if memory:
            _write(f"{self._path}/memory.max", str(memory))
            with suppress(FileNotFoundError):  # of a kernel without swap
                _write(f"{self._path}/memory.swap.max", "0")
            with suppress(FileNotFoundError):  # from Linux 4.19 on
                _write(f"{self._path}/memory.oom.group", "1")
        if cpus:
            quota = max(round(cpus * _CPU_PERIOD), _LEAST_QUOTA)
            _write(f"{self._path}/cpu.max", f"{quota} {_CPU_PERIOD}")

    def peak(self) -> int | None:
        """Return the most bytes of memory it had, where the kernel counts that (from 5.19 on)."""
        text = read_text(f"{self._path}/memory.peak")
        return int(text) if text else None

    def cpu_seconds(self) -> float:
        """Return how much processor time its processes have had."""
        return _count(read_text(f"{self._path}/cpu.stat"), "usage_usec") / 1_000_000

    def was_out_of_memory(self) -> bool:
        """Whether a process in it was killed because it needed more memory than it may have.

        One that was killed as the whole host had too little does not count.
        """
        events = read_text(f"{self._path}/memory.events")
        return _count(events, "oom_kill") > 0 and _count(events, "oom") > 0

    def remove(self) -> bool:
        """Remove it, and what its run has made in it; return False while there are processes."""
        try:
            os.rmdir(self._path)
        except OSError as fault:
            if fault.errno not in _HELD:
                return True
            return self._is_empty() and self._remove_whole()
        return True

    def _is_empty(self) -> bool:
        return "populated 0" in read_text(f"{self._path}/cgroup.events")

    def _remove_whole(self) -> bool:
        """Remove it from within, as a run may have workers or containers of its own."""
        try:
            for place, _, _ in os.walk(self._path, topdown=False):
                os.rmdir(place)
        except OSError as fault:
            return fault.errno not in _HELD
        return True


def make_cgroup(run_id: str, controllers: Collection[str]) -> Cgroup:
    """Make the group of a run, with these controllers. Raises NotDelegated."""
    base = _ready_base(controllers)
    path = f"{base}/{_RUN}{os.getpid()}-{run_id}"
    try:
        os.mkdir(path)
    except OSError as fault:
        raise _not_ours(base, fault.strerror) from None
    return Cgroup(path)


def lacking_on_host(controllers: Collection[str]) -> str | None:
    """Return why no worker of this host can have these controllers; None where one may have them.

    Whether a worker's group is delegated shows when it starts a run.
    """
    if not controllers:
        return None
    found = _mounted()
    if found is None:
        return "this host has no cgroup v2"
    _, place = found
    return _lacking(read_text(f"{place}/cgroup.controllers").split(), controllers, "this host")


def sweep(ended: Collection[int] = ()) -> None:
    """Remove the groups of runs whose workers have ended, `ended` among them.

    One in which something still lives stays, and is removed later.
    """
    base = base_of_worker()
    if base is None:
        return
    with suppress(OSError):
        left = [Cgroup(f"{base}/{name}") for name in _abandoned(os.listdir(base), ended)]
        for _ in range(_TRIES):
            left = [group for group in left if not group.remove()]
            if not (left and ended):
                return
            time.sleep(_PAUSE_SECONDS)  # what was killed just now is still dying


def _abandoned(names: list[str], ended: Collection[int]) -> Iterator[str]:
    for name in names:
        pid = name.removeprefix(_RUN).partition("-")[0]
        if name.startswith(_RUN) and pid.isdigit() and (int(pid) in ended or has_ended(int(pid))):
            yield name


# where groups may be made


def _mounted() -> tuple[str, str] | None:
    """Return which group is the root of the hierarchy that is mounted here, and where it is."""
    for line in read_text("/proc/self/mountinfo").splitlines():
        words, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, place = map(_unescaped, words.split()[3:5])
            return root, place
    return None


def _unescaped(word: str) -> str:
    """Return a path as proc_pid_mountinfo(5) writes it: blanks are `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def base_of_worker() -> str | None:
    """Return the group below which ours are made; None where none can be seen."""
    found = _mounted()
    lines = read_text("/proc/self/cgroup").splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if found is None or own is None:
        return None
    root, place = found
    inside = root.rstrip("/")
    if not f"{own}/".startswith(f"{inside}/") or ".." in own:
        return None
    path = place + own.removeprefix(inside).rstrip("/")
    return path.removesuffix(f"/{_OWN}")


def _ready_base(controllers: Collection[str]) -> str:
    """Return the group below which ours are made, with these controllers. Raises NotDelegated."""
    why = lacking_on_host(controllers)
    base = base_of_worker()
    if why or base is None:
        raise NotDelegated(why or "the cgroup of this worker cannot be seen from within")
    there = read_text(f"{base}/cgroup.controllers").split()
    if why := _lacking(there, controllers, f"cgroup {base}"):
        raise NotDelegated(f"{why}; {_ADVICE}")
    handed_on = f"{base}/cgroup.subtree_control"
    wanted = [name for name in controllers if name not in read_text(handed_on).split()]
    if wanted:
        try:
            _hand_on(base, handed_on, wanted)
        except OSError as fault:
            raise _not_ours(base, fault.strerror) from None
    return base


def _hand_on(base: str, handed_on: str, wanted: list[str]) -> None:
    """Let groups below have more controllers; what is in the group itself moves below first.

    Raises OSError. What is started there meanwhile is found by looking again.
    """
    has_parent = os.path.exists(f"{base}/cgroup.type")  # the root may have processes
    for left in reversed(range(_TRIES)):
        if has_parent:
            _move_all(base)
        try:
            _write(handed_on, " ".join(f"+{name}" for name in wanted))
        except OSError as fault:
            if fault.errno not in _HELD or not left:
                raise
        else:
            return


def _move_all(base: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(f"{base}/{_OWN}")
    for pid in read_text(f"{base}/cgroup.procs").split():
        try:
            _write(f"{base}/{_OWN}/cgroup.procs", pid)
        except OSError as fault:
            if fault.errno not in _NO_LONGER:
                raise


_ADVICE = (
    "start workers by a systemd unit with Delegate=yes, as deploy/ has them, or by "
    "systemd-run --user --scope -p Delegate=yes queuectl worker start"
)


def _lacking(there: list[str], wanted: Collection[str], place: str) -> str | None:
    missing = [name for name in wanted if name not in there]
    if not missing:
        return None
    return f"{place} has no {' and '.join(missing)} controller of cgroup v2"


def _not_ours(base: str, why: str | None) -> NotDelegated:
    return NotDelegated(f"cgroup {base} is not delegated to this worker ({why}); {_ADVICE}")


# files


def read_text(path: str) -> str:
    """Return what is in a file; nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    """Write into a file of the kernel's, which takes the whole at once. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _count(text: str, name: str) -> int:
    """Return the number on the line of that name; 0 where there is none."""
    for line in text.splitlines():
        word, _, number = line.partition(" ")
        if word == name:
            return int(number)
    return 0
