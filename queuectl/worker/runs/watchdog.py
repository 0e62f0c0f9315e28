"""The guard: a small process beside each worker that outlives it by a moment.

The worker alone holds the writing end of a pipe, so the end of that pipe is the end of the worker,
however it came. The guard then kills all that the worker was running. It does the same to a run
whose lease is over and of which the worker, stopped or hung, has not said otherwise. A worker that
stays stopped (SIGSTOP) beyond that does nobody any good, and one that was stopped with a lock in
hand keeps every other process from writing, so the guard ends it, and another takes its place. What
runs is told through shared memory, which costs the path of a job no system call. So are notes of
what has ended and is not committed yet; when the worker has died, they are passed on.

Whoever starts the worker starts its guard too, and keeps what the two share (a `Post`), so that a
guard which dies is replaced at once, even when its worker has died with it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from queuectl.domain.settings import MOST_CONCURRENCY
from queuectl.system import cgroups
from queuectl.system.processes import (
    boot_clock,
    has_write_lock,
    is_stopped,
    rouse,
    set_title,
    started_between,
)
from queuectl.system.run_processes import kill_runs, marked_orphans

_RECORD = struct.Struct("=d q d d 32s")
"""Deadline and times by `boot_clock`: deadline, group, earliest and latest start, run id."""

_DEADLINE = struct.Struct("=d")
_GROUP, _GROUP_AT = struct.Struct("=q"), struct.calcsize("=d")
_LATEST, _LATEST_AT = struct.Struct("=d"), struct.calcsize("=d q d")
_WORKER = struct.Struct("=q d")
"""The worker's pid, and how many seconds it may be stopped in its place while nothing runs."""

_GUARD = struct.Struct("=q")
_LENGTH = struct.Struct("=I")
_COUNT = struct.Struct("=I")
_WORKER_AT = 0
_GUARD_AT = _WORKER_AT + _WORKER.size
_COUNT_AT = _GUARD_AT + _GUARD.size
"""How many records there are, of runs that have ended too."""

_RECORDS_AT = 64
_SIDE_AT = _RECORDS_AT + MOST_CONCURRENCY * _RECORD.size
"""Which of two sides the notes are on: all are replaced by writing the other one and turning."""

_NOTES_AT = _SIDE_AT + 8
_NOTES_BYTES = 128 * 1024
"""How long a side is. It begins with the length of all; the notes follow, each after its own."""

_MEMORY_BYTES = _NOTES_AT + 2 * _NOTES_BYTES

_LOOK_SECONDS = 1.0
_MOST_STOPPED_SECONDS = 3.0
"""How long a worker may be stopped with a lock in hand."""

_IDLE_STOPPED_SECONDS = 30.0
"""How long a worker may be stopped that has not said for how long."""

_OVERDUE_SECONDS = 0.2
_BIRTH_SECONDS = 0.02
"""How long a command that was being started takes to show whose it is, with room to spare."""

_MOST_FILES = 65_536
_IDLE = bytes(_RECORD.size)


class _Announced(NamedTuple):
    """What a record holds: a run in hand, as the worker has announced it."""

    deadline: float
    group: int
    earliest: float
    latest: float
    run_id: bytes


Heir = Callable[[Sequence[bytes]], None]
"""Gets the notes that a worker leaves behind, in the guard's process."""


class Post:
    """What one worker and its guard share, as whoever starts both keeps it.

    Start the guard first and the worker then, which takes its side of it with `Watchdog(post)`;
    then `hand_over` leaves the pipe to the worker alone.
    """

    def __init__(self, heir: Heir = lambda _: None) -> None:
        self.memory = mmap.mmap(-1, _MEMORY_BYTES)
        self.reader, self.writer = os.pipe()
        self.watchdog, self.manned_at = 0, 0.0
        self._heir = heir

    def man(self) -> None:
        """Fork a guard: the first one, or one in place of another that has died."""
        self.manned_at = time.monotonic()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                _be_watchdog(self.memory, self.reader, self._heir)
            os._exit(1)
        self.watchdog = pid

    def hand_over(self) -> None:
        """Let go of the end of the pipe that is the worker's."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        """Let go of everything: worker and guard are gone."""
        self.hand_over()
        os.close(self.reader)
        self.memory.close()


class Watchdog:
    """A worker's side: says what it runs and until when it may."""

    def __init__(self, post: Post) -> None:
        self._memory = post.memory
        self._pipe = post.writer
        self._noted = self._side = 0
        self._places: dict[str, int] = {}
        self._free: list[int] = []
        self._lock = threading.Lock()
        """The heartbeat moves deadlines while the loop takes runs out: none lands in another's."""

        self.may_stop_for(_IDLE_STOPPED_SECONDS)

    def may_stop_for(self, seconds: float) -> None:
        """Say how long this process may be stopped in its place while it runs nothing."""
        _WORKER.pack_into(self._memory, _WORKER_AT, os.getpid(), seconds)

    def rouse(self) -> None:
        """Let the guard go on, should somebody have stopped it in its place."""
        (pid,) = _GUARD.unpack_from(self._memory, _GUARD_AT)
        rouse(pid)

    def announce(self, run_id: str, deadline: float) -> None:
        """Say, before it is started, which run begins and until when (`boot_clock`) it may go."""
        place = self._free.pop() if self._free else self._add_record()
        self._places[run_id] = place
        _RECORD.pack_into(self._memory, place, deadline, 0, boot_clock(), 0.0, run_id.encode())

    def _add_record(self) -> int:
        """Return where one more record has room: there are as many as runs were in hand at once."""
        count = len(self._places)
        _COUNT.pack_into(self._memory, _COUNT_AT, count + 1)
        return _RECORDS_AT + count * _RECORD.size

    def started(self, run_id: str, group: int) -> None:
        """Say which process group the announced run has."""
        place = self._places[run_id]
        _LATEST.pack_into(self._memory, place + _LATEST_AT, boot_clock())
        _GROUP.pack_into(self._memory, place + _GROUP_AT, group)

    def extend(self, run_id: str, deadline: float) -> None:
        """Move the deadline of a run: its lease was renewed. Nothing to do if it has ended."""
        with self._lock:
            place = self._places.get(run_id)
            if place is not None:
                _DEADLINE.pack_into(self._memory, place, deadline)

    def ended(self, run_id: str) -> None:
        """Say that a run has ended."""
        with self._lock:
            place = self._places.pop(run_id)
            self._memory[place : place + _RECORD.size] = _IDLE
        self._free.append(place)

    def keep(self, note: bytes) -> bool:
        """Keep a note of what has ended, behind those kept before; False: there is no room."""
        start, size = _notes_at(self._side), _LENGTH.size + len(note)
        if _LENGTH.size + self._noted + size > _NOTES_BYTES:
            return False
        at = start + _LENGTH.size + self._noted
        self._memory[at : at + size] = _LENGTH.pack(len(note)) + note
        self._noted += size
        _LENGTH.pack_into(self._memory, start, self._noted)  # what is not counted does not exist
        return True

    @property
    def has_notes(self) -> bool:
        """Whether notes are kept."""
        return self._noted > 0

    def replace(self, note: bytes = b"") -> None:
        """Forget the notes, as what they tell of is committed, and keep another in their place.

        There is no moment in which neither counts.
        """
        self._side, self._noted = 1 - self._side, 0
        _LENGTH.pack_into(self._memory, _notes_at(self._side), 0)
        if note:
            self.keep(note)
        self._memory[_SIDE_AT] = self._side

    def close(self) -> None:
        """Dismiss the guard; what it was told about last is killed if it still runs."""
        os.close(self._pipe)


def _be_watchdog(memory: mmap.mmap, reader: int, heir: Heir) -> None:
    """Be a guard in a process that was forked for it."""
    _GUARD.pack_into(memory, _GUARD_AT, os.getpid())
    _detach(keep=reader)
    _watch(memory, reader)
    with contextlib.suppress(Exception):
        cgroups.sweep([_worker_in(memory)])
    with contextlib.suppress(Exception):  # what cannot be passed on is taken back as any lost claim
        if notes := list(_notes(memory)):
            heir(notes)
    os._exit(0)


def _detach(keep: int) -> None:
    """Leave the worker's session, so that what ends the worker does not end the guard."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    set_title("guard of a worker")  # a pkill by name that means workers shall leave it
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, min(os.sysconf("SC_OPEN_MAX"), _MOST_FILES))


def _watch(memory: mmap.mmap, pipe: int) -> None:
    """Wait for the end of the worker; meanwhile stop runs whose lease is over.

    The worker's pid cannot be reused: had it ended, the pipe would say so.
    """
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    went_at = boot_clock()
    while True:
        left = _earliest_deadline(memory) - boot_clock()
        if poller.poll(max(0.0, min(left, _LOOK_SECONDS)) * 1000):
            _end_runs(_records(memory), _worker_in(memory))
            return
        worker, most_idle = _WORKER.unpack_from(memory, _WORKER_AT)
        now = boot_clock()
        if overdue := [record for record in _records(memory) if record.deadline <= now]:
            _end_runs(overdue, worker)
            poller.poll(_OVERDUE_SECONDS * 1000)
        if not is_stopped(worker):
            went_at = boot_clock()
        elif _is_lost(worker, _earliest_deadline(memory), most_idle, boot_clock() - went_at):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def _is_lost(worker: int, deadline: float, most_idle: float, seconds: float) -> bool:
    """Whether a worker that has been stopped for so long has to make room for another."""
    is_idle = deadline == float("inf")
    over_by = seconds - most_idle if is_idle else boot_clock() - deadline - _OVERDUE_SECONDS
    return over_by > 0 or (seconds > _MOST_STOPPED_SECONDS and has_write_lock(worker))


def _worker_in(memory: mmap.mmap) -> int:
    pid: int = _WORKER.unpack_from(memory, _WORKER_AT)[0]
    return pid


def _records(memory: mmap.mmap) -> list[_Announced]:
    """Return what is known of the runs in hand."""
    (count,) = _COUNT.unpack_from(memory, _COUNT_AT)
    places = range(_RECORDS_AT, _RECORDS_AT + count * _RECORD.size, _RECORD.size)
    found = [_Announced(*_RECORD.unpack_from(memory, place)) for place in places]
    return [record for record in found if record.deadline]


def _earliest_deadline(memory: mmap.mmap) -> float:
    """Return when the first lease of the runs in hand is over; infinity while nothing runs."""
    return min((record.deadline for record in _records(memory)), default=float("inf"))


def _notes_at(side: int) -> int:
    return _NOTES_AT + side * _NOTES_BYTES


def _notes(memory: mmap.mmap) -> Iterator[bytes]:
    start = _notes_at(memory[_SIDE_AT])
    (left,) = _LENGTH.unpack_from(memory, start)
    at = start + _LENGTH.size
    while left > 0:
        (length,) = _LENGTH.unpack_from(memory, at)
        yield memory[at + _LENGTH.size : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        left -= _LENGTH.size + length


def _end_runs(records: Sequence[_Announced], worker: int) -> None:
    """Kill runs that the worker had announced, where they have not ended.

    Orphans go to whoever this process itself is, or would be, a child of.
    """
    if any(record.group == 0 for record in records):
        time.sleep(_BIRTH_SECONDS)
    runs = {
        each.run_id.rstrip(b"\0").decode(): each.group
        if _is_ours(each.group, each.earliest, each.latest)
        else None
        for each in records
    }
    orphans = partial(marked_orphans, runs, (os.getppid(), worker))
    kill_runs(runs, orphans=orphans, spare=(worker,))


def _is_ours(group: int, earliest: float, latest: float) -> bool:
    """Whether a group is that of the run, and not one that was given the number later.

    Without a process of that pid the number has not been given again: the kernel does not
    reuse it while the group has members.
    """
    if group == 0:
        return False
    try:
        os.kill(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it has become another user, and is as alive as any
    return started_between(group, earliest, latest)
