"""What workers log: who, about which job, in which form, in files that stay small."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from queuectl.cli.worker_logs import show_logs
from queuectl.domain.errors import NotFound, StoreRefused
from queuectl.domain.job import State
from queuectl.domain.job_fields import Spec
from queuectl.domain.times import iso
from queuectl.queue import Queue
from queuectl.system.home import Home, Location
from queuectl.system.worker_logs import logs_of, worker_log
from queuectl.worker import log_files
from queuectl.worker import logging as logs
from tests.cli.harness import ROOT
from tests.domain.jobs import pending
from tests.worker.fleet import Fleet, eventually

SECRET = "hunter2"


def logged(fleet: Fleet, pid: int) -> list[str]:
    """Return the lines in the log of one worker."""
    (path,) = fleet.home.worker_logs.glob(f"*-{pid}-*.log")
    return path.read_text().splitlines()


def test_each_line_tells_the_worker_the_job_and_the_attempt(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    job = fleet.ran("exit 3", env={"API_TOKEN": SECRET})
    assert job.state is State.DEAD
    assert fleet.stop() == []
    started, *between, stopped = logged(fleet, pid)
    assert started.endswith(f"[worker {pid}] started")
    ended = f"[worker {pid}, job {job.id}, attempt 1] job '{job.id}' -> dead"
    assert any(ended in line for line in between)
    assert stopped.endswith(f"[worker {pid}] stopped")
    assert SECRET not in fleet.log()


def test_in_json_each_line_is_an_event_and_the_setting_holds_at_once(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    fleet.set(log_format="JSON")

    def event() -> dict[str, Any] | None:
        job = fleet.ran("true")
        line = logged(fleet, pid)[-1]
        return json.loads(line) if line.startswith("{") and job.id in line else None

    found = eventually(event)
    assert found is not None
    assert (found["level"], found["process"], found["pid"]) == ("info", "worker", pid)
    assert found["worker"].split("-")[-2] == str(pid)
    assert (found["run"], found["attempt"]) == (1, 1)
    assert found["message"] == f"job '{found['job']}' -> completed"
    assert found["time"].endswith("Z")


def test_every_process_has_a_file_of_its_own_that_nobody_else_can_read(fleet: Fleet) -> None:
    pids = fleet.start(2)
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: len(fleet.pids()) == 2 and pids[0] not in fleet.pids())

    def names() -> list[str]:
        return sorted(logs_of(fleet.home.worker_logs))

    def kinds() -> tuple[int, int]:
        supervisors = [name for name in names() if name.startswith("supervisor-")]
        return len(supervisors), len(names()) - len(supervisors)

    assert eventually(lambda: kinds() == (1, 3))
    (supervisor,) = logs_of(fleet.home.worker_logs)[names()[0]]
    assert eventually(lambda: f"worker {pids[0]} died (signal 9)" in supervisor.read_text())
    for path in fleet.home.worker_logs.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# one process


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a folder for logs."""
    found = Home(tmp_path)
    found.worker_logs.mkdir(parents=True)
    return found


@pytest.fixture
def here(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """This process logs as a worker into files of a few lines."""
    logger = logging.getLogger("queuectl")
    before = (logger.handlers[:], logger.level, logger.propagate, logging._srcfile)
    monkeypatch.setattr(logging, "logThreads", logging.logThreads)
    monkeypatch.setattr(logging, "logMultiprocessing", logging.logMultiprocessing)
    monkeypatch.setattr(logs, "_context", logs._Context())
    monkeypatch.setattr(log_files, "FILE_BYTES", 500)
    logs.log_to_file(home, "text")
    logs.be_worker(home, "host-1-abc")
    yield home
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate, logging._srcfile = before


def written(home: Home) -> list[str]:
    """Return all lines of the worker's files, the oldest first."""
    paths = logs_of(home.worker_logs)["host-1-abc"]
    return [line for path in paths for line in path.read_text().splitlines()]


def test_full_files_give_way_and_no_line_is_torn_or_lost_among_the_last(here: Home) -> None:
    job_log, log = logs.JobLog(), logging.getLogger("queuectl.worker")

    def tell(name: str, say: Callable[[str], None]) -> None:
        for number in range(100):
            say(f"{name} {number}")

    threads = [
        threading.Thread(target=tell, args=("told", job_log.log)),
        threading.Thread(target=tell, args=("logged", log.info)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line.rpartition("] ")[2].split() for line in written(here)]
    assert all(len(line) == 2 and line[0] in ("told", "logged") for line in lines)
    for name in ("told", "logged"):
        numbers = [int(number) for who, number in lines if who == name]
        assert numbers == list(range(100 - len(numbers), 100))
    paths = logs_of(here.worker_logs)["host-1-abc"]
    assert len(paths) == 1 + log_files.OLDER_FILES
    assert all(path.stat().st_size <= 500 for path in paths)


def test_lines_that_are_told_together_name_each_its_own_job(here: Home) -> None:
    jobs = [replace(pending(Spec(id=name, command="true")), attempts=1) for name in "ab"]
    logs.JobLog().log_each([(job, f"{job.id} is done") for job in jobs])
    assert [line.partition(", job ")[2] for line in written(here)] == [
        "a, attempt 1] a is done",
        "b, attempt 1] b is done",
    ]


def test_a_log_that_was_removed_with_its_directory_is_begun_again(here: Home) -> None:
    logs.JobLog().log("one")
    shutil.rmtree(here.logs)
    logs.JobLog().log("two")
    (line,) = written(here)
    assert line.endswith("two")
    assert stat.S_IMODE(here.logs.stat().st_mode) == 0o700


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_password_is_logged_and_no_line_can_be_forged(here: Home, log_format: str) -> None:
    logs.use_format(log_format)
    address = f"mongodb://me:{SECRET}@host/jobs"
    logs.JobLog().log(f"told of {address}\n2030-01-01T00:00:00.000 [worker 9] forged \x1b[2J")
    log = logging.getLogger("queuectl.worker")
    log.warning("cannot reach %s", address)
    try:
        raise ValueError(address)
    except ValueError:
        log.exception("failed")
    text = "\n".join(written(here))
    assert SECRET not in text
    assert text.count("mongodb://me:********@host/jobs") == 3
    assert "\x1b" not in text
    assert not any(line.startswith("2030") for line in written(here))
    if log_format == "json":
        events = [json.loads(line) for line in written(here)]
        assert [event["level"] for event in events] == ["info", "warning", "error"]
        assert "ValueError" in events[2]["exception"]


def test_a_log_that_is_a_link_is_refused(home: Home, tmp_path: Path) -> None:
    (home.worker_logs / "a.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreRefused):
        log_files.LogFile(home.worker_logs / "a.log")


def test_the_logs_of_ended_processes_are_kept_until_there_are_many(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "KEPT_PROCESSES", 2)
    host = socket.gethostname()
    living = worker_log(f"{host}-{os.getpid()}-abc")
    gone = [worker_log(f"{host}-{2**22 + n}-abc") for n in range(4)]
    for age, name in enumerate([*gone, f"{gone[3]}.1", "elsewhere-1-abc.log", living]):
        path = home.worker_logs / name
        path.touch()
        os.utime(path, (2**30 - age, 2**30 - age))
    os.utime(home.worker_logs / "elsewhere-1-abc.log")
    log_files.forget_old(home.worker_logs)
    left = {path.name for path in home.worker_logs.iterdir()}
    assert left == {gone[0], gone[1], "elsewhere-1-abc.log", living}


# reading them


def test_lines_are_shown_in_the_order_of_time_whatever_their_form(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    early, late = "2030-01-01T10:00:00.000 [worker 1] a", "2030-01-01T12:00:00.000 [worker 1] c"
    (home.worker_logs / "host-1-abc.log.1").write_text(f"{early}\n  below it\n")
    (home.worker_logs / "host-1-abc.log").write_text(f"{late}\n")
    event = json.dumps({"time": iso(datetime(2030, 1, 1, 11).astimezone()), "message": "b"})
    (home.worker_logs / "host-2-abc.log").write_text(f"{event}\n")
    assert show_logs(home.worker_logs, None, 10, live=False)
    assert capsys.readouterr().out == f"{early}\n  below it\n{event}\n{late}\n"
    assert show_logs(home.worker_logs, None, 2, live=False)
    assert capsys.readouterr().out == f"{event}\n{late}\n"
    assert show_logs(home.worker_logs, "1", 10, live=False)
    assert event not in capsys.readouterr().out
    with pytest.raises(NotFound):
        show_logs(home.worker_logs, "7", 10, live=False)


def test_lines_of_either_form_are_events_of_one_form_for_programs(
    here: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "FILE_BYTES", 100_000)
    logger, log = logging.getLogger("queuectl"), logs.JobLog()
    for log_format in ("text", "json"):
        logs.use_format(log_format)
        log.log("alone")
        log.hold(replace(pending(Spec(id="a", command="true")), attempts=2, runs=3))
        log.log("job 'a' -> completed")
        try:
            raise ValueError("no [worker 1] error: a")
        except ValueError:
            logger.exception("odd")
        log.hold(None)
    (here.worker_logs / "supervisor-7.log").write_text("2030-01-01T10:00:00.000 what is this\n")
    assert show_logs(here.worker_logs, None, 10, live=False, as_json=True)
    *events, unknown = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    told = [{**event, "time": "", "run": 0, "logger": ""} for event in events]
    assert told[:3] == told[3:]
    assert [event["run"] for event in events] == [None, None, None, None, 3, 3]
    assert {event["worker"] for event in events} == {"host-1-abc"}
    assert [event["attempt"] for event in events] == [None, 2, 2] * 2
    assert events[2]["level"] == "error"
    assert events[2]["exception"].endswith("ValueError: no [worker 1] error: a")
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert (unknown["message"][-4:], unknown["level"]) == ("this", None)


def test_logs_are_followed_from_file_to_file(here: Home) -> None:
    job_log = logs.JobLog()
    job_log.log("line 0")
    reader = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "worker", "logs", "-f", "--home", str(here.root)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert reader.stdout is not None
    try:
        found = [reader.stdout.readline()]
        for number in range(1, 31):
            job_log.log(f"line {number}")
            if number % 10 == 0:  # in less than all files together, so that nothing can be lost
                found += [reader.stdout.readline() for _ in range(10)]
    finally:
        reader.terminate()
        reader.communicate()
    assert [line.rpartition("] ")[2] for line in found] == [f"line {n}\n" for n in range(31)]
    assert len(logs_of(here.worker_logs)["host-1-abc"]) > 2


def test_in_the_foreground_a_collector_gets_events_too(home: Home) -> None:
    with Queue.open(Location(home, str(home.store_file))) as queue:
        queue.set_setting("log_format", "json")
        queue.enqueue([queue.request({"id": "a", "command": "echo 'said\taloud'"})])
    ended = subprocess.run(
        [sys.executable, "-m", "queuectl", "worker", "run", "--drain", "--home", str(home.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    told = [(event["message"], event["job"]) for event in events]
    assert told[0] == ("started", None)
    assert told[1:4] == [
        ("running job 'a': echo 'said\taloud'", "a"),
        ("job 'a' | said\taloud", "a"),
        ("job 'a' -> completed", "a"),
    ]
    assert told[-1] == ("stopped", None)
