"""One command -> Outcome. Knows no store.

The command gets its own session and process group, nothing to read, and two files to write into;
no Python is in the way of its output. It is started with posix_spawn, which neither copies the
worker's memory nor runs Python in the child.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial

from queuectl.domain.job import COMMAND_NOT_FOUND, Command, Outcome
from queuectl.domain.times import short_seconds
from queuectl.domain.values import frozen
from queuectl.waiting import wait_readable
from queuectl.worker.control import Control, Halt
from queuectl.worker.guard import Guard
from queuectl.worker.output import RunFiles
from queuectl.worker.pausing import Stopwatch
from queuectl.worker.processes import kill_run, members, signal_group

SHELL = "/bin/sh"
_SIGNALS = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
"""What a command finds as the system has it, whatever the worker or who started it ignores.

Named all, as posix_spawn of the GNU C library asks twice about each signal that is not named.
"""
_TIMEOUT, _GIVEN_BACK = Halt.TIMEOUT, (Halt.RELEASE, Halt.LOST)
"""Looked up once: to look a member up in its class takes long on Python 3.11."""

_LOOK_SECONDS = 0.02
_QUICK_SECONDS = 0.02
"""What a command writes can be seen from then on, or when it has ended."""


@frozen
class Run:
    """What to run and how long it may take; `deadline` is the lease's end by `boot_clock`."""

    id: str
    command: Command
    environment: Mapping[bytes, bytes]
    cwd: str | None
    timeout: float
    kill_grace: float
    kill_leftovers: bool
    deadline: float


class CannotStart(Exception):
    """The command could not be started; the text says why."""


class Runner:
    """Runs one command after another for one worker."""

    def __init__(self, control: Control, guard: Guard) -> None:
        self._control = control
        self._guard = guard
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
        on_slow: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Run a command to its end, or stop it when its time is up or the control says so.

        `on_started` is called once it runs, `on_slow` if it is not over within milliseconds;
        they must not raise.
        """
        begun = time.monotonic()
        self._guard.announce(run.id, run.deadline)
        try:
            pid = self._spawn(run, files)
        except CannotStart as fault:
            self._guard.ended()
            files.show()
            return Outcome(error=str(fault))
        self._guard.started(run.id, pid)
        on_started()
        status, halt = self._await(pid, run, partial(_slow, files, on_slow), begun)
        self._guard.ended()
        if status:
            files.show()
        if halt is None and self._was_fenced(run, status):
            halt = Halt.LOST
        return _outcome(status, halt, run, files, time.monotonic() - begun)

    def _spawn(self, run: Run, files: RunFiles) -> int:
        """Start the command; its pid is also its process group. Raises CannotStart."""
        self._enter(run.cwd)
        if isinstance(run.command, str):
            program, argv = SHELL, ["sh", "-c", run.command]
        else:
            program, argv = _find_program(run), list(run.command)
        try:
            return os.posix_spawn(
                program,
                argv,
                run.environment,
                file_actions=((os.POSIX_SPAWN_DUP2, self._null, 0), *files.actions),
                setsid=True,
                setsigmask=(),
                setsigdef=_SIGNALS,
            )
        except FileNotFoundError:
            raise CannotStart(COMMAND_NOT_FOUND) from None
        except OSError as fault:
            raise CannotStart(f"Command could not be started: {fault.strerror}") from None

    def _enter(self, cwd: str | None) -> None:
        """Change into a run's directory; posix_spawn cannot do that for the child alone."""
        wanted = cwd or "/"
        try:
            os.chdir(wanted)
        except OSError as fault:
            raise CannotStart(f"Working directory {wanted}: {fault.strerror}") from None

    def _await(
        self, pid: int, run: Run, on_slow: Callable[[], None], begun: float
    ) -> tuple[int, Halt | None]:
        """Wait until the command has ended; return its status, and why it was stopped if it was."""
        watch = Stopwatch(run.id, pid, begun)
        longest = _QUICK_SECONDS
        while True:
            self._sleep(run, watch, longest)
            status = _reaped(pid, run)
            if status is not None:
                return status, None
            if longest == _QUICK_SECONDS:
                longest = float("inf")
                on_slow()
            halt = self._control.halt(run.id)
            if halt is None and run.timeout and watch.seconds() >= run.timeout:
                halt = Halt.TIMEOUT
            if halt is not None:
                self._stop(pid, run, halt, watch)
                return os.waitpid(pid, 0)[1], halt
            watch.follow(self._control.is_paused(run.id))

    def _sleep(self, run: Run, watch: Stopwatch, longest: float) -> None:
        """Sleep until a child has ended, the control says something, or a time is up."""
        seconds = min(longest, self._control.next_check())
        if run.timeout and not watch.is_paused:
            seconds = min(seconds, run.timeout - watch.seconds())
        if self._poll(max(0.0, seconds) * 1000):
            self._control.settle_down()

    def _was_fenced(self, run: Run, status: int) -> bool:
        """Whether the guard has ended the run, because this worker did not renew in time."""
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return was_killed and self._control.halt(run.id) is Halt.LOST

    def _stop(self, pid: int, run: Run, halt: Halt, watch: Stopwatch) -> None:
        """End every process of a run: ask, wait a while, kill. Its leader stays unreaped."""
        if halt is not Halt.LOST and run.kill_grace > 0 and self._control.stop_level < 2:
            signal_group(pid, signal.SIGTERM)
            signal_group(pid, signal.SIGCONT)
            watch.follow(must_pause=False)  # what stands still does not hear that it shall end
            self._wait_for_group(pid, run)
        kill_run(run.id, pid)

    def _wait_for_group(self, pid: int, run: Run) -> None:
        deadline = time.monotonic() + run.kill_grace
        while time.monotonic() < deadline and self._control.halt(run.id) is not Halt.LOST:
            if _has_ended(pid) and not members(run.id, pid):
                return
            if wait_readable([self._control.wake], _LOOK_SECONDS):
                self._control.settle_down()
            if self._control.stop_level > 1:
                return


def _slow(files: RunFiles, on_slow: Callable[[], None]) -> None:
    files.show()
    on_slow()


def _reaped(pid: int, run: Run) -> int | None:
    """Return the status of a command that has ended by itself, else None.

    What it leaves behind is killed, where that is wanted, before its leader's pid is free.
    """
    if run.kill_leftovers and _has_ended(pid):
        kill_run(run.id, pid)
    reaped, status = os.waitpid(pid, os.WNOHANG)
    return status if reaped else None


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _find_program(run: Run) -> str:
    """Return the path of an argument list's program, found as the command's own PATH says."""
    assert not isinstance(run.command, str)
    path = run.environment.get(b"PATH", os.fsencode(os.defpath))
    found = shutil.which(run.command[0], path=os.fsdecode(path))
    if found is None:
        raise CannotStart(COMMAND_NOT_FOUND)
    return found


def _outcome(status: int, halt: Halt | None, run: Run, files: RunFiles, duration: float) -> Outcome:
    exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    (stdout, stdout_cut), (stderr, stderr_cut) = files.tails()
    return Outcome(
        exit_code,
        number,
        halt is _TIMEOUT,
        _error(exit_code, number, halt, run),
        round(duration, 6),
        stdout,
        stderr,
        stdout_cut,
        stderr_cut,
        halt in _GIVEN_BACK,
    )


def _error(exit_code: int | None, number: int | None, halt: Halt | None, run: Run) -> str | None:
    """Return what to say of a run that did not succeed."""
    if halt is _TIMEOUT:
        return f"Job exceeded {short_seconds(run.timeout)} timeout"
    if halt is not None:
        return str(halt.value).capitalize()
    if number is not None:
        return f"Killed by signal {number} ({signal.strsignal(number)})"
    if exit_code == 127:
        return COMMAND_NOT_FOUND
    return f"Exit code {exit_code}" if exit_code else None
