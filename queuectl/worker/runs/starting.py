"""Start the command of a run.

Each command gets its own session and process group, nothing to read unless a file or a text is
named for that, and two files to write into; no Python is in the way of its output. It is started
with posix_spawn, which neither copies the worker's memory nor runs Python in the child.
"""

from __future__ import annotations

import os
import signal

from queuectl.system.run_mark import Marker, mark_of
from queuectl.worker.runs import programs
from queuectl.worker.runs.console import Console, ConsoleWanted
from queuectl.worker.runs.input import input_file
from queuectl.worker.runs.limits import LimitedRun
from queuectl.worker.runs.outcome import Run
from queuectl.worker.runs.output import RunFiles
from queuectl.worker.runs.programs import CannotStart
from queuectl.worker.runs.temp_file import SpawnAction

_SIGNALS = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
"""What a command finds as the system has it, whatever the worker or who started it ignores.

Named all, as posix_spawn of the GNU C library asks twice about each signal that is not named.
"""


class Starter:
    """Starts commands, each marked with the claim of its run while it is started."""

    def __init__(self) -> None:
        self._marker = Marker()
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._no_input = (os.POSIX_SPAWN_DUP2, self._null, 0)

    def close(self) -> None:
        """Let go of what is open."""
        os.close(self._null)

    def start(self, run: Run, files: RunFiles, limited: LimitedRun | None) -> int:
        """Start the command of a run, which writes into files. Raises CannotStart.

        Return its pid, which is also its process group.
        """
        return self._with_input(run, (self._no_input, *files.actions), limited)

    def start_with_console(
        self, run: Run, wanted: ConsoleWanted, files: RunFiles, limited: LimitedRun | None
    ) -> tuple[Console, int]:
        """Start the console of a run and its command; return its pid too. Raises CannotStart."""
        console = Console(wanted, run.id, run.environment, files, self._marker)
        try:
            pid = self._with_input(run, console.actions, limited)
        except CannotStart:
            console.abandon()
            raise
        finally:
            console.hand_over()
        return console, pid

    def _with_input(
        self, run: Run, streams: tuple[SpawnAction, ...], limited: LimitedRun | None
    ) -> int:
        """Start a command, which reads a file or a text if it names one.

        The file is seen from its directory.
        """
        if run.input is not None:
            _enter(run)
            source = programs.open_input(run.input)
        elif run.input_text is not None:
            source = input_file(run.input_text)
        else:
            return self._spawn(run, streams, limited)
        try:
            return self._spawn(run, (*streams, (os.POSIX_SPAWN_DUP2, source, 0)), limited)
        finally:
            os.close(source)

    def _spawn(self, run: Run, streams: tuple[SpawnAction, ...], limited: LimitedRun | None) -> int:
        """Start a command; `streams` are its standard input, output and error."""
        _enter(run)
        start = programs.to_start(run.command, run.environment)
        if limited is not None:
            start = limited.starting(start)
        self._marker.put(mark_of(run.id))
        try:
            while True:
                try:
                    return os.posix_spawn(
                        start.program,
                        start.argv,
                        run.environment,
                        file_actions=streams,
                        setsid=True,
                        setsigmask=(),
                        setsigdef=_SIGNALS,
                    )
                except OSError as fault:
                    start = programs.instead(fault, start, run.environment)
        finally:
            self._marker.take_back()


def _enter(run: Run) -> None:
    """Go to a run's directory: posix_spawn cannot do that for the child alone.

    Raises CannotStart.
    """
    cwd = run.cwd or "/"
    try:
        os.chdir(cwd)
    except OSError as fault:
        text = f"Working directory {cwd}: {fault.strerror}"
        raise programs.cannot_start(fault, text) from None
