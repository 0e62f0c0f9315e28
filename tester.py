"""Try queuectl end to end, as a person would: PASS or FAIL for each scenario, and a summary.

python tester.py                          in a temporary home, on SQLite
python tester.py --store mongodb://...    in a temporary home, on that server

It uses a queue and ids of its own, so that a store in use is not disturbed, and deletes them.
The exit code is 0 only if every scenario passes.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

JOB_SECONDS = 20
COMMAND_SECONDS = 30
BACKOFF_BASE = 1.5
ANY_CODE = tuple(range(256))


class Failed(Exception):
    """A scenario did not turn out as promised."""


def expect(is_so: bool, otherwise: str) -> None:
    """Raise Failed unless something is so."""
    if not is_so:
        raise Failed(otherwise)


class Bench:
    """A temporary home, and the command line used on it."""

    def __init__(self, home: Path, store: str | None) -> None:
        self.home = home
        self.name = f"tester-{secrets.token_hex(4)}"
        self.ids: list[str] = []
        checkout = str(Path(__file__).resolve().parent)
        inherited = os.environ.get("PYTHONPATH")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("QUEUECTL_")},
            "QUEUECTL_HOME": str(home),
            "PYTHONPATH": os.pathsep.join([checkout, inherited] if inherited else [checkout]),
        }
        self.env.pop("MONGO_URI", None)
        if store:
            self.env["QUEUECTL_STORE"] = store

    def run(self, *words: str, accept: tuple[int, ...] = (0,)) -> str:
        """Run one queuectl command and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "queuectl", *words],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode not in accept:
            line = shlex.join(["queuectl", *words])
            raise Failed(f"{line} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def enqueue(self, name: str, command: str, *options: str) -> str:
        """Enqueue a job on the bench's own queue and return its id."""
        job_id = f"{self.name}-{name}"
        self.ids.append(job_id)
        self.run("enqueue", "--id", job_id, "--command", command, "--queue", self.name, *options)
        return job_id

    def wait(self, *ids: str) -> None:
        """Wait until jobs are settled or time is up; the exit code is that of a job."""
        self.run("wait", *ids, "--timeout", str(JOB_SECONDS), accept=ANY_CODE)

    def show(self, job_id: str) -> dict[str, Any]:
        """Return everything about one job."""
        shown: dict[str, Any] = json.loads(self.run("show", job_id, "--json"))
        return shown

    @contextmanager
    def workers(self, count: int) -> Iterator[None]:
        """Keep workers for the bench's own queue while the block runs."""
        try:
            self.run("worker", "start", "--count", str(count), "--queue", self.name)
            yield
        finally:
            self.run("worker", "stop", "--timeout", "10")

    def clean_up(self) -> None:
        """Delete what was enqueued, as far as the store allows it."""
        if self.ids:
            self.run("delete", "--force", *self.ids, accept=ANY_CODE)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one ISO time to another."""
    first, second = (
        datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (earlier, later)
    )
    return (second - first).total_seconds()


def success(bench: Bench) -> None:
    """a job runs and its output is kept"""
    job_id = bench.enqueue("success", "echo Hello from the queue")
    expect(bench.show(job_id)["state"] == "pending", "the job was not pending at first")
    with bench.workers(1):
        bench.wait(job_id)
    job = bench.show(job_id)
    expect(job["state"] == "completed", f"the job is {job['state']}: {job['last_error']}")
    expect(job["exit_code"] == 0, f"its exit code is {job['exit_code']}")
    expect(job["stdout"] == "Hello from the queue\n", f"its output is {job['stdout']!r}")


def retries(bench: Bench) -> None:
    """a failing job is retried with backoff, goes to the DLQ, and dlq retry starts it afresh"""
    flag = bench.home / "may-succeed"
    job_id = bench.enqueue(
        "retries",
        f"test -e {shlex.quote(str(flag))}",
        *("--max-retries", "3", "--backoff-base", str(BACKOFF_BASE)),
    )
    with bench.workers(1):
        bench.wait(job_id)
        job = bench.show(job_id)
        expect(job["state"] == "dead", f"the job is {job['state']}, not dead")
        expect(job["last_error"] == "Exit code 1", f"its last error is {job['last_error']!r}")
        runs = job["history"]
        expect(len(runs) == 3, f"it ran {len(runs)} times, not 3")
        for n, (run, following) in enumerate(pairwise(runs), start=1):
            gap = seconds_between(run["finished_at"], following["started_at"])
            due = BACKOFF_BASE**n
            expect(due <= gap < due + 2, f"retry {n} came after {gap:.1f} s, not {due:g} s")
        expect(job_id in bench.run("dlq", "list", "--json"), "dlq list does not show it")
        flag.touch()
        bench.run("dlq", "retry", job_id)
        bench.wait(job_id)
    job = bench.show(job_id)
    expect(job["state"] == "completed", f"after dlq retry it is {job['state']}")
    expect(job["attempts"] == 1, f"after dlq retry it counts {job['attempts']} attempts")
    expect(len(job["history"]) == 4, "its history was not kept")


def parallel(bench: Bench) -> None:
    """three workers run thirty jobs at the same time, each exactly once"""
    file = bench.home / "parallel"
    ids = [f"{bench.name}-parallel-{n}" for n in range(30)]
    bench.ids.extend(ids)
    jobs = [
        {"id": job_id, "queue": bench.name, "command": f"echo {job_id} >> {file}; sleep 0.1"}
        for job_id in ids
    ]
    batch = bench.home / "batch.jsonl"
    batch.write_text("".join(json.dumps(job) + "\n" for job in jobs), encoding="utf-8")
    bench.run("enqueue", "--file", str(batch))
    with bench.workers(3):
        bench.wait(*ids)
    lines = file.read_text(encoding="utf-8").split()
    expect(sorted(lines) == sorted(ids), f"{len(lines)} runs of {len(set(lines))} jobs, not 30")
    listed = json.loads(bench.run("list", "--queue", bench.name, "--json"))
    workers = {run["worker"] for job in listed if job["id"] in ids for run in job["history"]}
    expect(len(workers) > 1, "one worker ran everything")


def persistence(bench: Bench) -> None:
    """jobs outlive the workers: what was enqueued without one runs when one comes"""
    before = bench.enqueue("before", "true")
    with bench.workers(1):
        bench.wait(before)
    waiting = bench.enqueue("waiting", "echo still here")
    expect(bench.show(waiting)["state"] == "pending", "a job ran without a worker")
    with bench.workers(1):
        bench.wait(waiting)
    expect(bench.show(before)["state"] == "completed", "a completed job was forgotten")
    expect(bench.show(waiting)["stdout"] == "still here\n", "the waiting job did not run")


def timeout(bench: Bench) -> None:
    """a job that takes too long is killed with all its processes"""
    pipe = bench.home / "alive"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        command = f"exec 3>{shlex.quote(str(pipe))}; echo started >&3; sleep 300 & sleep 300; wait"
        job_id = bench.enqueue("timeout", command, "--timeout", "1", "--max-retries", "1")
        with bench.workers(1):
            bench.wait(job_id)
            expect(os.read(reader, 100) == b"started\n", "the job did not start")
            expect(has_ended(reader), "a process of the job is still alive")
    finally:
        os.close(reader)
    job = bench.show(job_id)
    expect(job["timed_out"] is True, "the job is not marked as timed out")
    expect(job["state"] == "dead", f"the job is {job['state']}, not dead")
    expect(job["last_error"] == "Job exceeded 1s timeout", f"last error: {job['last_error']!r}")


def has_ended(reader: int) -> bool:
    """Whether nobody holds the other end of a pipe any more, within five seconds."""
    readable, _, _ = select.select([reader], [], [], 5)
    return bool(readable) and os.read(reader, 1) == b""


SCENARIOS: tuple[Callable[[Bench], None], ...] = (
    success, retries, parallel, persistence, timeout,
)  # fmt: skip


def passes(scenario: Callable[[Bench], None], bench: Bench) -> bool:
    """Run one scenario and print how it went."""
    name = f"{scenario.__name__}: {scenario.__doc__}"
    started = time.monotonic()
    try:
        scenario(bench)
    except (Failed, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as fault:
        print(f"FAIL  {name}\n      {fault}", flush=True)
        return False
    print(f"PASS  {name} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def main() -> int:
    """Run every scenario; return the exit code."""
    summary, _, usage = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", help="a store to use, such as mongodb://HOST/DATABASE")
    store = parser.parse_args().store
    with tempfile.TemporaryDirectory(prefix="queuectl-tester-") as directory:
        bench = Bench(Path(directory).resolve(), store)
        try:
            results = [passes(scenario, bench) for scenario in SCENARIOS]
        finally:
            bench.clean_up()
    print(f"{sum(results)} of {len(results)} scenarios passed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
