"""How workers are stopped: gracefully, at once, in time, and from elsewhere."""

from __future__ import annotations

import os
import signal
import time

from queuectl.domain.job import State
from queuectl.domain.worker import StopRequest
from queuectl.worker import manager
from tests.worker.fleet import Fleet, eventually, lives, pids_in


def test_a_graceful_stop_lets_the_job_in_hand_finish_and_claims_no_other(fleet: Fleet) -> None:
    first, second = fleet.enqueue("sleep 1; echo done"), fleet.enqueue("true")
    fleet.start()
    fleet.running(first)
    assert fleet.stop() == []
    assert fleet.job(first).state is State.COMPLETED
    assert (fleet.job(second).state, fleet.job(second).runs) == (State.PENDING, 0)


def test_every_worker_of_a_stopping_fleet_finishes_its_job(fleet: Fleet) -> None:
    ids = [fleet.enqueue(f"touch begun{n}; sleep 1") for n in range(6)]
    fleet.start(6)
    eventually(lambda: len(list(fleet.root.glob("begun*"))) == len(ids))
    assert fleet.stop() == []
    assert {fleet.job(job_id).state for job_id in ids} == {State.COMPLETED}


def test_a_second_signal_gives_the_job_back_without_a_trace_on_its_retries(fleet: Fleet) -> None:
    job_id = fleet.enqueue("echo $$ > pids; sleep 60")
    (pid,) = fleet.start()
    fleet.running(job_id)
    (command,) = eventually(lambda: pids_in(fleet.root / "pids"))
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert eventually(lambda: not lives(pid))
    job = fleet.job(job_id)
    assert (job.state, job.attempts, job.interruptions) == (State.PENDING, 0, 0)
    assert [run.error for run in job.history] == ["Worker stopped"]
    assert not lives(command)


def test_stopping_now_gives_every_job_back(fleet: Fleet) -> None:
    ids = [fleet.enqueue("sleep 60") for _ in range(3)]
    fleet.start(3)
    for job_id in ids:
        fleet.running(job_id)
    begun = time.monotonic()
    assert fleet.stop(now=True) == []
    assert time.monotonic() - begun < 5
    assert {fleet.job(job_id).state for job_id in ids} == {State.PENDING}


def test_a_stop_that_takes_too_long_names_who_is_left(fleet: Fleet) -> None:
    job_id = fleet.enqueue("sleep 60")
    (pid,) = fleet.start()
    fleet.running(job_id)
    report = manager.stop(fleet.place, timeout=0.3)
    assert (report.stopped, report.left) == ([], [pid])
    assert fleet.job(job_id).state is State.PROCESSING
    assert fleet.stop(now=True) == []


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
    assert time.monotonic() - begun < 5


def test_one_worker_of_several_can_be_stopped_and_is_not_replaced(fleet: Fleet) -> None:
    first, second = fleet.start(2)
    report = manager.stop(fleet.place, pids={first}, timeout=30)
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


def test_stopping_where_nobody_works_is_no_error(fleet: Fleet) -> None:
    assert manager.stop(fleet.place, timeout=1).stopped == []


def test_a_worker_that_left_is_no_longer_registered(fleet: Fleet) -> None:
    fleet.start(2)
    assert len(fleet.queue.workers()) == 2
    fleet.stop()
    assert fleet.queue.store.workers() == []
    assert not fleet.home.pid_file.exists()
