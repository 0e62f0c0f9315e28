"""Running command lines: in this process for speed, or as a process of its own."""

from __future__ import annotations

import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

from queuectl.cli.app import execute
from queuectl.cli.session import Session
from queuectl.domain.errors import ExitCode
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import expire, finish
from queuectl.domain.worker_record import LiveWorker, WorkerRecord
from queuectl.queue import Queue, open_queue
from queuectl.stores.exchange import ClaimRequest
from queuectl.system.processes import this_process

ROOT = Path(__file__).parents[2]
CODES = frozenset(int(code) for code in ExitCode)
VARIABLES = (
    "MONGO_URI QUEUECTL_STORE QUEUECTL_FOREGROUND NO_COLOR XDG_DATA_HOME QUEUECTL_HOME".split()
)


@dataclass(frozen=True)
class Result:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What standard output holds, which must be JSON and nothing else."""
        return json.loads(self.out)


class Cli:
    """Runs command lines in this process, as `queuectl` would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *args: str, stdin: str | bytes = "") -> Result:
        """Run one command line with what it finds on standard input."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        source = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
        self._monkeypatch.setattr(sys, "stdin", source)
        self._capsys.readouterr()
        code = execute(args, Session())
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "-v shows where" not in captured.err
        return Result(code, captured.out, captured.err)

    def ok(self, *args: str, stdin: str | bytes = "") -> Result:
        """Run a command line that must succeed."""
        result = self(*args, stdin=stdin)
        assert result.code == 0, result
        return result

    def ids(self, *options: str) -> list[str]:
        """Return the ids of the jobs that `list` shows with some options."""
        return [job["id"] for job in self.ok("list", *options, "--json").json]

    def job(self, job_id: str) -> Any:
        """Return all that `show` tells of a job."""
        return self.ok("show", job_id, "--json").json

    def refused(self, code: int, *args: str, stdin: str | bytes = "") -> str:
        """Run a command line that must be refused with one line; return that line."""
        result = self(*args, stdin=stdin)
        assert result.code == code, result
        assert result.err.startswith("queuectl: "), result
        assert result.err.count("\n") == 1, result
        return result.err


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Command lines in this process."""
    return Cli(capsys, monkeypatch)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the test's own, nothing of the user's, and no process left behind."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    found = tmp_path / "home"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("QUEUECTL_HOME", str(found))
    monkeypatch.setenv("TERM", "dumb")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield found
    if (found / "workers.pid").exists():
        from queuectl.system.home import Home, Location
        from queuectl.worker.supervision import manager

        manager.stop(Location(Home(found), str(found / "queue.db")), now=True, timeout=20)


def process(*args: str, stdin: str = "", timeout: float = 60) -> Result:
    """Run `python3 -m queuectl.cli` as a process of its own, away from any terminal."""
    return program([sys.executable, "-m", "queuectl.cli", *args], stdin=stdin, timeout=timeout)


def program(args: Sequence[str], *, stdin: str = "", timeout: float = 60) -> Result:
    """Run a program to its end, with this checkout on its path."""
    ended = subprocess.run(
        args, input=stdin, capture_output=True, text=True, timeout=timeout, env=environment(),
        check=False,
    )  # fmt: skip
    return Result(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def running(*args: str, **variables: str) -> Iterator[Running]:
    """Run a command line as a process of its own, with more variables in its environment."""
    with subprocess.Popen(
        [sys.executable, "-m", "queuectl", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**environment(), **variables},
    ) as popen:  # fmt: skip
        assert popen.stdout is not None
        assert popen.stderr is not None
        yield Running(popen, popen.stdout, popen.stderr)


class Running(NamedTuple):
    """A process that runs, and the streams that it writes."""

    popen: subprocess.Popen[str]
    out: IO[str]
    err: IO[str]

    def ends(self, number: int | None = None) -> Result:
        """Return how it has ended, after a signal of that number if there is one."""
        if number is not None:
            self.popen.send_signal(number)
        out, err = self.popen.communicate(timeout=30)
        return Result(self.popen.returncode, out, err)


def answered(args: Sequence[str], question: str, answer: str) -> int:
    """Run a command line at a terminal, where it asks a question; return its exit code."""
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", "queuectl", *args], timeout=60, encoding="utf-8", env=environment()
    )
    child.expect_exact(question)
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None, "a signal ended it"
    return child.exitstatus


def environment() -> dict[str, str]:
    """Return the environment for a process that shall find this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run_next(queue: Queue, outcome: Outcome) -> Job:
    """Play a worker that claims the next job and ends it with an outcome."""
    job = claim_next(queue)
    change = finish(job, outcome, queue.now())
    assert queue.store.commit(change)
    return queue.get(job.id)


def claim_next(queue: Queue, *, alone: bool = True) -> Job:
    """Play a worker that claims the next job and keeps it, beside others unless `alone`."""
    job = queue.store.claim(ClaimRequest(f"claim{os.urandom(4).hex()}", "worker1", 30, alone=alone))
    assert job is not None
    return job


def lose_next(queue: Queue, *, alone: bool = True) -> Job:
    """Play a worker that dies with the next job in hand, and another that takes it back."""
    job = claim_next(queue, alone=alone)
    assert queue.store.commit(expire(job, queue.now(), 5))
    return queue.get(job.id)


def play_worker(queue: Queue, slots: int = 1, jobs: int = 0) -> LiveWorker:
    """Play a worker that is alive, with so many slots and jobs in hand."""
    now = queue.now()
    record = WorkerRecord(
        "worker1", this_process(), socket.gethostname(), str(queue.home.root), (), now, now,
        slots=slots,
    )  # fmt: skip
    queue.store.workers.register(record)
    held = [claim_next(queue, alone=slots == 1) for _ in range(jobs)]
    return LiveWorker(record, tuple(job.id for job in held))


def bury(*ids: str, error: str = "Exit code 1") -> None:
    """Put jobs into the dead letter queue, each after its one attempt."""
    with open_queue() as queue:
        for job_id in ids:
            queue.enqueue([queue.request({"id": job_id, "command": "false", "max_retries": 1})])
            run_next(queue, Outcome(exit_code=1, error=error, duration=0.5, stderr="oh no\n"))


def fill(home: Path, number: int, digits: int) -> None:
    """Enqueue `job0…`, `job1…` and so on.

    All but the first are copied within the file: as many ordinary enqueues would take longer
    than all that is done with them.
    """
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": f"job{0:0{digits}}", "command": "true"})])
    with closing(sqlite3.connect(home / "queue.db")) as base, base:
        names = [row[1] for row in base.execute("PRAGMA table_info (jobs)")]
        kept = ", ".join(name for name in names if name not in ("seq", "id", "rev"))
        base.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            f" WHERE i < {number - 1})"
            f" INSERT INTO jobs (id, rev, {kept})"
            f" SELECT printf('job%0{digits}d', i), 2, {kept} FROM jobs, n"
        )
        base.execute("UPDATE counts SET jobs = ? WHERE state = 'pending'", (number,))
        base.execute("UPDATE queue_priority_counters SET ready = ?", (number,))
