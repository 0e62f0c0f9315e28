"""`attach`: this terminal becomes that of a job, until it ends or is left."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import sys
import time

import click

from queuectl.cli.completions import JobId
from queuectl.cli.latest import one_that_runs
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session
from queuectl.cli.talk import HereRunning, connected, running_here
from queuectl.domain.errors import Conflict, ExitCode, InvalidInput
from queuectl.domain.job import SETTLED, State
from queuectl.domain.views import exit_code
from queuectl.presentation.console import print_hint
from queuectl.system.console_socket import (
    ATTACH,
    DONE,
    KEYS,
    OUTPUT,
    OVER,
    REFUSED,
    SIZE,
    WINDOW,
    Frames,
    frame,
)
from queuectl.system.run_mark import RUN_ID_VARIABLE

_LEAVE = re.compile(rb"\x1c|\x1b\[92;5u")
"""Ctrl-\\ as terminals send it, of old and in the way of kitty's."""

_LOOK_SECONDS = 0.2
"""How often the size of this terminal is looked at."""

_END_SECONDS = 5.0
"""How long a run may take from its end until the store has it."""

_MODES = re.compile(rb"\x1b\[\?([\d;]+)([hl])")
_USUALLY_ON = (b"7", b"25")
_LONGEST_MODE = 24
_KEEP_TITLE, _TITLE_BACK = b"\x1b[22;0t", b"\x1b[23;0t"
_PLAIN = b"\x1b[0m\x1b(B\x1b>"


class _Modes:
    """What a job has made of this terminal, so that it can be put back."""

    def __init__(self) -> None:
        self._changed: set[bytes] = set()
        self._end = b""

    def note(self, data: bytes) -> None:
        """Note which modes some output turns on and off."""
        seen = self._end + data
        for numbers, letter in _MODES.findall(seen):
            for number in numbers.split(b";"):
                is_usual = (letter == b"h") == (number in _USUALLY_ON)
                (self._changed.discard if is_usual else self._changed.add)(number)
        self._end = seen[-_LONGEST_MODE:]

    def undoing(self) -> bytes:
        """Return what puts back screen, cursor, colours, mouse and title."""
        modes = b"".join(
            b"\x1b[?%s%s" % (number, b"h" if number in _USUALLY_ON else b"l")
            for number in sorted(self._changed)
        )
        return modes + _PLAIN + _TITLE_BACK


class _Visit:
    """This terminal at that of a job."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = Frames()
        self._modes = _Modes()
        self._size = b""
        self._greeting = ""
        self._is_amid_line = False
        self.refusal = ""

    def stay(self, greeting: str) -> bool:
        """Pass on keys, output and sizes until the run ends or is left; whether it was left.

        The greeting is shown once every key goes to the job, and all that it writes comes here.
        Raises OSError when the connection
        breaks, which is an end of the run, too.
        """
        import termios
        import tty

        keys = sys.stdin.fileno()
        before = termios.tcgetattr(keys)
        self._write(_KEEP_TITLE)
        try:
            tty.setraw(keys, termios.TCSADRAIN)  # what was typed ahead is kept
            self._greeting = greeting
            while True:
                self._tell_size()
                ready, _, _ = select.select([keys, self._connection], [], [], _LOOK_SECONDS)
                if self._connection in ready and not self._show():
                    return False
                if keys in ready and not self._pass_on(os.read(keys, 4096)):
                    return True
        finally:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
            self._write(self._modes.undoing() + (b"\n" if self._is_amid_line else b""))

    def _tell_size(self) -> None:
        found = os.get_terminal_size(sys.stdout.fileno())
        size = WINDOW.pack(found.lines, found.columns)
        if size != self._size:
            self._connection.sendall(frame(SIZE if self._size else ATTACH, size))
            self._size = size

    def _pass_on(self, data: bytes) -> bool:
        """Send keys to the job; False when they say to leave."""
        leaving = _LEAVE.search(data)
        if typed := data[: leaving.start()] if leaving else data:
            self._connection.sendall(frame(KEYS, typed))
        return bool(data) and not leaving

    def _show(self) -> bool:
        """Show what the job has written; False when its run has ended."""
        data = self._connection.recv(65536)
        for letter, content in self._frames.feed(data):
            if letter == DONE and self._greeting:
                sys.stderr.write(f"{self._greeting}\r\n")
                sys.stderr.flush()
                self._greeting = ""
            elif letter == OUTPUT and content:
                self._modes.note(content)
                self._is_amid_line = not content.endswith(b"\n")
                self._write(content)
            elif letter == REFUSED:
                self.refusal = content.decode()
                return False
            elif letter == OVER:
                return False
        return bool(data)

    @staticmethod
    def _write(data: bytes) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@click.command(cls=Command, epilog="queuectl attach job1")
@click.argument("job_id", metavar="[ID]", required=False, type=JobId(State.PROCESSING))
@pass_session
def attach(session: Session, job_id: str | None) -> int:
    """Be at the terminal of a job that runs, enqueued with `--pty`.

    Without an id it is the only one there is, or the one that is picked of several. Ctrl-\\ leaves
    it running; every other key is the job's, Ctrl-C too. Several may be attached at once; the size
    of the terminal is that of who came or changed last. Where the run ends meanwhile, the exit
    code is that of the job.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("attach needs a terminal", f"queuectl logs -f {job_id or 'ID'}")
    if job_id is None:
        job_id = one_that_runs(session, "no job runs that has a terminal", lambda job: job.spec.pty)
    running = running_here(session, job_id, "queuectl attach ID")
    job = running.job
    if not job.spec.pty:
        raise Conflict(
            f"job '{job.id}' has no terminal, as it was enqueued without --pty",
            f"queuectl logs -f {job.id}",
        )
    if os.environ.get(RUN_ID_VARIABLE) == job.claim_id:
        raise Conflict(f"this is the terminal of job '{job.id}' already")
    is_left = False
    with connected(running) as connection:
        visit = _Visit(connection)
        with contextlib.suppress(OSError):  # the run has ended, or its console has
            is_left = visit.stay(f"at the terminal of job '{job.id}'; Ctrl-\\ leaves it running")
    if visit.refusal:
        raise Conflict(f"job '{job.id}': {visit.refusal}")
    if is_left:
        print_hint(f"job '{job.id}' goes on: queuectl attach {job.id}")
        return ExitCode.OK
    return _ended(running)


def _ended(running: HereRunning) -> int:
    """Tell how the run has ended, and return the exit code of its job."""
    from queuectl.cli.logs import ending

    ends_at = time.monotonic() + _END_SECONDS
    while running.goes_on and time.monotonic() < ends_at:
        time.sleep(0.02)
    job = running.queue.get(running.job.id)
    if job.state in SETTLED:
        print_hint(ending(job))
        return exit_code(job)
    what = "goes on without its console" if running.goes_on else "is to be tried again"
    print_hint(f"job '{job.id}' {what}" + (f": {job.last_error}" if job.last_error else ""))
    return ExitCode.FAILED
