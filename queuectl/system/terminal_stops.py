"""What a command does so that nobody waits for it in vain while it is stopped.

A process that is stopped (Ctrl-Z) while it holds the lock of an embedded store keeps everybody
else from writing. So the stops that a terminal sends wait until no lock is held; and a command
bears a mark by which others know it for one of ours, should it be stopped all the same (SIGSTOP).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading

COMMAND_MARK = "queuectl-command"
"""The name of a file in memory that commands and workers of ours have open, and nobody else."""

# `signal` takes half a millisecond to import, which is spent on names for its numbers.
_signal = importlib.import_module("_signal")
_STOPS = ("SIGTSTP", "SIGTTIN", "SIGTTOU")


class Holding:
    """The locks of this process that others wait for; a stop waits until there are none.

    It is asked for with each write, so it is no more than a count. The stop itself is always the
    main thread's doing, as Python has signals handled there; other threads ask for it anew.
    """

    def __init__(self) -> None:
        self._count_lock = threading.Lock()
        self._count = 0
        self._due = 0
        self._installed: set[int] = set()

    def begin(self) -> None:
        """Say that a lock is about to be taken: from now on stops wait."""
        with self._count_lock:
            self._count += 1

    def end(self) -> None:
        """Say that the lock is free, or was not to be had; a stop that has waited comes now."""
        with self._count_lock:
            self._count -= 1
        # looked at behind the lock: a stop that came meanwhile has left it to us
        if self._due and not self._count:
            os.kill(os.getpid(), self._due)

    def pause(self) -> None:
        """Let a stop come that waits, where there is nothing in hand for the moment."""
        if self._due:
            self.end()
            self.begin()

    def install(self) -> None:
        """Take over the stops that a terminal sends, but for those that are ignored already."""
        for name in _STOPS:
            number = getattr(_signal, name, None)
            if number is not None and _signal.getsignal(number) == _signal.SIG_DFL:
                _signal.signal(number, self._on_stop)

    def _on_stop(self, number: int, _frame: object) -> None:
        self._due = number
        if not self._count_lock.acquire(blocking=False):
            return  # whoever has it, if only in the frame below, looks whether a stop is due
        try:
            if not self._count:
                self._due = 0
                self._stop(number)
        finally:
            self._count_lock.release()

    def _stop(self, number: int) -> None:
        """Be stopped as if nothing had been taken over; return when the process goes on."""
        _signal.signal(number, _signal.SIG_DFL)
        try:
            _signal.raise_signal(number)
        finally:
            _signal.signal(number, self._on_stop)


HOLDING = Holding()
"""The locks of this process."""

_marks: list[int] = []


def be_a_command() -> None:
    """Be a command or worker of queuectl from now on, not a program that merely uses it.

    Call it once, in the main thread. Terminal stops wait for locks, and a process that is stopped
    with one in hand may be ended by whoever waits for it (see `lock_holder`).
    """
    HOLDING.install()
    bear_mark()


def bear_mark() -> None:
    """Have the mark of a command, also after all files were closed; programs started do not."""
    with contextlib.suppress(OSError, AttributeError):  # only Linux has files in memory
        _marks.append(os.memfd_create(COMMAND_MARK))
