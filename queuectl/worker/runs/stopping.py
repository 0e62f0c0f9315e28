"""The end of one run: asking its processes to end, waiting, killing what is left.

It may take a while, so it is done in a thread for that run alone. The run's leader stays unreaped
meanwhile, so that neither its pid nor its group is given to another.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from queuectl.system.run_mark import is_mark, mark_of, read_mark
from queuectl.system.run_processes import (
    continue_run,
    freeze_run,
    kill_run,
    members,
    signal_run,
)
from queuectl.worker.runs.outcome import Run
from queuectl.worker.runs.usage import Reaped
from queuectl.worker.signals import Control, Halt

_LOOK_SECONDS = 0.02


class RunTimer:
    """The processes of one run, which a pause stops, and the time that counts for its limit."""

    def __init__(self, run_id: str, group: int, begun: float) -> None:
        self._run_id = run_id
        self._group = group
        self._begun = begun
        self._paused_at: float | None = None

    @property
    def is_paused(self) -> bool:
        """Whether the run is stopped in its place."""
        return self._paused_at is not None

    def seconds(self) -> float:
        """Return how long the run has worked, pauses left out."""
        return (time.monotonic() if self._paused_at is None else self._paused_at) - self._begun

    def follow(self, must_pause: bool) -> None:
        """Pause the run, or let it go on, where that is not so already."""
        if must_pause and self._paused_at is None:
            self._paused_at = time.monotonic()
            freeze_run(self._run_id, self._group)
        elif not must_pause and self._paused_at is not None:
            continue_run(self._run_id, self._group)
            self._begun += time.monotonic() - self._paused_at
            self._paused_at = None


class Stopper:
    """Ends runs of one worker.

    `adopted` returns the children that lead no run in hand: what runs left behind; `is_unclear`
    says whether one of them that bears no mark may be of another run.
    """

    def __init__(
        self,
        control: Control,
        adopted: Callable[[], Sequence[int]],
        is_unclear: Callable[[], bool],
    ) -> None:
        self._control = control
        self._adopted = adopted
        self._is_unclear = is_unclear

    def stop(self, run: Run, pid: int, timer: RunTimer, halt: Halt) -> list[int]:
        """End every process of a run: ask, wait a while, kill.

        Returns the pids of those that cannot be killed.
        """
        seen = members(run.id, pid)  # an orphan tells no more whose it is
        if halt is not Halt.LOST and run.kill_grace > 0 and self._control.stop_level < 2:
            signal_run(pid, seen, signal.SIGTERM)
            signal_run(pid, seen, signal.SIGCONT)
            timer.follow(must_pause=False)  # what stands still does not hear that it shall end
            self._wait_for_group(pid, run)
        return self._kill(pid, run, seen)

    def kill_leftovers(self, run: Run, pid: int) -> list[int]:
        """Kill what a command that has ended left behind; what resists is not its failure."""
        self._kill(pid, run)
        return []

    def _kill(self, pid: int, run: Run, seen: Collection[int] = ()) -> list[int]:
        """Kill what is left of a run, orphans included; return the pids that cannot be killed."""
        return kill_run(run.id, pid, orphans=partial(self._orphans, mark_of(run.id), seen))

    def _orphans(self, mark: int, seen: Collection[int]) -> list[int]:
        """Return the living processes of a run that this one has adopted.

        One that bears no mark is of this run if it was seen as such before its parent ended, or
        if no other run is in hand and no earlier one had left any behind.
        """
        found = []
        for pid in reversed(self._adopted()):
            if has_ended(pid):
                continue
            theirs = read_mark(pid)
            is_anybodys = is_mark(theirs) or self._is_unclear()
            if theirs == mark or pid in seen or not is_anybodys:
                found.append(pid)
        return found

    def _wait_for_group(self, pid: int, run: Run) -> None:
        deadline = time.monotonic() + run.kill_grace
        while time.monotonic() < deadline and self._control.halt(run.id) is not Halt.LOST:
            if has_ended(pid) and not members(run.id, pid):
                return
            if self._control.stop_level > 1:
                return
            time.sleep(_LOOK_SECONDS)


def has_ended(pid: int) -> bool:
    """Whether a child has ended; one that was reaped just now has, too."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def reaped(pid: int) -> Reaped | None:
    """Return how a child has ended, which is reaped; None where it has not."""
    found, status, used = os.wait4(pid, os.WNOHANG)
    return Reaped(status, used) if found else None
