"""A worker's side of a run that people can talk to: its terminal, or the pipe that it reads from.

A small process of the run's own, its console, holds the other end (`console_main.py`), so the
worker's loop has nothing to do with what is typed or shown there. It belongs to no run, so the end
of one does not concern it; it ends when the worker says that the run is over, or has died itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from queuectl.domain.errors import QueuectlError
from queuectl.domain.frozen import frozen
from queuectl.system.console_socket import socket_name
from queuectl.system.home import private_directory
from queuectl.system.run_mark import NO_RUN, Marker
from queuectl.worker.runs.console_input import FAR
from queuectl.worker.runs.output import RunFiles
from queuectl.worker.runs.programs import CannotStart
from queuectl.worker.runs.temp_file import SpawnAction

_PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from queuectl.worker.runs.console_main import main; main()"
)
"""Loads nothing from where the command runs, and no more than it needs."""

_ROOT = str(Path(__file__).resolve().parents[3])
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_LAST_SECONDS = 10.0
"""How long a console may take to write down what is left, after its run has ended."""

_ROWS, _COLUMNS = 24, 80
_MOST_SIZE = 9999
_WINDOW = struct.Struct("HHHH")


@frozen
class ConsoleWanted:
    """How people may talk to a run: on a terminal or through a pipe, by a socket in `folder`."""

    has_terminal: bool
    folder: str


class Console:
    """The console of one run: `actions` is what the command starts with as its standard streams.

    Once the command has been started, or could not be, call `hand_over`; after its end, `finish`.
    """

    def __init__(
        self,
        wanted: ConsoleWanted,
        run_id: str,
        environment: Mapping[bytes, bytes],
        files: RunFiles,
        marker: Marker,
    ) -> None:
        """Open a terminal or a pipe, and start the process. Raises CannotStart."""
        self._socket = Path(wanted.folder, socket_name(run_id))
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            try:
                private_directory(wanted.folder)
                self._control, control = socket.socketpair()
                ours.enter_context(self._control)
                theirs.enter_context(control)
                far, self._near = os.openpty() if wanted.has_terminal else os.pipe()[::-1]
                ours.callback(os.close, self._near)
                theirs.callback(os.close, far)
                self.actions = self._actions(wanted, environment, files)
                marker.put(NO_RUN)
                theirs.callback(marker.take_back)
                self.pid = _spawn(wanted, run_id, files, far, control)
            except (OSError, QueuectlError) as fault:
                raise CannotStart(f"No console could be opened: {fault}") from None
            ours.pop_all()

    def _actions(
        self, wanted: ConsoleWanted, environment: Mapping[bytes, bytes], files: RunFiles
    ) -> tuple[SpawnAction, ...]:
        """Return how the command gets its streams, and give a terminal its size."""
        if not wanted.has_terminal:
            return ((os.POSIX_SPAWN_DUP2, self._near, 0), *files.actions)
        fcntl.ioctl(self._near, termios.TIOCSWINSZ, _WINDOW.pack(*_size(environment), 0, 0))
        # opened by the leader of a session that has no terminal, it becomes that
        opening = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(self._near), os.O_RDWR, 0)
        return (opening, *((os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)))

    def hand_over(self) -> None:
        """Let go of what the command alone shall have."""
        os.close(self._near)

    def abandon(self) -> None:
        """Let the process end: no command was started."""
        self._control.close()

    def finish(self) -> None:
        """Wait until all that the command wrote is written down, and the process has ended.

        One that takes too long, or was stopped, is killed.
        """
        with self._control, contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
            self._control.settimeout(_LAST_SECONDS)
            try:
                self._control.recv(1)
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)  # it has its end of `_control`, so it lives
        with contextlib.suppress(OSError):
            self._socket.unlink()


def _size(environment: Mapping[bytes, bytes]) -> tuple[int, int]:
    """Return rows and columns of a new terminal: what the environment names, as programs do."""
    named = (environment.get(b"LINES", b""), environment.get(b"COLUMNS", b""))
    rows, columns = (
        min(int(text), _MOST_SIZE) if text.isdigit() and int(text) else usual
        for text, usual in zip(named, (_ROWS, _COLUMNS), strict=True)
    )
    return rows, columns


def _spawn(
    wanted: ConsoleWanted, run_id: str, files: RunFiles, far: int, control: socket.socket
) -> int:
    """Start a console and return its pid: it writes into the run's files. Raises OSError."""
    kind = "terminal" if wanted.has_terminal else "pipe"
    words = ("-I", "-S", "-c", _PROGRAM, _ROOT, kind, wanted.folder, run_id)
    return os.posix_spawn(
        sys.executable,
        (sys.executable, *words),
        {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        file_actions=(
            (os.POSIX_SPAWN_DUP2, control.fileno(), 0),
            *files.actions,
            (os.POSIX_SPAWN_DUP2, far, FAR),
        ),
        setsid=True,
        setsigmask=(),
    )
