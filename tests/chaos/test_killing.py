"""Workers and supervisors are killed or stopped while they run something."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from queuectl.domain.job import Job, State
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.stores.exchange import ClaimRequest
from queuectl.system import pidfile
from queuectl.system.processes import has_write_lock, is_stopped
from tests.stores.conftest import slow_on_mongo
from tests.worker.fleet import Fleet, eventually, lives, pids_in, run_members

LEASE_SECONDS = 4.0
TICK_SECONDS = 1.0
SLACK_SECONDS = 8.0
"""What a machine that is busy with other tests may take on top."""

ROUNDS = int(os.environ.get("QUEUECTL_RECOVERY_ROUNDS", "3"))
"""How often a worker is killed; more of them make better figures."""

ONCE_LONG = "test -e second || { touch second; echo $$ >> pids; sleep 60; }"

WITH_CHILDREN = (
    "for p in $(cat pids-$QUEUECTL_JOB_ID 2>&-); do "
    "grep -qs 'State:.[RSDT]' /proc/$p/status && echo $p >> orphans; done; "
    "echo $$ >> pids-$QUEUECTL_JOB_ID; test -e again-$QUEUECTL_JOB_ID && exit 0; "
    "touch again-$QUEUECTL_JOB_ID; "
    "sleep 60 & echo $! >> pids-$QUEUECTL_JOB_ID; "
    "setsid sh -c 'echo $$ >> pids-$QUEUECTL_JOB_ID; exec sleep 60' & "
    "(setsid sh -c 'sh -c \"echo \\$\\$ >> pids-$QUEUECTL_JOB_ID; exec sleep 60\" &'); "
    "sleep 60"
)


def _has_lines(path: Path, number: int) -> bool:
    return len(pids_in(path)) == number


def kill_the_worker_of(fleet: Fleet, job: Job) -> None:
    os.kill(fleet.worker_of(job).process.pid, signal.SIGKILL)


def stop_in_its_place(worker: int, *, with_lock: bool) -> None:
    """Stop a worker between two writes to its store, or in the middle of one."""

    def is_caught() -> bool:
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: is_stopped(worker))
        if has_write_lock(worker) == with_lock:
            return True
        os.kill(worker, signal.SIGCONT)
        return False

    eventually(is_caught)


def test_a_killed_worker_leaves_no_orphan_and_its_job_is_taken_back_at_once(
    chaos: Fleet, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["store_url"]
    chaos.start(2)
    waits = []
    for _ in range(ROUNDS):
        job = chaos.running(chaos.enqueue(WITH_CHILDREN))
        written = chaos.root / f"pids-{job.id}"
        eventually(partial(_has_lines, written, 4))
        killed_at = chaos.queue.now()
        kill_the_worker_of(chaos, job)
        again = chaos.settled(job.id)
        assert (again.state, again.attempts, again.interruptions) == (State.COMPLETED, 1, 1)
        assert not any(lives(pid) for pid in pids_in(written))
        assert again.started_at is not None
        waits.append((again.started_at - killed_at).total_seconds())
    assert not (chaos.root / "orphans").exists()
    assert max(waits) < TICK_SECONDS + SLACK_SECONDS
    print(f"\n{kind}: job started again after p50 {median(waits):.2f} s, max {max(waits):.2f} s")


@slow_on_mongo
def test_a_worker_stopped_beyond_its_lease_loses_its_job_and_is_replaced(chaos: Fleet) -> None:
    chaos.set(lease_seconds=LEASE_SECONDS)
    (stopped,) = chaos.start()
    job = chaos.running(chaos.enqueue(ONCE_LONG, max_retries=1))
    (command,) = eventually(lambda: pids_in(chaos.root / "pids"))
    chaos.start()
    stop_in_its_place(stopped, with_lock=False)
    assert eventually(lambda: not lives(command), LEASE_SECONDS + SLACK_SECONDS)
    done = chaos.settled(job.id)
    assert [run.error for run in done.history] == ["worker lost", None]
    assert done.history[0].worker != done.history[1].worker
    assert eventually(lambda: not lives(stopped) and len(chaos.pids()) == 2)
    assert eventually(lambda: f"worker {stopped} died (signal 9)" in chaos.log())


@slow_on_mongo
def test_a_job_that_stops_its_workers_ends_in_the_dlq_and_stops_nothing_else(
    chaos: Fleet,
) -> None:
    chaos.set(lease_seconds=2, max_interruptions=2)
    first = chaos.start()
    job = chaos.ran("kill -STOP $PPID; sleep 60")
    assert (job.state, job.attempts, job.interruptions) == (State.DEAD, 0, 2)
    assert chaos.ran("true").state is State.COMPLETED
    assert eventually(lambda: len(chaos.pids()) == 1 and chaos.pids() != first)


def test_an_idle_worker_that_stays_stopped_is_replaced(fleet: Fleet) -> None:
    fleet.set(lease_seconds=2)
    (stopped,) = fleet.start()
    stop_in_its_place(stopped, with_lock=False)
    assert eventually(lambda: fleet.pids() not in ([], [stopped]))
    assert not lives(stopped)
    assert fleet.ran("true").state is State.COMPLETED


def test_a_worker_that_is_stopped_while_it_writes_does_not_lock_the_others_out(
    fleet: Fleet,
) -> None:
    (stopped,) = fleet.start()
    fleet.enqueue_all({"command": "true"} for _ in range(2_000))
    stop_in_its_place(stopped, with_lock=True)
    assert fleet.ran("true", priority="high").state is State.COMPLETED
    assert not lives(stopped)


def test_a_stopped_worker_that_nobody_replaced_gives_its_own_job_back(fleet: Fleet) -> None:
    fleet.set(lease_seconds=LEASE_SECONDS)
    (stopped,) = fleet.start()
    job = fleet.running(fleet.enqueue(ONCE_LONG, max_retries=1))
    (command,) = eventually(lambda: pids_in(fleet.root / "pids"))
    stop_in_its_place(stopped, with_lock=False)
    assert eventually(lambda: not lives(command), LEASE_SECONDS + SLACK_SECONDS)
    with suppress(ProcessLookupError):  # a moment later its guard ends it
        os.kill(stopped, signal.SIGCONT)
    done = fleet.settled(job.id)
    assert (done.state, done.attempts) == (State.COMPLETED, 1)
    assert (done.history[0].error or "").startswith(("Lease lost", "worker lost"))


@slow_on_mongo
def test_a_job_of_another_host_is_taken_back_when_its_lease_is_over(chaos: Fleet) -> None:
    chaos.set(lease_seconds=LEASE_SECONDS)
    store, now = chaos.queue.store, chaos.queue.now()
    process = ProcessIdentity(os.getpid(), "1", "the-boot-of-another-host")
    store.workers.register(WorkerRecord("far-7-away", process, "far", "/home", (), now, now))
    job_id = chaos.enqueue("true", max_retries=1)
    assert store.claim(ClaimRequest("a-claim", "far-7-away", LEASE_SECONDS)) is not None
    claimed_at = chaos.queue.now()
    chaos.start()
    done = chaos.settled(job_id)
    first, second = done.history
    assert (first.error or "").startswith("worker lost: its claim was not renewed by far")
    lost = eventually(lambda: [view for view in chaos.queue.hosts.views([]) if view.losses])
    assert [(view.name, view.losses[0].job_id) for view in lost] == [("far", job_id)]
    assert second.error is None
    assert done.started_at is not None
    waited = done.started_at - claimed_at
    assert waited >= timedelta(seconds=LEASE_SECONDS)
    # a worker that starts late has to watch the lease for a third of it
    assert waited.total_seconds() < LEASE_SECONDS * 4 / 3 + 2 * TICK_SECONDS + SLACK_SECONDS
    print(f"\na job of another host was started again {waited.total_seconds():.2f} s after a claim")


@slow_on_mongo
def test_the_workers_of_a_killed_supervisor_finish_their_jobs_and_leave(chaos: Fleet) -> None:
    ids = [chaos.enqueue("sleep 3; echo done") for _ in range(2)]
    waiting = chaos.enqueue("true")
    chaos.start(2)
    for job_id in ids:
        chaos.running(job_id)
    (supervisor,) = chaos.pids(pidfile.SUPERVISOR)
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: not chaos.pids())
    assert {chaos.job(job_id).state for job_id in ids} == {State.COMPLETED}
    assert chaos.job(waiting).state is State.PENDING


@slow_on_mongo
def test_a_worker_in_the_middle_of_a_job_takes_back_what_another_has_lost(chaos: Fleet) -> None:
    chaos.start(2)
    jobs = [chaos.running(chaos.enqueue("sleep 60")) for _ in range(2)]
    (supervisor,) = chaos.pids(pidfile.SUPERVISOR)

    chaos.queue.pause_queue("default")  # so that it is not claimed again at once
    os.kill(supervisor, signal.SIGSTOP)  # so that nobody takes the place of the dead
    kill_the_worker_of(chaos, jobs[0])
    lost = eventually(lambda: (job := chaos.job(jobs[0].id)).interruptions == 1 and job)
    assert lost.state is State.PENDING
    busy = chaos.job(jobs[1].id)
    assert (busy.state, busy.runs) == (State.PROCESSING, 1)


def test_a_worker_whose_supervisor_died_before_it_was_ready_leaves(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.start(2)
        (supervisor,) = fleet.pids(pidfile.SUPERVISOR)
        for pid in fleet.pids():
            os.kill(pid, signal.SIGKILL)  # its replacement is being started now
        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: not pidfile.living(fleet.home))
    ends_at = time.monotonic() + 2 * TICK_SECONDS
    while time.monotonic() < ends_at:  # nobody may turn up late and stay
        eventually(lambda: not fleet.pids(), 5)


@slow_on_mongo
def test_a_job_that_kills_its_workers_ends_in_the_dlq(chaos: Fleet) -> None:
    chaos.set(max_interruptions=3)
    chaos.start()
    job = chaos.ran("kill -9 $PPID; sleep 60")
    assert job.state is State.DEAD
    assert (job.attempts, job.interruptions) == (0, 3)
    errors = [run.error for run in job.history]
    assert errors == ["worker lost", "worker lost", "worker lost (3 interruptions)"]
    assert chaos.ran("true").state is State.COMPLETED


@slow_on_mongo
def test_a_job_that_kills_a_worker_of_several_slots_ends_in_the_dlq_while_its_neighbours_go_on(
    chaos: Fleet,
) -> None:
    chaos.set(max_interruptions=2, concurrency=5)
    chaos.start()
    wait = "until [ -e go ]; do sleep 0.05; done"
    neighbours = [chaos.running(chaos.enqueue(wait)) for _ in range(2)]
    job = chaos.ran("kill -9 $PPID; sleep 60")
    assert (job.state, job.interruptions, len(job.history)) == (State.DEAD, 2, 3)
    again = [chaos.running(each.id) for each in neighbours]
    assert [each.suspect for each in again] == [True, True]
    assert again[0].worker != again[1].worker
    (chaos.root / "go").touch()
    for each in neighbours:
        ended = chaos.settled(each.id)
        assert (ended.state, ended.interruptions) == (State.COMPLETED, 0)
        assert len(ended.history) == 2


@slow_on_mongo
def test_a_reboot_costs_no_retry(chaos: Fleet) -> None:
    chaos.start(2)
    job = chaos.running(chaos.enqueue(ONCE_LONG, max_retries=1))
    eventually(lambda: pids_in(chaos.root / "pids"))
    chaos.kill()  # supervisors and workers alike, as when the power fails
    assert eventually(lambda: not run_members(job))
    chaos.start()
    done = chaos.settled(job.id)
    assert (done.state, done.attempts, done.interruptions) == (State.COMPLETED, 1, 1)
