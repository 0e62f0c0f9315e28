"""The guard: a small process beside each worker that outlives it by a moment.

It alone shares a pipe with its worker, so the end of that pipe is the end of the worker, however
it came. It then kills what the worker was running. It does the same when a run's lease is over
and the worker, stopped or hung, has not said otherwise. A worker that was stopped (SIGSTOP) with
a lock in hand keeps every other process from writing, so the guard ends that worker. What runs is
told through shared memory, which costs the path of a job no system call. So are notes of what has
ended and is not committed yet; when the worker has died, they are passed on.
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

from queuectl.worker.processes import (
    boot_clock,
    has_write_lock,
    is_stopped,
    kill_run,
    started_between,
)

_RECORD = struct.Struct("=d q d d 32s")
"""Deadline and times by `boot_clock`: deadline, group, earliest and latest start, run id."""

_DEADLINE = struct.Struct("=d")
_LENGTH = struct.Struct("=I")
_MEMORY_BYTES = 64 * 1024
_NOTES_AT = 128
"""Where the length of all notes stands; the notes follow, each after its own length."""

_LOOK_SECONDS = 1.0
_MOST_STOPPED_SECONDS = 3.0
"""How long a worker may be stopped with a lock in hand."""

_BIRTH_SECONDS = 0.02
"""How long a command that was being started takes to show whose it is, with room to spare."""

_MOST_FILES = 65_536
_IDLE = _RECORD.pack(0.0, 0, 0.0, 0.0, b"")


class Guard:
    """A worker's side: says what it runs and until when it may.

    `on_orphaned` gets the notes that a worker leaves behind, in the guard's process.
    """

    def __init__(self, on_orphaned: Callable[[Sequence[bytes]], None] = lambda _: None) -> None:
        self._memory = mmap.mmap(-1, _MEMORY_BYTES)
        self._noted = 0
        reader, self._pipe = os.pipe()
        worker = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                _detach(keep=reader)
                _watch(self._memory, reader, worker)
                if notes := list(_notes(self._memory)):
                    on_orphaned(notes)
            os._exit(0)
        os.close(reader)
        self._earliest = 0.0

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
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _detach(keep: int) -> None:
    """Leave the worker's session, so that what ends the worker does not end the guard."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, min(os.sysconf("SC_OPEN_MAX"), _MOST_FILES))


def _watch(memory: mmap.mmap, pipe: int, worker: int) -> None:
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
            _end_run(memory[: _RECORD.size])
            return
        record = memory[: _RECORD.size]
        (deadline,) = _DEADLINE.unpack_from(record)
        if deadline and deadline <= boot_clock():
            _end_run(record)
            poller.poll(_LOOK_SECONDS * 1000 / 4)
        if not is_stopped(worker):
            went_at = boot_clock()
        elif boot_clock() - went_at > _MOST_STOPPED_SECONDS and has_write_lock(worker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def _notes(memory: mmap.mmap) -> Iterator[bytes]:
    (left,) = _LENGTH.unpack_from(memory, _NOTES_AT)
    at = _NOTES_AT + _LENGTH.size
    while left > 0:
        (length,) = _LENGTH.unpack_from(memory, at)
        yield memory[at + _LENGTH.size : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        left -= _LENGTH.size + length


def _end_run(record: bytes) -> None:
    _, group, earliest, latest, padded = _RECORD.unpack(record)
    run_id = padded.rstrip(b"\0").decode()
    if not run_id:
        return
    if group == 0:
        time.sleep(_BIRTH_SECONDS)
    kill_run(run_id, group if _is_ours(group, earliest, latest) else None)


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
        return False
    return started_between(group, earliest, latest)
