"""Pausing one job, waiting or running, and letting it go on."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import datetime, timedelta

import psutil
import pytest

from queuectl.domain.errors import NothingDone
from queuectl.domain.job import Job, State
from queuectl.domain.times import UTC
from queuectl.domain.views import reason
from queuectl.worker.runs import stopping
from queuectl.worker.runs.stopping import RunTimer
from tests.changing.conftest import Cli
from tests.stores.conftest import on_one_store
from tests.worker.fleet import Fleet, eventually, lives, run_members

UNTIL_TOLD = "until [ -e go ]; do sleep 0.05; done; echo done"
FAR_CHILD = "setsid sh -c 'touch far; sleep 300' & until [ -e far ]; do sleep 0.05; done"
STILL = {psutil.STATUS_STOPPED, psutil.STATUS_DISK_SLEEP}

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def stands_still(job: Job) -> bool:
    """Whether a run has processes, and every one of them is stopped.

    The one that waits for a stopped child to become a program of its own sleeps so deeply (see
    vfork(2)) that it cannot be stopped: it stands as still.
    """
    states = set[str]()
    for pid in run_members(job):
        with contextlib.suppress(psutil.NoSuchProcess):
            states.add(psutil.Process(pid).status())
    return psutil.STATUS_STOPPED in states and states <= STILL


def started(fleet: Fleet, command: str, job_id: str = "a", **fields: object) -> Job:
    """Enqueue a job and wait until its command has begun to run."""
    fleet.enqueue(f"touch begun; {command}", job_id, max_retries=1, **fields)
    fleet.start()
    job = fleet.running(job_id)
    eventually((fleet.root / "begun").exists)
    return job


@pytest.mark.parametrize("fields", [{}, {"run_at": datetime.now(UTC) - timedelta(hours=1)}])
def test_a_paused_job_is_not_claimed_until_it_is_resumed(
    fleet: Fleet, cli: Cli, fields: dict[str, object]
) -> None:
    fleet.enqueue("true", "a", **fields)
    assert cli.ok("jobs", "pause", "a").out == "Paused job 'a'\n"
    assert reason(fleet.job("a"), fleet.queue.now()) == "paused"
    fleet.start()
    assert fleet.ran("true").state is State.COMPLETED
    assert fleet.job("a").runs == 0
    assert cli.ok("job", "resume", "a").out == "Resumed job 'a'\n"
    assert fleet.settled("a").state is State.COMPLETED


def test_pausing_twice_and_resuming_what_goes_on_change_nothing(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a")
    assert "is not paused" in cli.refused(1, "jobs", "resume", "a")
    cli.ok("jobs", "pause", "a")
    assert "is paused already" in cli.refused(1, "jobs", "pause", "a")
    cli.ok("cancel", "a")
    assert fleet.job("a").paused is False
    assert "is cancelled" in cli.refused(4, "jobs", "pause", "a")
    assert "no job 'b'" in cli.refused(3, "jobs", "pause", "b")


@linux_only
@on_one_store
def test_a_running_job_stands_still_with_all_of_its_processes(fleet: Fleet, cli: Cli) -> None:
    job = started(fleet, f"{FAR_CHILD}; {UNTIL_TOLD}")
    eventually((fleet.root / "far").exists)
    assert cli.ok("jobs", "pause", "a").out == "Pausing job 'a'\n"
    eventually(lambda: stands_still(job))
    assert len(run_members(job)) >= 3
    assert "processing (paused)" in cli.ok("list").out
    assert cli.ok("list", "--json").json[0]["reason"] == "paused"
    (fleet.root / "go").touch()
    assert cli.ok("jobs", "resume", "a").out == "Resuming job 'a'\n"
    ended = fleet.settled("a")
    assert ended.state is State.COMPLETED
    assert (ended.runs, ended.paused) == (1, False)


@linux_only
@on_one_store
def test_the_clock_of_the_time_limit_stands_still_too_while_the_lease_goes_on(
    fleet: Fleet,
) -> None:
    job = started(fleet, UNTIL_TOLD, timeout=4)
    fleet.queue.pause("a")
    eventually(lambda: stands_still(job))
    assert job.claim is not None
    far_beyond = job.claim.lease_until + timedelta(seconds=4.5)

    def is_renewed() -> bool:
        claim = fleet.job("a").claim
        return claim is not None and claim.lease_until > far_beyond

    eventually(is_renewed)
    (fleet.root / "go").touch()
    fleet.queue.resume("a")
    ended = fleet.settled("a")
    assert (ended.state, ended.runs) == (State.COMPLETED, 1)


@on_one_store
@linux_only
def test_a_paused_run_that_is_cancelled_hears_that_it_shall_end(fleet: Fleet) -> None:
    job = started(fleet, "trap 'echo asked; exit 7' TERM; while :; do sleep 0.05; done")
    fleet.queue.pause("a")
    eventually(lambda: stands_still(job))
    fleet.queue.cancel("a")
    ended = fleet.settled("a")
    assert (ended.state, ended.paused) == (State.CANCELLED, False)
    assert ended.outcome is not None
    assert (ended.outcome.stdout, ended.outcome.exit_code) == ("asked\n", 7)


@on_one_store
@linux_only
def test_a_paused_run_is_given_back_when_its_worker_stops_at_once_and_stays_paused(
    fleet: Fleet,
) -> None:
    job = started(fleet, "sleep 300")
    fleet.queue.pause("a")
    eventually(lambda: stands_still(job))
    pids = run_members(job)
    assert fleet.stop(now=True) == []
    assert not [pid for pid in pids if lives(pid)]
    left = fleet.job("a")
    assert (left.state, left.attempts, left.paused) == (State.PENDING, 0, True)
    with pytest.raises(NothingDone):
        fleet.queue.pause("a")


def test_a_pause_does_not_count_towards_the_time_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    present, signals = [100.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: present[0])
    monkeypatch.setattr(stopping, "freeze_run", lambda *_: signals.append("stop"))
    monkeypatch.setattr(stopping, "continue_run", lambda *_: signals.append("continue"))
    watch = RunTimer("run", 1, present[0])
    for must_pause, later, worked in [(False, 2, 2), (True, 50, 2), (True, 9, 2), (False, 3, 5)]:
        watch.follow(must_pause)
        assert watch.is_paused is must_pause
        present[0] += later
        assert watch.seconds() == worked
    assert signals == ["stop", "continue"]
