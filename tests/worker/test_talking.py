"""The commands that talk to a job which runs: `send`, `signal` and `attach`."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter
from queuectl.domain.worker_record import ProcessIdentity
from queuectl.queue import open_queue
from queuectl.system.processes import this_process
from queuectl.system.run_mark import Marker, mark_of
from queuectl.system.run_processes import members
from tests.cli.harness import Cli, cli, environment, play_worker
from tests.terminal import Terminal
from tests.worker.fleet import Fleet, eventually
from tests.worker.test_console import said

__all__ = ["cli"]

READS = "while read line; do echo got $line; done; echo end"


@pytest.fixture(autouse=True)
def here(workers: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands mean the home of the shared workers."""
    monkeypatch.setenv("QUEUECTL_HOME", str(workers.home.root))


def at_terminal(*args: str, columns: int = 80, rows: int = 24) -> Terminal:
    """Run a command line at a terminal."""
    return Terminal(args, environment(), columns, rows)


@pytest.fixture
def begun(workers: Fleet) -> Callable[..., Job]:
    """Enqueues a job of one attempt, and returns it when it runs."""

    def begin(command: object, **fields: object) -> Job:
        return workers.running(workers.enqueue(command, None, **{"max_retries": 1, **fields}))

    return begin


def test_send_types_lines_and_ends_the_input(
    cli: Cli, workers: Fleet, begun: Callable[..., Job]
) -> None:
    job = begun(READS, stdin=True)
    assert cli.ok("send", job.id, "one").out == f"Sent 4 bytes to job '{job.id}'\n"
    assert cli.ok("send", job.id, "tw", "--no-newline").out == f"Sent 2 bytes to job '{job.id}'\n"
    ended = cli.ok("jobs", "send", job.id, "o", "--eof").out
    assert ended == f"Sent 2 bytes to job '{job.id}' and ended its input\n"
    outcome = workers.settled(job.id).outcome
    assert outcome is not None
    assert outcome.stdout == "got one\ngot two\nend\n"


def test_what_is_sent_at_once_waits_for_the_run_to_begin(cli: Cli, workers: Fleet) -> None:
    job_id = workers.enqueue("read line; echo got $line", stdin=True)
    workers.claimed(job_id)
    cli.ok("send", job_id, "early", "--eof")
    outcome = workers.settled(job_id).outcome
    assert outcome is not None
    assert outcome.stdout == "got early\n"


KEYS = "import sys, tty; tty.setraw(0); print(repr(sys.stdin.read(3)))"


@pytest.mark.parametrize(
    ("command", "shown"),
    [("read line; echo got $line", "yes\ngot yes\n"), ([sys.executable, "-c", KEYS], "'no\\r'\n")],
    ids=["line by line", "key by key"],
)
def test_a_terminal_gets_a_line_with_the_key_enter(
    cli: Cli, workers: Fleet, begun: Callable[..., Job], command: object, shown: str
) -> None:
    job = begun(command, pty=True)
    text = "yes" if isinstance(command, str) else "no"
    if text == "no":  # what is typed before is read as lines, as at any terminal
        eventually(lambda: "-icanon" in modes_of(job))
    cli.ok("send", job.id, text)
    outcome = workers.settled(job.id).outcome
    assert outcome is not None
    assert outcome.stdout == shown


def modes_of(job: Job) -> str:
    """Return the modes of the terminal that a job has."""
    (pid,) = members(job.claim_id, None)
    with Path(f"/proc/{pid}/fd/0").open() as terminal:
        return subprocess.check_output(["stty", "-a"], stdin=terminal, text=True)


def test_signal_reaches_every_process_of_a_run(
    cli: Cli, workers: Fleet, begun: Callable[..., Job]
) -> None:
    child = "trap 'echo child; exit 0' INT; echo ready; sleep 60 & wait"
    job = begun(f'trap "echo parent" INT; sh -c "{child}"; exit 5')
    said(workers, job, "ready")
    assert cli.ok("signal", job.id, "int").out == f"Sent SIGINT to job '{job.id}'\n"
    outcome = workers.settled(job.id).outcome
    assert outcome is not None
    assert (outcome.stdout, outcome.exit_code) == ("ready\nchild\nparent\n", 5)


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "usr1", "10"])
def test_a_signal_has_a_name_or_a_number(
    cli: Cli, workers: Fleet, begun: Callable[..., Job], name: str
) -> None:
    job = begun(["sleep", "60"])
    cli.ok("signal", job.id, name)
    assert "User defined signal 1" in (workers.settled(job.id).last_error or "")


def test_a_job_on_another_host_is_refused_with_its_name(cli: Cli, tmp_path: Path) -> None:
    home = str(tmp_path / "far")
    with open_queue(home=home) as queue:
        queue.enqueue_one("sleep 60", id="far", stdin=True, pty=True)
        worker = play_worker(queue, jobs=1).record
        elsewhere = ProcessIdentity(this_process().pid, "1", "another boot")
        queue.store.workers.register(replace(worker, host="mars", process=elsewhere))
    for line in (["send", "far", "x"], ["signal", "far", "INT"]):
        refusal = cli.refused(4, *line, "--home", home)
        assert "job 'far' runs on host 'mars', and this is '" in refusal
        assert f"there: queuectl {line[0]} far" in refusal


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["send", "ended", "x"], 4, "job 'ended' is completed, not running"),
        (["signal", "ended", "INT"], 4, "job 'ended' is completed, not running"),
        (["send", "waiting", "x"], 4, "job 'waiting' is pending, not running"),
        (["send", "none", "x"], 3, "no job 'none'"),
        (["send", "plain", "x"], 4, "--stdin"),
        (["send", "plain"], 2, "--eof"),
        (["signal", "plain", "INR"], 2, "did you mean 'INT'?"),
        (["attach", "plain"], 2, "attach needs a terminal; queuectl logs -f plain"),
    ],
)
def test_what_cannot_be_said_is_refused_with_what_to_type(
    cli: Cli, workers: Fleet, line: list[str], code: int, words: str
) -> None:
    if "ended" not in cli.ids():
        workers.settled(workers.enqueue("true", "ended"))
        workers.enqueue("true", "waiting", **{"in": "1h"})
    if "plain" in line and "plain" not in cli.ids():
        workers.running(workers.enqueue(["sleep", "600"], "plain", max_retries=1))
    assert words in cli.refused(code, *line)
    if line[0] == "attach":  # the last
        cli.ok("delete", "plain", "--force")


COLORFUL = r"printf '\033[31mred\033[0m\n10%%\r50%%\r100%%\n'"


def test_the_log_of_a_terminal_is_text_for_programs_and_colourful_for_people(
    cli: Cli, workers: Fleet
) -> None:
    job = workers.ran(COLORFUL, pty=True)
    assert cli.ok("logs", job.id).out == "red\n100%\n"
    assert cli.ok("logs", "-f", job.id).out == "red\n100%\n"
    with at_terminal("logs", job.id) as terminal:
        terminal.shows("red", "100%")
        assert "red" in terminal.colors


# attach


def test_attach_is_the_terminal_of_the_job_until_it_is_left(
    workers: Fleet, begun: Callable[..., Job]
) -> None:
    job = begun("echo begun; while read line; do stty size; echo got $line; done", pty=True)
    with at_terminal("attach", job.id, columns=100, rows=30) as terminal:
        terminal.shows("Ctrl-\\ leaves it running", "begun")
        terminal.press("one\r")
        terminal.shows("30 100", "got one")
        terminal.resize(90, 20)
        terminal.until(lambda: size_of(job) == "20 90", "new size")
        terminal.press("\x1c")
        terminal.shows(f"job '{job.id}' goes on: queuectl attach {job.id}")
        assert terminal.ends() == 0
    assert workers.job(job.id).state is State.PROCESSING
    workers.queue.cancel(job.id)


def test_attach_without_an_id_is_of_the_only_job_that_runs_and_has_a_terminal(
    workers: Fleet, begun: Callable[..., Job]
) -> None:
    running = Filter(frozenset({State.PROCESSING}))
    eventually(lambda: not any(workers.queue.find(running)))  # what other tests cancelled
    with at_terminal("attach") as terminal:
        terminal.shows("no job runs that has a terminal", "queuectl list processing")
        assert terminal.ends() == 3
    begun("sleep 60")
    job = begun("echo begun; read line", pty=True)
    with at_terminal("attach") as terminal:
        terminal.shows(f"job '{job.id}', the only one", "begun")
        terminal.press("\x1c")
        assert terminal.ends() == 0
    list(workers.queue.cancel_all(Filter()))


def size_of(job: Job) -> str:
    """Return rows and columns of the terminal that a job has."""
    found = re.search(r"rows (\d+); columns (\d+)", modes_of(job))
    assert found
    return " ".join(found.groups())


def test_several_are_attached_at_once_and_all_see_the_end(begun: Callable[..., Job]) -> None:
    job = begun("read line; echo got $line; exit 3", pty=True)
    with ExitStack() as stack:
        both = [stack.enter_context(at_terminal("attach", job.id)) for _ in range(2)]
        for terminal in both:
            terminal.shows("leaves it running")
        both[0].press("hello\r")
        for terminal in both:
            terminal.shows("hello", "got hello", f"job '{job.id}' dead")
        assert [terminal.ends() for terminal in both] == [3, 3]


def test_ctrl_c_is_the_job_s(begun: Callable[..., Job]) -> None:
    job = begun(
        "trap 'echo caught; exit 0' INT; echo ready; while :; do sleep 0.05; done", pty=True
    )
    with at_terminal("attach", job.id) as terminal:
        terminal.shows("ready")
        terminal.press("ctrl-c")
        terminal.shows("caught", f"job '{job.id}' completed")
        assert terminal.ends() == 0


def test_a_terminal_that_is_left_is_as_it_was(workers: Fleet, begun: Callable[..., Job]) -> None:
    full = "printf '\\033[?1049h\\033[?25l\\033[?2004h\\033[31mfull screen'; read line"
    job = begun(full, pty=True)
    with at_terminal("attach", job.id) as terminal:
        terminal.shows("full screen")
        terminal.until(lambda: terminal.screen.cursor.hidden, "hidden cursor")
        terminal.press("\x1c")
        terminal.shows("goes on")
        assert terminal.ends() == 0
        assert not terminal.screen.cursor.hidden
        assert 2004 << 5 not in terminal.screen.mode
        assert terminal.screen.cursor.attrs.fg == "default"
    workers.queue.cancel(job.id)


def test_a_job_without_a_terminal_is_not_attached_to(begun: Callable[..., Job]) -> None:
    job = begun(READS, stdin=True)
    with at_terminal("attach", job.id) as terminal:
        terminal.shows("has no terminal", f"queuectl logs -f {job.id}")
        assert terminal.ends() == 4
    with at_terminal("send", job.id, "--eof") as terminal:
        assert terminal.ends() == 0


@pytest.mark.parametrize(("field", "shows"), [("pty", "file terminal\n"), ("stdin", "file file\n")])
def test_a_job_that_names_a_file_reads_that_alone(
    workers: Fleet, tmp_path: Path, field: str, shows: str
) -> None:
    (tmp_path / "lines").write_text("from the file\n")
    kind = 'k() { if test -t "$1"; then echo terminal; else echo file; fi; }; '
    command = f'{kind} exec 3>&1; echo "$(k 0) $(k 3)"; cat'
    given = {field: True, "input": str(tmp_path / "lines"), "max_retries": 1}
    outcome = workers.settled(workers.enqueue(command, None, **given)).outcome
    assert outcome is not None
    assert outcome.stdout == shows + "from the file\n"


def test_a_signal_never_reaches_the_worker_that_is_starting_the_job(tmp_path: Path) -> None:
    reached: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: reached.append(number))
    marker, home = Marker(), str(tmp_path / "home")
    try:
        with open_queue(home=home) as queue:
            queue.enqueue_one("sleep 60", id="a")
            play_worker(queue, jobs=1)
            marker.put(mark_of(queue.get("a").claim_id))  # as a worker does while it spawns
            run = subprocess.Popen(["sleep", "60"], start_new_session=True)
            line = [sys.executable, "-m", "queuectl.cli", "signal", "a", "USR1", "--home", home]
            subprocess.run(line, check=True, capture_output=True, env=environment())
        assert run.wait(10) == -signal.SIGUSR1
        assert not reached
    finally:
        marker.take_back()
        signal.signal(signal.SIGUSR1, before)
