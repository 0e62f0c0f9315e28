"""How workers are stopped: gracefully, at once, in time, and from elsewhere."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import State
from queuectl.domain.worker_record import StopRequest
from queuectl.system.home import Home, Location
from queuectl.worker.supervision import manager
from tests.worker.fleet import Fleet, eventually, fleet_in, lives, pids_in


def test_a_graceful_stop_lets_the_job_in_hand_finish_and_claims_no_other(fleet: Fleet) -> None:
    first, second = fleet.enqueue("touch begun; sleep 1; echo done"), fleet.enqueue("true")
    fleet.start()
    eventually((fleet.root / "begun").exists)
    assert fleet.stop() == []
    assert fleet.job(first).state is State.COMPLETED
    assert (fleet.job(second).state, fleet.job(second).runs) == (State.PENDING, 0)


def test_every_worker_of_a_stopping_fleet_finishes_its_job(fleet: Fleet) -> None:
    ids = [fleet.enqueue(f"touch begun{n}; sleep 1") for n in range(6)]
    fleet.start(6)
    eventually(lambda: len(list(fleet.root.glob("begun*"))) == len(ids))
    assert fleet.stop() == []
    assert {fleet.job(job_id).state for job_id in ids} == {State.COMPLETED}


def test_ctrl_c_pressed_twice_gives_the_job_back_without_a_trace_on_its_retries(
    fleet: Fleet,
) -> None:
    job_id = fleet.enqueue("echo $$ > pids; sleep 60")
    (pid,) = fleet.start()
    fleet.running(job_id)
    (command,) = eventually(lambda: pids_in(fleet.root / "pids"))
    (supervisor,) = fleet.supervisors
    os.kill(supervisor, signal.SIGINT)
    eventually(lambda: interrupted_again(supervisor, pid))
    job = fleet.job(job_id)
    assert (job.state, job.attempts, job.interruptions) == (State.PENDING, 0, 0)
    assert [run.error for run in job.history] == ["Worker stopped"]
    assert not lives(command)


def interrupted_again(supervisor: int, worker: int) -> bool:
    """Press Ctrl-C again, as keys come: not at the same moment; return whether it has helped."""
    time.sleep(0.25)
    if lives(supervisor):
        os.kill(supervisor, signal.SIGINT)
    return not lives(worker)


def test_who_asks_again_does_not_end_the_jobs_that_were_promised_to_finish(fleet: Fleet) -> None:
    job_id = fleet.enqueue("touch begun; while [ ! -e go ]; do sleep 0.01; done")
    (pid,) = fleet.start()
    eventually((fleet.root / "begun").exists)
    for _ in range(3):
        assert manager.stop(fleet.location, timeout=0.3).left == [pid]
    (fleet.root / "go").touch()
    assert fleet.stop() == []
    job = fleet.job(job_id)
    assert (job.state, job.runs, job.interruptions) == (State.COMPLETED, 1, 0)


def test_workers_are_found_without_the_pid_file(tmp_path: Path, store_url: str) -> None:
    with fleet_in(tmp_path, store_url) as fleet:
        pids = fleet.start(2)
        fleet.home.pid_file.unlink()
        report = manager.stop(fleet.location, timeout=30)
        assert sorted(report.stopped) == pids
        eventually(lambda: not any(map(lives, fleet.supervisors)))


def test_workers_are_found_by_another_name_of_their_home(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    fleet.home.pid_file.unlink()
    (fleet.root / "link").symlink_to(fleet.home.root)
    link = Home(fleet.root / "link")
    assert manager.stop(Location(link, fleet.location.store_url), timeout=30).stopped == [pid]


def test_workers_are_found_with_a_damaged_pid_file_which_is_told(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    fleet.home.pid_file.write_text("{")
    told: list[QueuectlError] = []
    report = manager.stop(fleet.location, timeout=30, on_fault=told.append)
    assert report.stopped == [pid]
    assert [str(fault) for fault in told] == [f"{fleet.home.pid_file} is damaged"]


def test_workers_of_another_home_that_share_the_store_are_left_alone(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    elsewhere = Location(Home(fleet.root / "other"), fleet.location.store_url)
    assert manager.stop(elsewhere, timeout=30).stopped == []
    assert fleet.pids() == [pid]
    assert not elsewhere.home.root.exists()


@pytest.mark.parametrize("now", [False, True])
def test_a_worker_and_a_supervisor_that_stand_still_can_be_stopped(fleet: Fleet, now: bool) -> None:
    (pid,) = fleet.start()
    (supervisor,) = fleet.supervisors
    for each in (supervisor, pid):
        os.kill(each, signal.SIGSTOP)
    assert fleet.stop(now=now) == []
    eventually(lambda: not lives(supervisor))


def test_stopping_now_gives_every_job_back(fleet: Fleet) -> None:
    ids = [fleet.enqueue("sleep 60") for _ in range(3)]
    fleet.start(3)
    for job_id in ids:
        fleet.running(job_id)
    begun = time.monotonic()
    assert fleet.stop(now=True) == []
    assert time.monotonic() - begun < 30
    assert {fleet.job(job_id).state for job_id in ids} == {State.PENDING}


def test_a_stop_that_takes_too_long_names_who_is_left_and_can_be_made_one_at_once(
    fleet: Fleet,
) -> None:
    job_id = fleet.enqueue("sleep 60")
    (pid,) = fleet.start()
    fleet.running(job_id)
    report = manager.stop(fleet.location, timeout=0.3)
    assert (report.stopped, report.left) == ([], [pid])
    assert fleet.job(job_id).state is State.PROCESSING
    assert fleet.stop(now=True) == []
    assert fleet.job(job_id).state is State.PENDING


def test_stop_grace_ends_a_job_that_goes_on_for_too_long(fleet: Fleet) -> None:
    fleet.set(stop_grace_seconds=0.5, kill_grace_seconds=0.2)
    job_id = fleet.enqueue("sleep 60")
    fleet.start()
    fleet.running(job_id)
    assert fleet.stop() == []
    assert fleet.job(job_id).state is State.PENDING


def test_idle_workers_stop_at_once(fleet: Fleet) -> None:
    fleet.set(poll_interval_sec=60)
    fleet.start(2)
    fleet.ran("true")
    begun = time.monotonic()
    assert fleet.stop() == []
    assert time.monotonic() - begun < 30


def test_one_worker_of_several_can_be_stopped_and_is_not_replaced(fleet: Fleet) -> None:
    first, second = fleet.start(2)
    report = manager.stop(fleet.location, pids={first}, timeout=30)
    assert report.stopped == [first]
    assert fleet.ran("true").state is State.COMPLETED
    assert fleet.pids() == [second]


def test_workers_can_be_asked_through_the_store(fleet: Fleet) -> None:
    job_id = fleet.enqueue("sleep 60")
    (pid,) = fleet.start()
    record = fleet.worker_of(fleet.running(job_id))
    fleet.queue.ask_workers_to_stop([record.id], StopRequest.NOW)
    assert eventually(lambda: not lives(pid))
    assert fleet.job(job_id).state is State.PENDING


def test_workers_that_left_are_not_replaced_nor_registered_and_to_stop_nobody_is_no_error(
    fleet: Fleet,
) -> None:
    fleet.start(2)
    assert len(fleet.queue.workers()) == 2
    assert fleet.stop() == []
    assert not any(map(lives, fleet.supervisors))
    assert fleet.queue.store.workers.all() == []
    assert not fleet.home.pid_file.exists()
    assert manager.stop(fleet.location, timeout=1).stopped == []
