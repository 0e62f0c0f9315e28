"""Commands with real workers: each test starts its own and leaves none."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cli.harness import Cli, process, running

pytestmark = pytest.mark.skipif(os.name == "nt", reason="workers need a Unix")


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_workers_are_started_added_shown_and_stopped(cli: Cli) -> None:
    started = process("worker", "start", "--count", "2")
    assert started.out.startswith("Started 2 worker(s): [")
    pids = [int(word) for word in started.out.split("[")[1].strip("]\n").split(", ")]
    process("worker", "start")
    workers = cli.ok("status", "--json").json["workers"]
    assert len(workers) == 3
    assert set(pids) < {worker["pid"] for worker in workers}
    assert all(worker["state"] == "idle" and worker["job"] is None for worker in workers)
    assert str(pids[0]) in cli.ok("status").out
    assert len(cli.ok("worker", "list").out.splitlines()) == 4
    for name in (str(pids[0]), workers[0]["id"]):
        assert "started" in cli.ok("worker", "logs", name).out
    cli.refused(3, "worker", "logs", "nobody")
    assert cli.ok("worker", "stop", str(pids[0])).out == f"Worker {pids[0]} stopped\n"
    assert cli.ok("worker", "stop").out.count("stopped") == 2
    assert cli.ok("worker", "stop").out == "No workers are running\n"
    assert cli.ok("status", "--json").json["workers"] == []


def test_a_worker_that_is_not_there_is_refused(cli: Cli) -> None:
    cli.refused(3, "worker", "stop", "1")
    cli.refused(3, "worker", "stop", "--all-hosts", "nobody")
    assert cli.ok("worker", "stop", "--all-hosts").out == "No workers are running\n"


def test_the_fleet_is_stopped_through_the_store(cli: Cli) -> None:
    process("worker", "start", "--count", "2")
    assert cli.ok("worker", "stop", "--all-hosts", "--timeout", "30").out.count("stopped") == 2


def test_stopping_takes_no_longer_than_asked(cli: Cli, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    cli.ok("enqueue", "a", f"touch {begun}; sleep 30")
    process("worker", "start")
    until(begun.exists)  # one that is claimed and not begun is given back at once
    assert "--now" in cli.refused(124, "worker", "stop", "--timeout", "0.2")
    cli.ok("worker", "stop", "--now")
    assert cli.job("a")["state"] == "pending"


def test_when_stopping_at_once_takes_too_long_the_advice_is_another(cli: Cli) -> None:
    process("worker", "start")
    told = cli.refused(124, "worker", "stop", "--now", "--timeout", "0")
    assert "--now" not in told
    assert "kill -9" in told
    cli("worker", "stop", "--now")


def test_workers_that_the_pid_file_does_not_name_are_stopped(cli: Cli, home: Path) -> None:
    process("worker", "start", "--count", "2")
    (home / "workers.pid").unlink()
    pid = cli.ok("worker", "list", "--json").json[0]["pid"]
    assert cli.ok("worker", "stop", str(pid)).out == f"Worker {pid} stopped\n"
    assert cli.ok("worker", "stop").out.count("stopped") == 1


def test_workers_of_another_home_are_named_when_there_is_none_to_stop(cli: Cli, home: Path) -> None:
    process("worker", "start")
    result = cli.ok("--home", "other", "--store", str(home / "queue.db"), "worker", "stop")
    assert result.out == "No workers are running\n"
    assert "this store has 1 worker of other homes or hosts" in result.err
    cli.ok("worker", "stop")


def opens_a_store(pid: int) -> bool:
    """Whether a process has loaded what reads the embedded store."""
    return "_sqlite3" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def test_ctrl_c_while_workers_are_waited_for_leaves_the_jobs_their_time(cli: Cli) -> None:
    cli.ok("enqueue", "a", "touch begun; while [ ! -e go ]; do sleep 0.01; done")
    process("worker", "start")
    until(Path("begun").exists)
    for _ in range(2):
        with running("worker", "stop") as stopping:
            until(partial(opens_a_store, stopping.popen.pid))  # after those of the PID file
            result = stopping.ends(signal.SIGINT)
        assert result.code == 130
        assert "Traceback" not in result.err
    assert cli.job("a")["state"] == "processing"
    Path("go").touch()
    cli.ok("worker", "stop")
    assert cli.job("a")["state"] == "completed"


def test_the_foreground_shows_what_happens_and_stops_gracefully(cli: Cli) -> None:
    cli.ok("enqueue", "job1", "echo Hello")
    with running("worker", "start", QUEUECTL_FOREGROUND="1") as worker:
        until(lambda: cli.job("job1")["state"] == "completed")
        result = worker.ends(signal.SIGTERM)
    assert result.code == 0
    for part in ("started", "running job 'job1': echo Hello", "Hello", "'job1' -> completed"):
        assert part in result.out


def test_a_drain_ends_by_itself(cli: Cli) -> None:
    cli.ok("enqueue", "a", "exit 3", "--max-retries", "2", "--backoff-base", "0")
    assert process("worker", "run", "--drain").code == 0
    assert cli.job("a")["state"] == "dead"


@pytest.mark.parametrize(
    ("command", "code"),
    [("echo out; echo err >&2", 0), ("exit 7", 7), ("kill -9 $$", 137), ("no-such-program", 127)],
)
def test_run_works_the_job_itself_and_ends_with_its_code(cli: Cli, command: str, code: int) -> None:
    result = process("run", "--max-retries", "1", "--id", "a", "--command", command)
    assert result.code == code
    if code == 0:
        assert (result.out, result.err) == ("out\n", "err\n")
    until(lambda: cli.ok("status", "--json").json["workers"] == [])


def test_a_worker_that_another_run_started_for_itself_is_none_for_this_run(
    cli: Cli, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    command = f"touch {begun}; until test -e {begun}2; do sleep 0.05; done"
    with running("run", command) as first:
        until(begun.exists)
        assert process("run", "echo two").out == "two\n"
        cli.ok("enqueue", "waits", "true")
        assert cli.job("waits")["reason"] == "no worker is running"
        (tmp_path / "begun2").touch()
        assert first.ends().code == 0


def test_run_of_a_job_that_is_there_already_follows_that_and_says_so(cli: Cli) -> None:
    cli.ok("enqueue", "first", "echo once", "--unique", "k")
    result = process("run", "echo again", "--unique", "k")
    assert (result.code, result.out) == (0, "once\n")
    assert "job 'first' with this unique key waits or runs already; following that" in result.err


def test_run_ends_with_124_when_the_job_times_out() -> None:
    assert process("run", "sleep 20", "--max-retries", "1", "--timeout", "0.2").code == 124


def test_run_uses_a_worker_that_is_alive(cli: Cli) -> None:
    process("worker", "start")
    result = process("run", "a", "--", "sh", "-c", "echo $0 $1", "x y", "z")
    assert (result.code, result.out) == (0, "x y z\n")
    worker = cli.ok("status", "--json").json["workers"][0]["id"]
    assert cli.job("a")["worker"] == worker


def test_run_says_that_it_waits_for_workers_that_are_busy(cli: Cli) -> None:
    cli.ok("enqueue", "long", "sleep 60")
    process("worker", "start")
    until(lambda: cli.job("long")["state"] == "processing")
    with running("run", "echo mine") as run:
        line = run.err.readline()
        cli.ok("cancel", "long")
        assert run.ends().out == "mine\n"
    assert "waits, as the only worker is busy: queuectl status shows with what" in line


def test_an_interrupted_run_cancels_its_job(cli: Cli) -> None:
    with running("run", "--id", "a", "--command", "echo up; sleep 30") as run:
        assert run.out.readline() == "up\n"
        result = run.ends(signal.SIGINT)
    assert (result.code, result.err) == (130, "cancelling job 'a'\n")
    assert cli.job("a")["state"] == "cancelled"


def test_logs_are_followed_to_the_end(cli: Cli) -> None:
    cli.ok("enqueue", "a", "echo one; sleep 0.3; echo two; exit 4", "--max-retries", "1")
    cli.ok("enqueue", "b", "echo three")
    process("worker", "start", "--count", "2")
    assert process("logs", "-f", "a").out == "one\ntwo\n"
    assert process("logs", "-f", "a").code == 4
    both = process("logs", "-f", "a", "b")
    assert sorted(both.out.splitlines()) == ["a: one", "a: two", "b: three"]
    assert both.code == 0
    assert process("wait", "a").code == 4


def test_a_running_job_is_cancelled(cli: Cli) -> None:
    cli.ok("enqueue", "a", "sleep 30")
    process("worker", "start")
    until(lambda: cli.job("a")["state"] == "processing")
    assert cli.ok("cancel", "a").out == "Stopping job 'a'\n"
    assert cli("wait", "a", "--timeout", "20").code == 143


def test_a_running_job_is_deleted_by_force(cli: Cli) -> None:
    cli.ok("enqueue", "a", "sleep 30")
    process("worker", "start")
    until(lambda: cli.job("a")["state"] == "processing")
    cli.refused(4, "delete", "a")
    assert "deleted" in cli.ok("delete", "--force", "a").out
    cli.refused(3, "show", "a")


def test_a_file_that_workers_cannot_write_is_named_before_any_is_started(
    cli: Cli, home: Path
) -> None:
    cli.ok("init")
    (home / "workers.lock").mkdir()
    assert str(home / "workers.lock") in cli.refused(5, "worker", "start")
    assert list((home / "logs" / "workers").iterdir()) == []
