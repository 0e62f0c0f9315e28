"""Suspects: each runs in a process that runs nothing else, beside the workers of several slots."""

from __future__ import annotations

import os
import signal

from queuectl.domain.job import Job, State
from queuectl.domain.worker_record import WorkerRecord
from tests.worker.fleet import Fleet, eventually, lives, run_members

SLOTS = 6
UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"


def running_jobs(fleet: Fleet, count: int, command: str = UNTIL_GO, **fields: object) -> list[Job]:
    """Enqueue jobs, and return them when all of them run."""
    wanted = {"command": command, "cwd": str(fleet.root), **fields}
    return [fleet.running(job_id) for job_id in fleet.enqueue_all([wanted] * count)]


def go(fleet: Fleet) -> None:
    """Let those end that wait for it."""
    (fleet.root / "go").touch()


def kill_workers(fleet: Fleet) -> None:
    for pid in fleet.pids():
        os.kill(pid, signal.SIGKILL)


def running_suspect(fleet: Fleet, job: Job) -> Job:
    """Wait until a job that was lost with its worker runs again."""
    assert eventually(lambda: fleet.job(job.id).suspect)
    return fleet.running(job.id)


def suspects(fleet: Fleet, count: int) -> list[Job]:
    """Return jobs whose worker was killed while they ran, when all of them run again."""
    jobs = running_jobs(fleet, count)
    kill_workers(fleet)
    return [running_suspect(fleet, job) for job in jobs]


def narrow(fleet: Fleet) -> list[WorkerRecord]:
    """Return the workers of one slot."""
    return [each for each in fleet.queue.store.workers.all() if each.slots == 1]


def test_suspects_run_side_by_side_each_in_a_process_of_its_own(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    jobs = suspects(fleet, SLOTS - 1)
    assert len({job.worker for job in jobs}) == len(jobs)
    assert {fleet.worker_of(job).slots for job in jobs} == {1}
    (neighbour,) = running_jobs(fleet, 1)
    assert fleet.worker_of(neighbour).slots == SLOTS
    go(fleet)
    for job in jobs:
        ended = fleet.settled(job.id)
        assert (ended.state, ended.suspect) == (State.COMPLETED, False)
        assert (ended.interruptions, len(ended.history)) == (0, 2)
    assert fleet.settled(neighbour.id).state is State.COMPLETED
    assert eventually(lambda: not narrow(fleet) and len(fleet.pids()) == 1)


def test_while_suspects_run_no_more_jobs_run_at_once_than_there_are_slots(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    count = "mkdir in.$$; ls -d in.* | wc -l >> seen; sleep 0.05; rmdir in.$$"
    jobs = running_jobs(fleet, SLOTS - 2, f"{UNTIL_GO}; {count}")
    kill_workers(fleet)
    assert eventually(lambda: not any(run_members(job) for job in jobs))
    others = [fleet.enqueue(count) for _ in range(10 * SLOTS)]
    go(fleet)
    ids = [*(job.id for job in jobs), *others]
    assert {fleet.settled(job_id).state for job_id in ids} == {State.COMPLETED}
    seen = [int(line) for line in (fleet.root / "seen").read_text().split()]
    assert max(seen) <= SLOTS


def test_a_suspect_gets_a_slot_that_becomes_free_before_other_jobs(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    (suspect,) = running_jobs(fleet, 1, queue="s")
    fleet.queue.pause_queue("s")
    kill_workers(fleet)
    assert eventually(lambda: fleet.job(suspect.id).suspect)
    long = running_jobs(fleet, SLOTS - 1)
    others = fleet.enqueue_all([{"command": "sleep 0.1"}] * 300)
    eventually(lambda: fleet.job(others[0]).runs)  # it may be over before anybody sees it run
    fleet.queue.resume_queue("s")
    assert fleet.running(suspect.id).suspect
    assert all(run_members(job) for job in long)
    assert fleet.job(others[-1]).state is State.PENDING
    go(fleet)
    ids = [suspect.id, *others, *(job.id for job in long)]
    assert {fleet.settled(job_id).state for job_id in ids} == {State.COMPLETED}


def test_a_job_that_kills_its_worker_takes_no_neighbour_to_the_dead_letter_queue(
    fleet: Fleet,
) -> None:
    fleet.set(concurrency=SLOTS, max_interruptions=2)
    fleet.start()
    neighbours = running_jobs(fleet, SLOTS - 2)
    killer = fleet.enqueue("kill -9 $PPID; sleep 60", "killer")
    dead = fleet.settled(killer)
    assert (dead.state, dead.interruptions, len(dead.history)) == (State.DEAD, 2, 3)
    go(fleet)
    for job in neighbours:
        ended = fleet.settled(job.id)
        assert (ended.state, ended.interruptions) == (State.COMPLETED, 0)
        assert len(ended.history) == 2


def test_a_killer_is_found_out_while_its_neighbours_go_on(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS, max_interruptions=2)
    fleet.start()
    first = "[ -e again ] && kill -9 $PPID; touch begun; sleep 60"
    (killer,) = running_jobs(fleet, 1, first)
    eventually((fleet.root / "begun").exists)  # a shell that began later would have a new parent
    (fleet.root / "again").touch()
    kill_workers(fleet)
    neighbours = running_jobs(fleet, SLOTS - 2)
    dead = fleet.settled(killer.id)
    assert (dead.state, dead.interruptions) == (State.DEAD, 2)
    assert all(run_members(job) for job in neighbours)
    go(fleet)
    for job in neighbours:
        ended = fleet.settled(job.id)
        assert (ended.state, len(ended.history)) == (State.COMPLETED, 1)


def test_a_suspect_can_be_cancelled_while_it_waits_and_while_it_runs(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS, kill_grace_seconds=0.3)
    fleet.start()
    (running,) = running_jobs(fleet, 1)
    (waiting,) = running_jobs(fleet, 1, queue="s")
    fleet.queue.pause_queue("s")
    kill_workers(fleet)
    again = running_suspect(fleet, running)
    (neighbour,) = running_jobs(fleet, 1)
    for job in (running, waiting):
        fleet.queue.cancel(job.id)
        assert fleet.settled(job.id).state is State.CANCELLED
    assert not run_members(again)
    assert run_members(neighbour)
    fleet.queue.resume_queue("s")
    assert fleet.ran("true").state is State.COMPLETED


def test_a_graceful_stop_waits_for_suspects_and_one_at_once_gives_them_back(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    job, other = suspects(fleet, 2)
    assert len(fleet.stop(timeout=0.5)) == 2
    assert run_members(job)
    go(fleet)
    assert fleet.stop() == []
    assert {fleet.job(each.id).state for each in (job, other)} == {State.COMPLETED}
    (fleet.root / "go").unlink()
    fleet.start()
    (again,) = suspects(fleet, 1)
    assert fleet.stop(now=True) == []
    back = fleet.job(again.id)
    assert not run_members(again)
    assert (back.state, back.suspect, back.attempts) == (State.PENDING, True, 0)


def test_a_fleet_that_drains_does_not_leave_while_suspects_wait(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS, max_interruptions=2)
    killer = fleet.enqueue("kill -9 $PPID; sleep 60")
    neighbours = [fleet.enqueue("sleep 0.2") for _ in range(3)]
    fleet.start(drain=True)
    (supervisor,) = fleet.supervisors
    assert eventually(lambda: not lives(supervisor))
    assert fleet.job(killer).state is State.DEAD
    assert {fleet.job(job_id).state for job_id in neighbours} == {State.COMPLETED}


def test_a_worker_of_one_slot_runs_suspects_itself(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    (job,) = running_jobs(fleet, 1)
    fleet.set(concurrency=1)
    assert eventually(lambda: [each.slots for each in fleet.queue.store.workers.all()] == [1])
    kill_workers(fleet)
    again = running_suspect(fleet, job)
    assert len(fleet.pids()) == 1
    go(fleet)
    assert fleet.settled(again.id).state is State.COMPLETED
