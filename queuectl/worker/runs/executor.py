"""One command -> Outcome. Knows no store.

The command gets its own session and process group, nothing to read, and two files to write into;
no Python is in the way of its output. It is started with posix_spawn, which neither copies the
worker's memory nor runs Python in the child.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Collection
from functools import partial

from queuectl.domain.job import Outcome
from queuectl.system.polling import wait_readable
from queuectl.system.run_mark import Marker, is_mark, mark_of, read_mark
from queuectl.system.run_processes import (
    children_of,
    continue_run,
    freeze_run,
    kill_run,
    members,
    reap_adopted,
    signal_run,
)
from queuectl.worker.runs import programs
from queuectl.worker.runs.outcome import Run, outcome_of
from queuectl.worker.runs.output import RunFiles
from queuectl.worker.runs.programs import CannotStart
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.signals import Control, Halt

_SIGNALS = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
"""What a command finds as the system has it, whatever the worker or who started it ignores.

Named all, as posix_spawn of the GNU C library asks twice about each signal that is not named.
"""
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


class Executor:
    """Runs one command after another for one worker.

    What a command writes can be seen when it has run for `quick` seconds, or has ended. Where this
    process adopts orphans (`is_adopter`), each process of its runs is its descendant, and every
    child of its that ends is its to reap.
    """

    def __init__(
        self, control: Control, watchdog: Watchdog, quick: float, *, is_adopter: bool = False
    ) -> None:
        self._control = control
        self._watchdog = watchdog
        self._quick = quick
        self._is_adopter = is_adopter
        self._marker = Marker()
        self._has_children = not is_adopter
        self._null = os.open(os.devnull, os.O_RDONLY)
        poller = select.poll()
        poller.register(control.wake, select.POLLIN)
        self._poll = poller.poll

    def close(self) -> None:
        """Let go of what is open."""
        os.close(self._null)

    def run(
        self,
        run: Run,
        files: RunFiles,
        on_started: Callable[[], None] = lambda: None,
        on_slow: Callable[[], float] = lambda: float("inf"),
        on_woken: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Run a command to its end, or stop it when its time is up or the control says so.

        `on_started` is called once it runs, `on_slow` if it is not over within milliseconds, and
        again after as many seconds as it returns, `on_woken` whenever the control has woken such
        a one; they must not raise.
        """
        begun = time.monotonic()
        self._watchdog.announce(run.id, run.deadline)
        try:
            pid = self._spawn(run, files)
        except CannotStart as fault:
            self._watchdog.ended()
            files.show()
            return Outcome(error=str(fault))
        self._watchdog.started(run.id, pid)
        on_started()
        status, halt, left = self._await(pid, run, files, on_slow, on_woken, begun)
        self._watchdog.ended()
        self.reap()
        if status != 0:
            files.show()
        if halt is None and self._was_fenced(run, status):
            halt = Halt.LOST
        return outcome_of(status, halt, left, run, files, time.monotonic() - begun)

    def reap(self) -> None:
        """Let what ended runs have left behind, and has ended since, go."""
        if self._is_adopter:
            self._has_children = reap_adopted()

    def _spawn(self, run: Run, files: RunFiles) -> int:
        """Start the command; its pid is also its process group. Raises CannotStart."""
        cwd = run.cwd or "/"
        try:
            os.chdir(cwd)  # posix_spawn cannot do that for the child alone
        except OSError as fault:
            raise CannotStart(f"Working directory {cwd}: {fault.strerror}") from None
        start = programs.to_start(run.command, run.environment)
        self._marker.put(mark_of(run.id))
        try:
            while True:
                try:
                    return os.posix_spawn(
                        start.program,
                        start.argv,
                        run.environment,
                        file_actions=((os.POSIX_SPAWN_DUP2, self._null, 0), *files.actions),
                        setsid=True,
                        setsigmask=(),
                        setsigdef=_SIGNALS,
                    )
                except OSError as fault:
                    start = programs.instead(fault, start, run.environment)
        finally:
            self._marker.take_back()

    def _await(
        self,
        pid: int,
        run: Run,
        files: RunFiles,
        on_slow: Callable[[], float],
        on_woken: Callable[[], None],
        begun: float,
    ) -> tuple[int | None, Halt | None, list[int]]:
        """Wait until the command has ended; return its status, and why it was stopped if it was.

        Of a command that cannot be killed the status is None, and the last list has the pids that
        are left of it.
        """
        watch = RunTimer(run.id, pid, begun)
        longest, is_slow = self._quick, False
        while True:
            self._sleep(run, watch, longest)
            status = self._reaped(pid, run)
            if status is not None:
                return status, None, []
            if is_slow:
                on_woken()
            if longest < float("inf"):
                files.show()
                longest, is_slow = on_slow(), True
            halt = self._control.halt(run.id)
            if halt is None and run.timeout and watch.seconds() >= run.timeout:
                halt = Halt.TIMEOUT
            if halt is not None:
                left = self._stop(pid, run, halt, watch)
                status = self._status(pid)
                return status, halt, left or ([pid] if status is None else [])
            watch.follow(self._control.is_paused(run.id))

    def _sleep(self, run: Run, watch: RunTimer, longest: float) -> None:
        """Sleep until a child has ended, the control says something, or a time is up."""
        seconds = min(longest, self._control.next_check())
        if run.timeout and not watch.is_paused:
            seconds = min(seconds, run.timeout - watch.seconds())
        if self._poll(max(0.0, seconds) * 1000):
            self._control.settle_down()

    def _was_fenced(self, run: Run, status: int | None) -> bool:
        """Whether the guard has ended the run, because this worker did not renew in time."""
        if status is None:
            return False
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return was_killed and self._control.halt(run.id) is Halt.LOST

    def _stop(self, pid: int, run: Run, halt: Halt, watch: RunTimer) -> list[int]:
        """End every process of a run: ask, wait a while, kill. Its leader stays unreaped.

        Returns the pids of those that cannot be killed.
        """
        seen = members(run.id, pid)  # an orphan tells no more whose it is
        if halt is not Halt.LOST and run.kill_grace > 0 and self._control.stop_level < 2:
            signal_run(pid, seen, signal.SIGTERM)
            signal_run(pid, seen, signal.SIGCONT)
            watch.follow(must_pause=False)  # what stands still does not hear that it shall end
            self._wait_for_group(pid, run)
        return self._kill(pid, run, seen)

    def _kill(self, pid: int, run: Run, seen: Collection[int] = ()) -> list[int]:
        """Kill what is left of a run, orphans included; return the pids that cannot be killed."""
        return kill_run(run.id, pid, orphans=partial(self._orphans, pid, mark_of(run.id), seen))

    def _orphans(self, leader: int, mark: int, seen: Collection[int]) -> list[int]:
        """Return the processes of a run that this one has adopted, having reaped the dead.

        One that bears no mark is of this run if it was seen as such before its parent ended, or
        if no earlier run had left any behind.
        """
        found = []
        for pid in reversed(children_of(os.getpid())) if self._is_adopter else ():
            if pid == leader or os.waitpid(pid, os.WNOHANG)[0]:
                continue
            theirs = read_mark(pid)
            is_anybodys = self._has_children or is_mark(theirs)
            if theirs == mark or pid in seen or not is_anybodys:
                found.append(pid)
        return found

    def _reaped(self, pid: int, run: Run) -> int | None:
        """Return the status of a command that has ended by itself, else None.

        What it leaves behind is killed, where that is wanted, before its leader's pid is free.
        """
        if run.kill_leftovers and _has_ended(pid):
            self._kill(pid, run)
        return self._status(pid)

    def _status(self, pid: int) -> int | None:
        """Return the status of a command that has ended, which is reaped, else None.

        Orphans that have ended meanwhile are reaped on the way.
        """
        whose = -1 if self._is_adopter else pid
        while (found := os.waitpid(whose, os.WNOHANG))[0]:
            if found[0] == pid:
                return found[1]
        return None

    def _wait_for_group(self, pid: int, run: Run) -> None:
        deadline = time.monotonic() + run.kill_grace
        while time.monotonic() < deadline and self._control.halt(run.id) is not Halt.LOST:
            if _has_ended(pid) and not members(run.id, pid):
                return
            if wait_readable([self._control.wake], _LOOK_SECONDS):
                self._control.settle_down()
            if self._control.stop_level > 1:
                return


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
