"""A worker's life: what it claims, how it settles it, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from pathlib import Path

import pytest

from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.stores.mongo.store import MongoStore
from queuectl.stores.sqlite import transaction
from queuectl.system.job_logs import JobLogs
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Post, Watchdog
from queuectl.worker.supervision import manager
from queuectl.worker.worker import Worker
from tests.worker.fleet import PATIENCE_SECONDS, Fleet, eventually, fleet_in

CROWD_JOBS = 400
MEMORY_LIMIT_KB = 60 * 1024
BIG_OUTPUT = 300_000_000


def test_eight_workers_run_every_job_exactly_once(fleet: Fleet) -> None:
    ids = fleet.enqueue_all(
        {"id": f"job{n}", "command": f"echo {n} >> ran", "cwd": str(fleet.root)}
        for n in range(CROWD_JOBS)
    )
    fleet.start(8)
    assert {fleet.settled(job_id).state for job_id in ids} == {State.COMPLETED}
    ran = (fleet.root / "ran").read_text().split()
    assert sorted(map(int, ran)) == list(range(CROWD_JOBS))
    assert all(len(fleet.job(job_id).history) == 1 for job_id in ids)


@pytest.mark.parametrize(("base", "attempts"), [(0.5, 4), (2, 2)])
def test_retries_wait_as_the_backoff_says_and_end_in_the_dlq(
    workers: Fleet, base: float, attempts: int
) -> None:
    job = workers.settled(workers.enqueue("exit 7", max_retries=attempts, backoff_base=base))
    assert (job.state, job.last_error) == (State.DEAD, "Exit code 7")
    assert [run.exit_code for run in job.history] == [7] * attempts
    for number, (run, following) in enumerate(zip(job.history, job.history[1:], strict=False), 1):
        gap = (following.started_at - run.finished_at).total_seconds()
        assert base**number <= gap < base**number + 2


def test_a_job_that_recovers_is_completed(workers: Fleet) -> None:
    command = 'test "$QUEUECTL_ATTEMPT" = 3'
    job = workers.settled(workers.enqueue(command, max_retries=5, backoff_base=0.1))
    assert (job.state, job.attempts, job.runs) == (State.COMPLETED, 3, 3)


def test_a_buried_job_that_is_retried_starts_afresh(workers: Fleet) -> None:
    job = workers.ran("test -e repaired")
    assert job.state is State.DEAD
    (workers.root / "repaired").touch()
    workers.queue.retry_dead(job.id)
    again = workers.settled(job.id)
    assert (again.state, again.attempts, again.runs) == (State.COMPLETED, 1, 2)
    assert [run.n for run in again.history] == [1, 2]


def test_an_idle_worker_starts_a_new_job_at_once(workers: Fleet) -> None:
    waits = []
    for _ in range(10):
        job = workers.ran("true")
        assert job.started_at is not None
        waits.append((job.started_at - job.created_at).total_seconds())
    assert sorted(waits)[5] < 0.2


def test_a_running_job_is_cancelled_within_two_seconds(workers: Fleet) -> None:
    job = workers.running(workers.enqueue("sleep 60"))
    asked_at = workers.queue.now()
    workers.queue.cancel(job.id)
    job = workers.settled(job.id)
    assert job.state is State.CANCELLED
    assert job.finished_at is not None
    assert (job.finished_at - asked_at).total_seconds() < 2.5
    assert job.history[0].error == "Cancelled"


def test_a_job_that_is_waited_for_with_only_is_the_only_one_run(fleet: Fleet) -> None:
    other = fleet.enqueue("true")
    wanted = fleet.enqueue("true")
    (pid,) = manager.start(fleet.location, only=wanted)
    assert fleet.settled(wanted).state is State.COMPLETED
    assert eventually(lambda: pid not in fleet.pids())
    assert fleet.job(other).state is State.PENDING


def test_a_draining_worker_leaves_when_its_queues_have_nothing_more(fleet: Fleet) -> None:
    ids = [fleet.enqueue("true", queue="mine") for _ in range(5)]
    failing = fleet.enqueue("false", queue="mine", max_retries=2, backoff_base=0.2)
    later = fleet.enqueue("true", queue="mine", **{"in": "1h"})
    other = fleet.enqueue("true", queue="other")
    fleet.start(2, queues=("mine",), drain=True)
    assert eventually(lambda: not fleet.pids())
    assert {fleet.job(job_id).state for job_id in ids} == {State.COMPLETED}
    assert fleet.job(failing).state is State.DEAD
    assert {fleet.job(later).state, fleet.job(other).state} == {State.PENDING}


def test_a_draining_worker_runs_what_a_deletion_frees_that_was_cut_short(
    tmp_path: Path, mongo_url: str
) -> None:
    with fleet_in(tmp_path, mongo_url) as fleet:
        store = fleet.queue.store
        assert isinstance(store, MongoStore)
        fleet.enqueue("true", "p")
        parent = fleet.job("p")
        children = [fleet.enqueue("true", after_any=["p"]) for _ in range(3)]
        store.link.deleted.insert_one({"_id": "p", "seq": parent.seq, "announced_at": store.now()})
        store.link.jobs.delete_one({"_id": "p"})
        fleet.start(drain=True)
        assert eventually(lambda: not fleet.pids())
        assert {fleet.job(job_id).state for job_id in children} == {State.COMPLETED}


def test_workers_of_a_queue_leave_the_other_queues_alone(fleet: Fleet) -> None:
    first, second = (fleet.enqueue("true", queue=queue) for queue in ("a", "b"))
    fleet.start(queues=("b",))
    assert fleet.settled(second).state is State.COMPLETED
    assert fleet.job(first).state is State.PENDING


def test_settings_take_effect_without_a_restart(fleet: Fleet) -> None:
    fleet.set(lease_seconds=30)
    fleet.start()
    fleet.ran("true")
    fleet.set(lease_seconds=7)

    go = fleet.root / "go"

    def lease() -> bool:
        go.unlink(missing_ok=True)
        job = fleet.running(fleet.enqueue(f"until [ -e {go} ]; do sleep 0.02; done"))
        assert job.claim is not None
        assert job.started_at is not None
        go.touch()
        fleet.settled(job.id)
        return (job.claim.lease_until - job.started_at).total_seconds() < 8

    assert eventually(lease, 10)


def test_memory_stays_small_whatever_a_job_prints(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    job = fleet.ran(f"head -c {BIG_OUTPUT} /dev/zero")
    assert job.outcome is not None
    assert JobLogs(fleet.home).stdout(job.id, 1).stat().st_size == BIG_OUTPUT
    JobLogs(fleet.home).remove(job.id)
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < MEMORY_LIMIT_KB


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 256, reason="few descriptors")
def test_a_worker_keeps_no_descriptor_of_the_jobs_it_ran(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    fleet.ran("true")
    descriptors = Path(f"/proc/{pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        fleet.ran("true")
    # the heartbeat may have opened its store since; a leak would be twenty
    assert len(list(descriptors.iterdir())) < before + 10


def test_the_claim_reaches_the_disk_while_its_job_runs(fleet: Fleet) -> None:
    command = "touch started; until test -e synced; do sleep 0.01; done"
    job_id = fleet.enqueue(command, timeout=PATIENCE_SECONDS, max_retries=1)
    worker = os.fork()
    if worker == 0:
        with contextlib.suppress(BaseException):
            work_and_tell_of_syncs(fleet, job_id)
        os._exit(0)
    os.waitpid(worker, 0)
    assert fleet.job(job_id).state is State.COMPLETED


def work_and_tell_of_syncs(fleet: Fleet, job_id: str) -> None:
    """Be the worker of one job; make the file `synced` when it syncs while the job runs."""

    own = Queue.open(fleet.location)

    def sync(descriptor: int) -> None:
        os.fdatasync(descriptor)
        if threading.current_thread() is not threading.main_thread():
            return
        if own.get(job_id).state is State.PROCESSING:
            eventually((fleet.root / "started").exists)
            (fleet.root / "synced").touch()

    transaction._sync_data = sync
    post = Post()
    Worker(fleet.location, WorkerOptions(only=job_id), Watchdog(post), "w").run(lambda: None)
