"""The guard: a small process beside each worker that outlives it by a moment.

The worker alone holds the writing end of a pipe, so the end of that pipe is the end of the worker,
however it came. The guard then kills what the worker was running. It does the same when a run's
lease is over and the worker, stopped or hung, has not said otherwise. A worker that stays stopped
(SIGSTOP) beyond that does nobody any good, and one that was stopped with a lock in hand keeps every
other process from writing, so the guard ends it, and another takes its place. What runs is told
through shared memory, which costs the path of a job no system call. So are notes of what has ended
and is not committed yet; when the worker has died, they are passed on.

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
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from queuectl.system.processes import (
    boot_clock,
    has_write_lock,
    is_stopped,
    rouse,
    set_title,
    started_between,
)
from queuectl.system.run_processes import kill_run, marked_orphans

_RECORD = struct.Struct("=d q d d 32s")
"""Deadline and times by `boot_clock`: deadline, group, earliest and latest start, run id."""

_DEADLINE = struct.Struct("=d")
_WORKER = struct.Struct("=q d")
"""The worker's pid, and how many seconds it may be stopped in its place while nothing runs."""

_GUARD = struct.Struct("=q")
_LENGTH = struct.Struct("=I")
_MEMORY_BYTES = 64 * 1024
_WORKER_AT = _RECORD.size
_GUARD_AT = _WORKER_AT + _WORKER.size
_NOTES_AT = 128
"""Where the length of all notes stands; the notes follow, each after its own length."""

_LOOK_SECONDS = 1.0
_MOST_STOPPED_SECONDS = 3.0
"""How long a worker may be stopped with a lock in hand."""

_IDLE_STOPPED_SECONDS = 30.0
"""How long a worker may be stopped that has not said for how long."""

_OVERDUE_SECONDS = 0.2
_BIRTH_SECONDS = 0.02
"""How long a command that was being started takes to show whose it is, with room to spare."""

_MOST_FILES = 65_536
_IDLE = _RECORD.pack(0.0, 0, 0.0, 0.0, b"")

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
        self._noted = 0
        self._earliest = 0.0
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
        self._earliest = boot_clock()
        self._memory[: _RECORD.size] = _RECORD.pack(
            deadline, 0, self._earliest, 0.0, run_id.encode()
        )

    def started(self, run_id: str, group: int) -> None:
        """Say which process group the announced run has."""
        (deadline,) = _DEADLINE.unpack_from(self._memory)
        self._memory[: _RECORD.size] = _RECORD.pack(
            deadline, group, self._earliest, boot_clock(), run_id.encode()
        )

    def extend(self, deadline: float) -> None:
        """Move the deadline of the run: its lease was renewed."""
        _DEADLINE.pack_into(self._memory, 0, deadline)

    def ended(self) -> None:
        """Say that nothing runs."""
        self._memory[: _RECORD.size] = _IDLE

    def keep(self, note: bytes) -> bool:
        """Keep a note of what has ended, behind those kept before; False: there is no room."""
        at = _NOTES_AT + _LENGTH.size + self._noted
        size = _LENGTH.size + len(note)
        if at + size > _MEMORY_BYTES:
            return False
        self._memory[at : at + size] = _LENGTH.pack(len(note)) + note
        self._count(self._noted + size)
        return True

    @property
    def has_notes(self) -> bool:
        """Whether notes are kept."""
        return self._noted > 0

    def forget(self) -> None:
        """Forget the notes: what they tell of is committed."""
        if self._noted:
            self._count(0)

    def _count(self, noted: int) -> None:
        """Say how long the notes are; whatever is not counted does not exist."""
        self._noted = noted
        _LENGTH.pack_into(self._memory, _NOTES_AT, noted)

    def close(self) -> None:
        """Dismiss the guard; what it was told about last is killed if it still runs."""
        os.close(self._pipe)


def _be_watchdog(memory: mmap.mmap, reader: int, heir: Heir) -> None:
    """Be a guard in a process that was forked for it."""
    _GUARD.pack_into(memory, _GUARD_AT, os.getpid())
    _detach(keep=reader)
    _watch(memory, reader)
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
        deadline, *_ = _RECORD.unpack_from(memory)
        left = deadline - boot_clock() if deadline else _LOOK_SECONDS
        if poller.poll(max(0.0, min(left, _LOOK_SECONDS)) * 1000):
            _end_run(memory)
            return
        (deadline,) = _DEADLINE.unpack_from(memory)
        worker, most_idle = _WORKER.unpack_from(memory, _WORKER_AT)
        if deadline and deadline <= boot_clock():
            _end_run(memory)
            poller.poll(_OVERDUE_SECONDS * 1000)
        if not is_stopped(worker):
            went_at = boot_clock()
        elif _is_lost(worker, deadline, most_idle, boot_clock() - went_at):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def _is_lost(worker: int, deadline: float, most_idle: float, seconds: float) -> bool:
    """Whether a worker that has been stopped for so long has to make room for another."""
    over_by = boot_clock() - deadline - _OVERDUE_SECONDS if deadline else seconds - most_idle
    return over_by > 0 or (seconds > _MOST_STOPPED_SECONDS and has_write_lock(worker))


def _notes(memory: mmap.mmap) -> Iterator[bytes]:
    (left,) = _LENGTH.unpack_from(memory, _NOTES_AT)
    at = _NOTES_AT + _LENGTH.size
    while left > 0:
        (length,) = _LENGTH.unpack_from(memory, at)
        yield memory[at + _LENGTH.size : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        left -= _LENGTH.size + length


def _end_run(memory: mmap.mmap) -> None:
    """Kill the run that the worker had announced last, if it has not ended.

    Orphans go to whoever this process itself is, or would be, a child of.
    """
    _, group, earliest, latest, padded = _RECORD.unpack_from(memory)
    worker, _ = _WORKER.unpack_from(memory, _WORKER_AT)
    run_id = padded.rstrip(b"\0").decode()
    if not run_id:
        return
    if group == 0:
        time.sleep(_BIRTH_SECONDS)
    kill_run(
        run_id,
        group if _is_ours(group, earliest, latest) else None,
        orphans=partial(marked_orphans, run_id, (os.getppid(), worker)),
        spare=(worker,),
    )


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
