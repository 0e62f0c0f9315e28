"""Talking to a job that runs: typing into it, and signalling it.

All of it is between processes of one user on one host; the store only says which job runs where.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from queuectl.cli.completions import JobId, OneOf
from queuectl.cli.root import Command, examples
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import Conflict, InvalidInput, nearest
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, State
from queuectl.presentation.console import print_hint, print_line
from queuectl.queue import Queue
from queuectl.system import console_socket
from queuectl.system.home import Home
from queuectl.system.processes import is_here, owner_of

if TYPE_CHECKING:
    import signal as signals

T = TypeVar("T")

_BEGIN_SECONDS = 5.0
"""How long a run may take from its claim until it can be talked to."""

_LOOK_SECONDS = 0.02
_ANSWER_SECONDS = 10.0


@frozen
class HereRunning:
    """A job that runs on this host, the folder of its worker's sockets, and the worker's pid."""

    queue: Queue
    job: Job
    sockets: str
    worker: int

    @property
    def goes_on(self) -> bool:
        """Whether the run that was asked for is still in hand."""
        claim = self.queue.get(self.job.id).claim
        return claim is not None and claim.id == self.job.claim_id


def running_here(session: Session, word: str, line: str) -> HereRunning:
    """Return the job of that id, which must run on this host. Raises NotFound or Conflict.

    `line` is what to type there where it runs on another one.
    """
    queue = session.reading()
    job = queue.get(word)
    if job.state is not State.PROCESSING or job.claim is None:
        raise Conflict(f"job '{job.id}' is {job.state}, not running", f"queuectl show {job.id}")
    for worker in queue.workers():
        record = worker.record
        if record.id != job.claim.worker:
            continue
        there = f"there: {line.replace('ID', job.id)}"
        if not is_here(record.process):
            hosts = f"on host '{record.host}', and this is '{socket.gethostname()}'"
            raise Conflict(f"job '{job.id}' runs {hosts}", there)
        owner = owner_of(record.process.pid)
        if owner not in (None, os.geteuid()):
            raise Conflict(f"job '{job.id}' runs as user {owner}, and this is {os.geteuid()}")
        return HereRunning(queue, job, Home(record.home).sockets, record.process.pid)
    raise Conflict(f"the worker of job '{job.id}' is gone", f"queuectl show {job.id}")


def _until_begun(running: HereRunning, look: Callable[[], T | None], what: str) -> T:
    """Return what `look` finds once the run has begun; not if it ends. Raises Conflict."""
    ends_at = time.monotonic() + _BEGIN_SECONDS
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > ends_at:
            raise Conflict(f"job '{running.job.id}' {what}", f"queuectl show {running.job.id}")
        if not running.goes_on:
            raise Conflict(f"job '{running.job.id}' has ended meanwhile")
        time.sleep(_LOOK_SECONDS)


def connected(running: HereRunning) -> socket.socket:
    """Return a connection to what a job reads from. Raises Conflict."""

    def look() -> socket.socket | None:
        try:
            return console_socket.connected(running.sockets, running.job.claim_id)
        except OSError:
            return None

    return _until_begun(running, look, "does not answer: it has not begun, or its console is gone")


def _ask(connection: socket.socket, job: Job, letter: bytes, content: bytes) -> None:
    """Ask a job's console for something. Raises Conflict where it refuses."""
    connection.settimeout(_ANSWER_SECONDS)
    frames = console_socket.Frames()
    try:
        connection.sendall(console_socket.frame(letter, content))
        while data := connection.recv(65536):
            for answer, text in frames.feed(data):
                if answer == console_socket.DONE:
                    return
                if answer == console_socket.REFUSED:
                    raise Conflict(f"job '{job.id}': {text.decode()}")
    except OSError:
        pass
    raise Conflict(f"job '{job.id}' has ended meanwhile")


@examples("""
    queuectl send job1 yes
    queuectl send job1 "first line" --eof
    queuectl send job1 --eof
""")
@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=JobId(State.PROCESSING))
@click.argument("text", required=False, metavar="[TEXT]")
@click.option("--eof", is_flag=True, help="End its input, after TEXT where there is one.")
@click.option("--no-newline", is_flag=True, help="TEXT alone, without Enter behind it.")
@pass_session
def send(session: Session, job_id: str, text: str | None, eof: bool, no_newline: bool) -> None:
    """Type a line into a job that runs, enqueued with `--stdin` or `--pty`."""
    if text is None and not eof:
        raise InvalidInput("say what to send: TEXT, or --eof", f"queuectl send {job_id} TEXT")
    running = running_here(session, job_id, "queuectl send ID ...")
    job = running.job
    if not (job.spec.stdin or job.spec.pty):
        raise Conflict(
            f"job '{job.id}' has nothing to read: its input is empty",
            "enqueue it with --stdin, or with --pty for a terminal",
        )
    # on a terminal, which may be read key by key, Enter is a carriage return
    enter = "" if no_newline else "\r" if job.spec.pty else "\n"
    data = b"" if text is None else os.fsencode(f"{text}{enter}")
    if len(data) > console_socket.MOST_BYTES:
        raise InvalidInput(f"at most {console_socket.MOST_BYTES:,} bytes can be sent at once")
    with connected(running) as connection:
        _ask(connection, job, console_socket.END if eof else console_socket.TYPE, data)
    session.reading().note("send", job.id)
    what = f"Sent {len(data):,} bytes to job '{job.id}'"
    if eof:
        what = f"{what} and ended its input" if data else f"Ended the input of job '{job.id}'"
    print_line(what)
    _tell_of_pause(job)


def _tell_of_pause(job: Job) -> None:
    if job.paused:
        print_hint(f"job '{job.id}' is paused and heeds it once it goes on: "
                   f"queuectl jobs resume {job.id}")  # fmt: skip


def _known_signals() -> list[tuple[str, str]]:
    import signal

    return [
        (each.name.removeprefix("SIG"), signal.strsignal(each) or "") for each in signal.Signals
    ]


def _signal_of(word: str) -> signals.Signals:
    """Return the signal that a name or a number means. Raises InvalidInput."""
    import signal

    name = word.upper().removeprefix("SIG")
    for each in signal.Signals:
        if name in (each.name.removeprefix("SIG"), str(each.value)):
            return each
    close = nearest(name, [known for known, _ in _known_signals()])
    raise InvalidInput(f"there is no signal '{word}'{close}", "INT, TERM, HUP, USR1, USR2 or KILL")


@examples("""
    queuectl signal job1 INT
    queuectl signal job1 USR1
""")
@click.command("signal", cls=Command)
@click.argument("job_id", metavar="ID", type=JobId(State.PROCESSING))
@click.argument("name", metavar="NAME", type=OneOf(lambda _ctx: _known_signals()))
@pass_session
def send_signal(session: Session, job_id: str, name: str) -> None:
    """Send a signal to every process of a job that runs: INT, HUP, USR1 or another.

    What the job does then is its own affair: one that ends by it has failed and may be tried
    again, while `cancel` ends a job for good.
    """
    number = _signal_of(name)
    running = running_here(session, job_id, f"queuectl signal ID {name}")
    job = running.job

    from queuectl.system.run_processes import members, signal_members

    def look() -> list[int] | None:
        # the worker itself bears the mark of a run while it starts it
        return members(job.claim_id, None, spare=(running.worker,)) or None

    if not signal_members(_until_begun(running, look, "has no process yet"), number):
        raise Conflict(f"the processes of job '{job.id}' have become another user's")
    session.reading().note("signal", job.id, about=number.name)
    print_line(f"Sent {number.name} to job '{job.id}'")
    _tell_of_pause(job)
