"""A command that becomes another user cannot be killed, and must not hold its worker up.

The workers here are root without the right to signal other users' processes, which is what
anybody's workers are to a command that sudo has started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.job import State
from tests.cli.harness import environment
from tests.worker.fleet import Fleet, eventually, lives, pids_in

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root on Linux, with setpriv, can start a process that it may not kill",
)

WEAK = ["setpriv", "--bounding-set=-kill,-sys_ptrace", "--inh-caps=-kill,-sys_ptrace"]
OTHER_USER = "setpriv --reuid 65534 --clear-groups"
UNDYING = f"echo $$ >> pids; exec {OTHER_USER} sleep 60"


@pytest.fixture
def weak(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet with one worker that may not kill processes of others."""
    fleet.set(kill_grace_seconds=0.1, lease_seconds=4)
    weak_start(fleet)
    yield fleet
    for pid in pids_in(fleet.root / "pids"):
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def undying(fleet: Fleet) -> int:
    """Wait until the command has become another user, and return its pid."""

    def look() -> int:
        pids = pids_in(fleet.root / "pids")
        return pids[0] if pids and Path(f"/proc/{pids[0]}").stat().st_uid == 65534 else 0

    return eventually(look)


def weak_start(fleet: Fleet) -> None:
    """Start one worker without the right to kill."""
    queuectl = [sys.executable, "-m", "queuectl", "--home", str(fleet.home.root)]
    subprocess.run([*WEAK, *queuectl, "worker", "start"], check=True, env=environment())


def test_a_run_that_cannot_be_killed_ends_and_says_so_and_others_go_on(weak: Fleet) -> None:
    job = weak.ran(UNDYING, timeout=2)
    (pid,) = pids_in(weak.root / "pids")
    assert lives(pid)
    said = f"Job exceeded 2s timeout, its processes cannot be killed (pid {pid})"
    assert (job.state, job.last_error) == (State.DEAD, said)
    assert job.outcome is not None
    assert job.outcome.timed_out
    assert weak.ran("true").state is State.COMPLETED
    assert weak.stop() == []


def test_a_worker_is_stopped_now_though_its_run_cannot_be_killed(weak: Fleet) -> None:
    job = weak.running(weak.enqueue(UNDYING))
    undying(weak)
    assert weak.stop(now=True) == []
    after = weak.job(job.id)
    assert (after.state, after.attempts) == (State.PENDING, 0)
    assert "its processes cannot be killed" in (after.last_error or "")


def test_a_job_is_not_started_again_while_processes_of_its_run_cannot_be_killed(
    weak: Fleet,
) -> None:
    job_id = weak.enqueue(UNDYING, timeout=2, max_retries=2, backoff_base=0)
    pid = undying(weak)
    eventually(lambda: "Not started: run 1 was stopped" in weak.log())
    put_off = weak.job(job_id)
    assert (put_off.state, put_off.attempts, put_off.runs) == (State.PENDING, 1, 2)
    assert put_off.run_at > weak.queue.now()
    assert pids_in(weak.root / "pids") == [pid]


def test_a_job_of_a_killed_worker_waits_until_its_processes_have_ended(weak: Fleet) -> None:
    job = weak.running(weak.enqueue(UNDYING))
    pid = undying(weak)
    worker = weak.worker_of(job).process.pid
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: f"its processes cannot be killed (pid {pid})" in weak.log())
    ends_at = time.monotonic() + 6  # longer than the lease
    while time.monotonic() < ends_at:
        assert (weak.job(job.id).state, weak.job(job.id).runs) == (State.PROCESSING, 1)
        weak.ran("sleep 0.1")
    os.kill(pid, signal.SIGKILL)
    again = eventually(lambda: (now := weak.job(job.id)).runs == 2 and now)
    assert again.interruptions == 1
    eventually(lambda: len(pids_in(weak.root / "pids")) == 2)
