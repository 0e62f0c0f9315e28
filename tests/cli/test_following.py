"""What a person at a terminal sees while jobs run, and while workers finish them."""

from __future__ import annotations

import json
import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from queuectl.cli.run import _provide_worker
from queuectl.cli.session import Session
from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import (
    Cli,
    bury,
    claim_next,
    environment,
    play_worker,
    process,
    run_next,
    running,
)

if os.name == "nt":
    pytest.skip("pexpect needs a Unix terminal", allow_module_level=True)

from tests.terminal import Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def run() -> Iterator[Start]:
    """Start command lines, each on a terminal of its own."""
    with ExitStack() as stack:

        def start(*args: str, columns: int = 80, rows: int = 24) -> Terminal:
            return stack.enter_context(Terminal(args, environment(), columns, rows))

        yield start


def test_waiting_for_jobs_shows_how_far_they_have_come(run: Start, cli: Cli) -> None:
    for job_id in ("a", "b", "c"):
        cli.ok("enqueue", job_id, "true", "--max-retries", "1")
    waiting = run("wait", "--all")
    waiting.shows("no worker is running", "0 of 3 done: 3 pending")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0, duration=1.5))
        waiting.shows("job 'a' completed in 1.5 s", "1 of 3 done: 2 pending, 1 completed")
        run_next(queue, Outcome(exit_code=3, error="Exit code 3"))
        waiting.shows("1 completed, 1 dead")
        run_next(queue, Outcome(exit_code=0))
    assert waiting.ends() == 1
    assert "done:" not in waiting.text
    assert [line.split("'")[1] for line in waiting.lines if line.startswith("job")] == list("abc")


def test_a_person_who_waits_for_many_is_told_once_that_no_worker_runs(run: Start) -> None:
    with open_queue() as queue:
        names = [f"job{n}" for n in range(100)]
        queue.enqueue([queue.request({"id": name, "command": "true"}) for name in names])
    waiting = run("wait", "--all")
    later = re.compile(r"0:0[1-9]  0 of 100 done")
    waiting.until(lambda: later.search(waiting.text) is not None, "second look")
    assert waiting.text.count("no worker is running") == 1


def test_waiting_shows_nothing_but_the_results_away_from_a_terminal(cli: Cli) -> None:
    bury("a", "b")
    waited = cli("wait", "a", "b")
    assert (waited.code, waited.err) == (1, "")
    assert waited.out.count("\n") == 2


def test_whoever_waits_away_from_a_terminal_is_told_too_that_no_worker_runs(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    for command in (["wait", "a"], ["wait", "--all", "--json"], ["logs", "-f", "a"]):
        out, err = meanwhile_read(*command)
        assert out.replace("[", "") == ""
        assert err.count("no worker is running: queuectl worker start") == 1
    cli.ok("enqueue", "b", "true", "--after", "a")
    assert "'b' is pending, and no worker is running" in meanwhile_read("logs", "-f", "b")[1]


def test_whoever_waits_is_told_of_a_queue_that_is_paused_and_of_workers_that_take_from_others(
    cli: Cli,
) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "shut")
    cli.ok("queue", "pause", "shut")
    cli.ok("worker", "start", "--queue", "other", "--queue", "shut")
    told = "queue 'shut' is paused: queuectl queue resume shut\n"
    for command in (["wait", "a", "--timeout", "4"], ["wait", "--all", "--timeout", "4"]):
        assert cli(*command).err == f"{told}queuectl: job 'a' is still pending\n"
    cli.ok("enqueue", "b", "true")
    assert meanwhile_read("wait", "b")[1] == (
        "no worker takes from queue default: queuectl worker start\n"
    )


def test_whoever_waits_is_told_of_workers_that_have_left_since(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--in", "1h")
    cli.ok("worker", "start")
    with running("wait", "a") as waiting:
        assert not select.select([waiting.err], [], [], 1.5)[0]
        cli.ok("worker", "stop")
        is_told = select.select([waiting.err], [], [], 30)[0]
        waiting.popen.terminate()
        assert is_told
        assert waiting.err.readline() == "no worker is running: queuectl worker start\n"


def meanwhile_read(*command: str) -> tuple[str, str]:
    """Return both streams of a command that waits, ended once it has told of something."""
    with running(*command) as waiting:
        is_told = select.select([waiting.err], [], [], 30)[0]
        line = waiting.err.readline() if is_told else ""
        result = waiting.ends(signal.SIGTERM)
    return result.out, line + result.err


def test_nothing_is_said_of_workers_where_nothing_is_waited_for(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    assert cli.refused(124, "wait", "a", "--timeout", "0").count("worker") == 0
    process("worker", "start")
    for command in (["wait", "a"], ["logs", "-f", "a"]):
        assert "worker" not in process(*command).err


def test_jobs_are_told_of_in_the_order_in_which_they_end(cli: Cli) -> None:
    bury("early")
    cli.ok("enqueue", "late", "true")
    waited = cli("wait", "late", "early", "--timeout", "0")
    assert waited.code == 124
    assert waited.out.startswith("job 'early' dead")
    assert "'late' is still pending" in waited.err


def test_several_jobs_are_followed_in_colours_of_their_own(run: Start, cli: Cli) -> None:
    cli.ok("enqueue", "a", "printf '\\033[31mred\\n'; echo plain")
    cli.ok("enqueue", "longer", "echo other; exit 2", "--max-retries", "1")
    process("worker", "start")
    following = run("logs", "-f", "a", "longer")
    following.shows("a      │ plain", "longer │ other", "job 'longer' dead", "job 'a' completed")
    assert following.ends() == 0
    row = next(y for y, line in enumerate(following.lines) if line.startswith("longer │"))
    cells = following.screen.buffer[row]
    assert (cells[0].fg, cells[9].fg) == ("brown", "default")


def test_a_run_after_the_first_is_announced() -> None:
    options = ("--max-retries", "2", "--backoff-base", "0.5")
    followed = process("run", "--id", "a", "--command", "echo hi; exit 1", *options)
    assert (followed.code, followed.out) == (1, "hi\nhi\n")
    assert "job 'a': run 2\n" in followed.err
    assert "retry 2/2" in followed.err
    last = followed.err.splitlines()[-1]
    assert (last[:12], last[-11:]) == ("job 'a' dead", "Exit code 1")
    assert "run 2" in process("logs", "-f", "a").err


def test_why_a_job_was_put_back_is_told_once_and_is_no_run(cli: Cli) -> None:
    cli.ok("enqueue", "a", "echo hi")
    why = "preflight, exit code 1: no disk"
    with open_queue() as queue:
        run_next(queue, Outcome(error=why, postponed=3600.0))
    assert meanwhile_read("logs", "-f", "a") == ("", f"job 'a' waits: {why}\n")


def test_whoever_runs_a_job_is_not_told_of_busy_workers_where_it_was_put_back(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.ok("enqueue", "a", "true")
    cli.ok("enqueue", "b", "true", "--queue", "other")
    with open_queue() as queue:
        run_next(queue, Outcome(error="preflight, exit code 1", postponed=3600.0))
        play_worker(queue, jobs=1)
        _provide_worker(Session(), queue, "a")
        assert capsys.readouterr().err == ""
        cli.ok("enqueue", "c", "true")
        _provide_worker(Session(), queue, "c")
        assert "waits, as the only worker is busy" in capsys.readouterr().err


def test_a_job_that_is_deleted_does_not_end_the_following_of_others(run: Start, cli: Cli) -> None:
    for job_id in ("a", "b"):
        cli.ok("enqueue", job_id, "true")
    with open_queue() as queue:
        following = run("logs", "-f", "a", "b")
        following.shows("'b' is pending, and no worker is running")
        cli.ok("delete", "a")
        following.shows("no job 'a'")
        run_next(queue, Outcome(exit_code=0))
    following.shows("job 'b' completed")
    assert following.ends() == 3


@pytest.mark.parametrize("ids", [["m1", "absent"], ["absent", "m1", "other", "m1"]])
def test_a_job_that_is_not_there_does_not_keep_others_from_being_followed(
    cli: Cli, ids: list[str]
) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "m1", "command": "true"})])
        run_next(queue, Outcome(exit_code=7, error="Exit code 7", stdout="fine\n"))
    cli.ok("cancel", "m1")
    followed = cli("logs", "-f", *ids)
    assert (followed.code, followed.out) == (3, "m1: fine\n")
    assert followed.err.count("queuectl: no job") == len(set(ids)) - 1
    assert "no job 'absent'" in cli.refused(3, "logs", "-f", "absent")
    assert cli("logs", "-f", "m1", "m1").code == 143


def test_a_job_with_a_time_says_so_while_it_is_followed(run: Start, cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--in", "2h")
    following = run("logs", "-f", "a")
    following.shows("job 'a' is pending: scheduled for")
    following.press("ctrl-c")
    assert following.ends() == 130


def test_an_interrupted_run_says_that_it_cancels(run: Start, cli: Cli) -> None:
    running = run("run", "--id", "a", "--command", "echo up; sleep 30")
    running.shows("up")
    running.press("ctrl-c")
    running.shows("\ncancelling job 'a'")
    assert running.ends() == 130
    assert cli.job("a")["state"] == "cancelled"


def test_stopping_says_which_job_is_waited_for(run: Start, cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cli.ok("enqueue", "slow", f"until [ -e {gate} ]; do sleep 0.1; done")
    process("worker", "start", "--count", "2")
    with open_queue() as queue:
        while not any(worker.job_id for worker in queue.workers()):
            queue.store.wait_for_work(0.05, os.pipe()[0])
    stopping = run("worker", "stop")
    stopping.shows("stopped", "waiting for worker", "(slow)")
    gate.touch()
    assert stopping.ends() == 0
    assert stopping.text.count("stopped") == 2
    assert "waiting" not in stopping.text


def test_a_long_batch_does_not_fill_the_terminal(run: Start, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    lines = (json.dumps({"id": f"job{n}", "command": "true"}) for n in range(2000))
    path.write_text("\n".join(lines))
    adding = run("enqueue", "--file", str(path))
    adding.shows("Enqueued job 'job9'", "… 2,000 jobs enqueued", "no worker is running")
    assert adding.ends() == 0
    assert "job10" not in adding.text
    assert cli.ok("status", "--json").json["counts"]["pending"] == 2000


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50), (40, 24)])
def test_one_job_is_shown_with_its_attempts_and_its_output(
    run: Start, columns: int, rows: int
) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "echo 漢字 \x1b[31m", "cwd": "/tmp"})])
        run_next(queue, Outcome(exit_code=7, error="Exit code 7", duration=2.0, stderr="oh\x07\n"))
    shown = run("show", "a", columns=columns, rows=max(rows, 45))
    shown.shows("failed (7)", "retry 2/3 at", "1 of 3", "RUN", "STARTED", "Exit code 7", "oh\\x07")
    assert shown.ends() == 0
    shown.shows("echo 漢字 \\x1b[31m", "created_at")


def test_the_status_counts_queues_where_there_are_several(run: Start, cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "gpu")
    assert "QUEUE    PENDING" not in run_to_end(run("status", rows=40))
    cli.ok("enqueue", "b", "true")
    with open_queue() as queue:
        claim_next(queue)
    shown = run_to_end(run("status", rows=40))
    assert "QUEUE    PENDING  PROCESSING" in shown
    assert "processing  1" in shown


def run_to_end(terminal: Terminal) -> str:
    """Return the screen that a command line leaves."""
    assert terminal.ends() == 0
    return terminal.text
