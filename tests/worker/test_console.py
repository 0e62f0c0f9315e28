"""Runs that people can talk to: through a pipe or at a terminal, and what is left of neither."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.domain.job import Job, State
from queuectl.system.console_socket import DONE, END, REFUSED, TYPE, Frames, connected, frame
from queuectl.system.job_logs import JobLogs
from tests.worker.fleet import Fleet, eventually, lives, pids_in, run_members

READS = "while read line; do echo got $line; done; echo end"


def asked(fleet: Fleet, job: Job, letter: bytes, content: bytes = b"") -> tuple[bytes, bytes]:
    """Ask a job's console for something, once it is there; return what it answers."""

    def ask() -> tuple[bytes, bytes] | None:
        try:
            with connected(fleet.home.sockets, job.claim_id) as connection:
                connection.sendall(frame(letter, content))
                return next(Frames().feed(connection.recv(4096)))
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    return eventually(lambda: ask() or False)


def said(fleet: Fleet, job: Job, text: str) -> None:
    """Wait until a job that runs has written a text."""
    path = JobLogs(fleet.home).stdout(job.id, job.runs)
    eventually(lambda: path.exists() and text in path.read_text())


def consoles(fleet: Fleet) -> list[int]:
    """Return the pids of the consoles of a fleet's runs."""
    folder = fleet.home.sockets.encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if folder in words and lives(int(entry.parent.name)):
            found.append(int(entry.parent.name))
    return found


def sockets(fleet: Fleet) -> list[Path]:
    """Return the sockets of a fleet's consoles."""
    return list(Path(fleet.home.sockets).iterdir())


def is_clean(fleet: Fleet) -> bool:
    """Whether no console is left, nor its socket."""
    return not consoles(fleet) and not sockets(fleet)


@pytest.mark.parametrize(("way", "enter"), [("stdin", b"\n"), ("pty", b"\r")])
def test_a_run_reads_what_is_sent_until_its_input_is_ended(
    workers: Fleet, way: str, enter: bytes
) -> None:
    job = workers.running(workers.enqueue(READS, None, **{way: True}))
    assert asked(workers, job, TYPE, b"one" + enter) == (DONE, b"")
    said(workers, job, "got one\n")
    assert asked(workers, job, TYPE, b"two" + enter) == (DONE, b"")
    assert asked(workers, job, END) == (DONE, b"")
    ended = workers.settled(job.id)
    assert ended.outcome is not None
    shown = ended.outcome.stdout.splitlines()
    assert [line for line in shown if line not in ("one", "two")] == ["got one", "got two", "end"]
    assert ended.outcome.exit_code == 0
    assert is_clean(workers)


def test_a_run_has_a_terminal_where_it_asked_for_one_and_its_log_is_that_of_any_other(
    workers: Fleet,
) -> None:
    outcome = workers.outcome(
        "test -t 0 -a -t 1 -a -t 2 && stty size && echo $TERM && printf 'a\\r\\nb\\n' >&2",
        pty=True, clean_env=True,
    )  # fmt: skip
    assert outcome.stdout == "24 80\nxterm-256color\na\nb\n"
    assert (outcome.stderr, outcome.error) == ("", None)


def test_the_size_of_a_terminal_is_what_the_job_names(workers: Fleet) -> None:
    env = {"COLUMNS": "132", "LINES": "50"}
    assert workers.outcome("stty size", pty=True, env=env).stdout == "50 132\n"


def test_all_that_a_run_wrote_on_its_terminal_is_in_its_log(workers: Fleet) -> None:
    job = workers.ran("seq 1 30000", pty=True)
    text = JobLogs(workers.home).stdout(job.id, 1).read_text()
    assert text == "".join(f"{number}\n" for number in range(1, 30001))


def test_a_run_is_not_over_before_all_that_it_showed_is_written_down(fleet: Fleet) -> None:
    fleet.start()
    go = fleet.root / "go"
    job = fleet.running(
        fleet.enqueue(f"echo begun; while ! test -e {go}; do sleep 0.02; done; echo last", pty=True)
    )
    said(fleet, job, "begun")
    (console,) = consoles(fleet)
    os.kill(console, signal.SIGSTOP)
    try:
        go.touch()
        eventually(lambda: not run_members(job))
        assert fleet.job(job.id).state is State.PROCESSING
    finally:
        os.kill(console, signal.SIGCONT)
    outcome = fleet.settled(job.id).outcome
    assert outcome is not None
    assert outcome.stdout == "begun\nlast\n"


def test_the_leader_of_a_run_alone_has_its_terminal(workers: Fleet) -> None:
    outcome = workers.outcome("ps -o tty= -p $$; ps -o tty= -p $PPID", pty=True)
    own, of_worker = outcome.stdout.split()
    assert own.startswith("pts/")
    assert of_worker == "?"


@pytest.mark.parametrize("way", ["stdin", "pty"])
def test_what_cannot_be_started_leaves_no_console(workers: Fleet, way: str) -> None:
    outcome = workers.outcome(["no-such-program-anywhere"], **{way: True})
    assert outcome.error == "Command not found"
    eventually(lambda: is_clean(workers))


def test_a_run_that_reads_no_more_refuses_what_is_sent(workers: Fleet) -> None:
    job = workers.running(workers.enqueue("exec <&-; echo shut; exec sleep 60", stdin=True))
    said(workers, job, "shut")
    eventually(lambda: asked(workers, job, TYPE, b"x\n") == (REFUSED, b"its input has ended"))
    workers.queue.cancel(job.id)
    workers.settled(job.id)


def test_a_run_that_does_not_read_makes_nobody_wait(workers: Fleet) -> None:
    job = workers.running(workers.enqueue(["sleep", "60"], stdin=True))
    answers = [asked(workers, job, TYPE, bytes(900_000)) for _ in range(2)]
    assert answers == [(DONE, b""), (REFUSED, b"it has not read what was sent before")]
    workers.queue.cancel(job.id)
    workers.settled(job.id)


@pytest.mark.parametrize(("way", "end"), [("stdin", "timeout"), ("pty", "cancel")])
def test_a_run_that_is_stopped_leaves_nothing(workers: Fleet, way: str, end: str) -> None:
    fields = {way: True, "timeout": 0.5 if end == "timeout" else 0, "max_retries": 1}
    job = workers.running(workers.enqueue("sleep 60 & cat; wait", None, **fields))
    if end == "cancel":
        workers.queue.cancel(job.id)
    ended = workers.settled(job.id)
    assert ended.state is (State.CANCELLED if end == "cancel" else State.DEAD)
    assert not run_members(job)
    assert is_clean(workers)


def test_nobody_but_the_user_gets_at_a_run(workers: Fleet) -> None:
    job = workers.running(workers.enqueue(READS, stdin=True))
    (path,) = eventually(lambda: sockets(workers))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert asked(workers, job, END) == (DONE, b"")
    workers.settled(job.id)


def as_a_stranger(act: Callable[[], bytes]) -> bytes:
    """Return what `act` returns in a process of another user."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setuid(65534)
            os.write(writer, act())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    return data


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_turned_away_even_where_the_modes_would_let_him_in(
    workers: Fleet,
) -> None:
    job = workers.running(workers.enqueue(READS, stdin=True))
    (path,) = eventually(lambda: sockets(workers))
    descriptor = os.open(path.parent, os.O_RDONLY)

    def intrude() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{descriptor}/{path.name}")
            with contextlib.suppress(OSError):
                connection.sendall(frame(TYPE, b"x\n"))
            with contextlib.suppress(ConnectionResetError):
                return b"let in" if connection.recv(100) else b"turned away"
            return b"turned away"

    try:
        path.parent.chmod(0o777)
        path.chmod(0o777)
        assert as_a_stranger(intrude) == b"turned away"
    finally:
        path.parent.chmod(0o700)
        os.close(descriptor)
    assert asked(workers, job, END) == (DONE, b"")
    outcome = workers.settled(job.id).outcome
    assert outcome is not None
    assert outcome.stdout == "end\n"


@pytest.mark.parametrize("way", ["stdin", "pty"])
def test_a_worker_that_is_killed_leaves_no_console(fleet: Fleet, way: str) -> None:
    fleet.start()
    pids = fleet.root / "pids"
    job = fleet.running(fleet.enqueue(f"echo $$ >> {pids}; cat", None, **{way: True}))
    eventually(lambda: bool(consoles(fleet)) and bool(pids_in(pids)))
    (leader,) = pids_in(pids)
    fleet.queue.pause_queue(job.spec.queue)
    os.kill(fleet.worker_of(job).process.pid, signal.SIGKILL)
    eventually(lambda: is_clean(fleet) and not lives(leader))


def test_the_end_of_a_run_leaves_the_console_of_another_alone(fleet: Fleet) -> None:
    fleet.set(concurrency=2, kill_leftovers=True)
    fleet.start()
    job = fleet.running(fleet.enqueue(READS, stdin=True))
    eventually(lambda: bool(consoles(fleet)))
    assert fleet.outcome("sleep 60 & exit 0").exit_code == 0
    assert asked(fleet, job, TYPE, b"x\n") == (DONE, b"")
    assert asked(fleet, job, END) == (DONE, b"")
    outcome = fleet.settled(job.id).outcome
    assert outcome is not None
    assert outcome.stdout == "got x\nend\n"


def test_a_console_that_is_killed_costs_its_run_no_more_than_the_input(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.running(fleet.enqueue(READS, stdin=True))
    (console,) = eventually(lambda: consoles(fleet))
    os.kill(console, signal.SIGKILL)
    outcome = fleet.settled(job.id).outcome
    assert outcome is not None
    assert (outcome.stdout, outcome.exit_code) == ("end\n", 0)
    assert is_clean(fleet)


def test_a_home_with_a_long_path_has_sockets_too(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-of-a-directory"] * 5)
    deep.mkdir(parents=True)
    fleet = Fleet(deep)
    try:
        fleet.start()
        job = fleet.running(fleet.enqueue(READS, stdin=True))
        assert asked(fleet, job, END) == (DONE, b"")
        assert fleet.settled(job.id).state is State.COMPLETED
    finally:
        fleet.close()


def test_sockets_of_consoles_that_were_killed_are_removed_and_no_other_file(
    workers: Fleet,
) -> None:
    folder = Path(workers.home.sockets)
    folder.mkdir(mode=0o700, exist_ok=True)
    old, new, note = folder / "old.sock", folder / "new.sock", folder / "note"
    for path in (old, new):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    note.touch()
    for path in (old, note):
        os.utime(path, (0, 0))
    workers.outcome("true", stdin=True)
    assert sorted(folder.iterdir()) == [new, note]
    new.unlink()
    note.unlink()


def test_runs_that_had_consoles_leave_nothing_open_in_their_worker(fleet: Fleet) -> None:
    (worker,) = fleet.start()

    def run_all() -> int:
        for way in ("stdin", "pty"):
            fleet.outcome("true", **{way: True})
            fleet.outcome(["no-such-program-anywhere"], **{way: True})
        return len(list(Path(f"/proc/{worker}/fd").iterdir()))

    # once what a worker opens late is open: a leak would make each count larger than the last
    assert eventually(lambda: run_all() == run_all())
