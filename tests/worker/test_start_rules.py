"""Jobs that start only below a load, within hours, or after a preflight; nothing else waits."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import MAX_LOAD
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.times import UTC
from queuectl.domain.views import reason
from queuectl.system.run_processes import members
from queuectl.worker.options import Timings
from queuectl.worker.start_rules import StartRules
from tests.domain.jobs import NOW, SPEC, processing
from tests.worker.fleet import Fleet, eventually, fleet_in, lives, pids_in


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A home with one worker, which asks again soon whether a job may start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fleet, "timings", Timings(ask_again=0.05))
        with fleet_in(tmp_path_factory.mktemp("rules")) as fleet:
            fleet.set(kill_grace_seconds=0.3, preflight_seconds=3)
            fleet.start()
            yield fleet


def put_back(fleet: Fleet, job_id: str, times: int = 1) -> Job:
    """Wait until a job has been put back so often, and return it as it waits."""
    return eventually(
        lambda: (job := fleet.job(job_id)).put_backs >= times and job.state is State.PENDING and job
    )


def waits(fleet: Fleet, job: Job) -> str:
    """Return why a job waits, as all that show jobs say it."""
    return reason(job, fleet.queue.now(), wait_context=fleet.queue.wait_context()) or ""


# a preflight


def test_a_job_starts_once_its_preflight_ends_with_0_and_has_spent_nothing(quick: Fleet) -> None:
    ready = quick.root / "ready"
    job_id = quick.enqueue("echo ran", preflight="echo no disk >&2; test -e ready")
    job = put_back(quick, job_id, 2)
    assert (job.attempts, job.history, job.outcome) == (0, (), None)
    assert waits(quick, job) == "waits: preflight, exit code 1: no disk"
    assert quick.ran("true").state is State.COMPLETED, "no other waits for it"
    assert not list(quick.home.job_logs.glob(f"{job_id}/*")), "what it wrote is in no log"
    ready.write_text("")
    done = quick.settled(job_id)
    assert done.outcome is not None
    assert (done.state, done.attempts, done.outcome.stdout) == (State.COMPLETED, 1, "ran\n")
    assert (done.put_back, done.put_backs, len(done.history)) == (None, 0, 1)


def test_a_preflight_has_the_directory_and_the_environment_of_its_job(quick: Fleet) -> None:
    seen = quick.root / "seen"
    folder = quick.root / "folder"
    folder.mkdir()
    check = f'echo "$PWD $MARKED $QUEUECTL_JOB_ID $(pwd)" > {seen}'
    done = quick.ran("true", id="job1", cwd=str(folder), env={"MARKED": "yes"}, preflight=check)
    assert done.state is State.COMPLETED
    assert seen.read_text() == f"{folder} yes job1 {folder}\n"


def test_a_preflight_that_takes_too_long_is_ended_and_asked_again(quick: Fleet) -> None:
    pids = quick.root / "pids"
    job_id = quick.enqueue(
        "true", preflight=f"sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    )
    job = put_back(quick, job_id)
    assert waits(quick, job) == "waits: preflight, it exceeded 3s timeout"
    quick.queue.cancel(job_id)
    assert quick.settled(job_id).state is State.CANCELLED
    assert not any(lives(pid) for pid in pids_in(pids)), "nothing of it is left"


def test_what_a_preflight_leaves_behind_is_ended_with_it(quick: Fleet) -> None:
    pids = quick.root / "left"
    done = quick.ran("true", preflight=f"sleep 60 & echo $! > {pids}")
    assert done.state is State.COMPLETED
    (pid,) = pids_in(pids)
    assert not lives(pid)


def test_a_job_can_be_cancelled_while_its_preflight_runs(quick: Fleet) -> None:
    begun = quick.root / "begun"
    job_id = quick.enqueue("echo ran", preflight=f"echo $$ > {begun}; sleep 60")
    (pid,) = eventually(lambda: pids_in(begun))
    quick.queue.cancel(job_id)
    assert quick.settled(job_id).state is State.CANCELLED
    assert not lives(pid)


def test_a_job_that_is_paused_is_not_asked_again_until_it_is_resumed(quick: Fleet) -> None:
    job_id = quick.enqueue("true", preflight="test -e ready2")
    put_back(quick, job_id)

    def paused() -> bool:
        job = quick.job(job_id)
        if job.state is State.PENDING and not job.paused:
            quick.queue.pause(job_id)
        return quick.job(job_id).paused

    eventually(paused)
    asked = eventually(lambda: (job := quick.job(job_id)).state is State.PENDING and job.runs)
    (quick.root / "ready2").write_text("")
    assert quick.ran("true").state is State.COMPLETED
    assert quick.job(job_id).runs == asked
    quick.queue.resume(job_id)
    assert quick.settled(job_id).state is State.COMPLETED


def test_a_worker_that_is_killed_during_a_preflight_costs_no_attempt(fleet: Fleet) -> None:
    begun = fleet.root / "begun"
    (worker,) = fleet.start()
    once = f"test -s {begun} && exit 0; echo $$ >> {begun}; sleep 60"
    job_id = fleet.enqueue("echo ran", preflight=once, max_retries=1)
    (pid,) = eventually(lambda: pids_in(begun))
    os.kill(worker, signal.SIGKILL)
    done = fleet.settled(job_id)
    assert (done.state, done.attempts, done.interruptions) == (State.COMPLETED, 1, 1)
    assert not lives(pid)


def test_a_worker_that_is_stopped_gives_a_job_back_whose_preflight_runs(fleet: Fleet) -> None:
    begun = fleet.root / "begun"
    fleet.set(kill_grace_seconds=0.3)
    fleet.start()
    job_id = fleet.enqueue("true", preflight=f"echo $$ > {begun}; sleep 60")
    eventually(lambda: pids_in(begun))
    claim = fleet.job(job_id).claim_id
    fleet.stop(now=True)
    job = fleet.job(job_id)
    assert (job.state, job.attempts, job.history) == (State.PENDING, 0, ())
    assert members(claim, None) == []


def test_a_preflight_that_is_not_allowed_is_neither_enqueued_nor_run(fleet: Fleet) -> None:
    job_id = fleet.enqueue("true", preflight="touch was-run")
    fleet.set(denied_commands="touch *")
    with pytest.raises(InvalidInput, match="denied_commands has 'touch"):
        fleet.enqueue("true", preflight="touch was-run")
    fleet.start()
    dead = fleet.settled(job_id)
    assert dead.state is State.DEAD
    assert "Command is not allowed" in (dead.last_error or "")
    assert not (fleet.root / "was-run").exists()


# a load, and hours


def test_a_job_waits_for_a_load_that_is_low_enough(quick: Fleet) -> None:
    job_id = quick.enqueue("true", load_below=0.0001)
    job = put_back(quick, job_id)
    assert waits(quick, job).endswith(", to be below 0.0001")
    assert waits(quick, job).startswith("waits: load ")
    assert (job.attempts, job.history) == (0, ())
    assert quick.ran("true", load_below=MAX_LOAD).state is State.COMPLETED


@pytest.mark.parametrize(("load", "is_held_up"), [(12.34, True), (8.0, True), (7.99, False)])
def test_the_load_is_to_be_below_the_limit(
    monkeypatch: pytest.MonkeyPatch, load: float, is_held_up: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    end = StartRules(5.0).held_up(processing(replace(SPEC, load_below=8.0)), NOW)
    assert (end is not None) is is_held_up
    assert end is None or end.error == f"load {load:.1f}, to be below 8"


def test_it_is_asked_again_ever_later_up_to_a_minute() -> None:
    rules, job = StartRules(5.0), processing()
    longest = [rules.again(replace(job, put_backs=n), "why").postponed for n in range(40)]
    for n, wait in enumerate(longest):
        most = min(5.0 * 2**n, 60.0)
        assert 0.75 * most <= wait <= most


def test_hours_put_a_job_back_until_they_come() -> None:
    job = processing(replace(SPEC, between="22:00-06:00 UTC"))
    end = StartRules(5.0).held_up(job, datetime(2026, 6, 10, 20, tzinfo=UTC))
    assert end == Outcome(error="for its hours, 22:00-06:00 UTC", postponed=7200.0)
    assert StartRules(5.0).held_up(job, datetime(2026, 6, 10, 23, tzinfo=UTC)) is None
    almost = StartRules(5.0).held_up(job, datetime(2026, 6, 10, 21, 59, 59, 999000, tzinfo=UTC))
    assert almost is not None
    assert almost.postponed == 1.0, "it does not spin where two clocks differ"


def test_a_job_outside_its_hours_is_enqueued_for_when_they_come(quick: Fleet) -> None:
    now = quick.queue.now()
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} UTC"
    job = quick.job(quick.enqueue("true", between=closed))
    assert timedelta(hours=1) < job.run_at - now < timedelta(hours=3)
    assert job.runs == 0
    opened = f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} UTC"
    assert quick.ran("true", between=opened).state is State.COMPLETED


def test_a_job_that_becomes_due_outside_its_hours_is_put_back_once(quick: Fleet) -> None:
    now = quick.queue.now()
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} UTC"
    job_id = quick.enqueue("true", at="tomorrow 9:00")
    quick.queue.edit(job_id, {"between": closed, "run_at": now})
    job = put_back(quick, job_id)
    assert waits(quick, job) == f"waits: for its hours, {closed}"
    assert timedelta(hours=1) < job.run_at - now < timedelta(hours=3)
    assert (job.runs, job.put_backs) == (1, 1)


def test_a_worker_that_drains_stays_for_what_it_asks_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fleet, "timings", Timings(ask_again=0.05))
    job_id = fleet.enqueue("true", preflight="test -e ready")
    fleet.start(drain=True)
    put_back(fleet, job_id, 2)
    (fleet.root / "ready").write_text("")
    assert fleet.settled(job_id).state is State.COMPLETED
    eventually(lambda: fleet.pids() == [])
