"""One worker that runs several jobs at once: each run stands for itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from queuectl.domain.job import Job, State
from tests.worker.fleet import Fleet, eventually, lives, pids_in, run_members

SLOTS = 6


@pytest.fixture
def wide(fleet: Fleet) -> Fleet:
    """A home with one worker that runs several jobs at once."""
    fleet.set(concurrency=SLOTS, kill_grace_seconds=0.3)
    fleet.start()
    return fleet


def long_jobs(fleet: Fleet, count: int, command: str = "sleep 60") -> list[Job]:
    """Enqueue jobs that take long, and return them when all of them run."""
    ids = fleet.enqueue_all({"command": command, "cwd": str(fleet.root)} for _ in range(count))
    return [fleet.running(job_id) for job_id in ids]


def worker_pid(fleet: Fleet) -> int:
    (pid,) = fleet.pids()
    return pid


def test_jobs_of_one_worker_run_side_by_side(wide: Fleet) -> None:
    are_there = f"[ $(ls | grep -c '^meet') -ge {SLOTS} ]"
    meet = f"touch $QUEUECTL_JOB_ID; until {are_there}; do sleep 0.01; done"
    ids = [wide.enqueue(meet, f"meet{number}") for number in range(SLOTS)]
    jobs = [wide.settled(job_id) for job_id in ids]
    assert {job.state for job in jobs} == {State.COMPLETED}
    assert len({job.history[0].worker for job in jobs}) == 1


def test_no_more_jobs_run_at_once_than_there_are_slots(wide: Fleet) -> None:
    count = "mkdir in.$$; ls -d in.* | wc -l >> seen; sleep 0.02; rmdir in.$$"
    ids = wide.enqueue_all({"command": count, "cwd": str(wide.root)} for _ in range(10 * SLOTS))
    assert {wide.settled(job_id).state for job_id in ids} == {State.COMPLETED}
    seen = [int(line) for line in (wide.root / "seen").read_text().split()]
    assert len(seen) == 10 * SLOTS
    assert 1 < max(seen) <= SLOTS


def test_each_job_has_an_end_output_and_directory_of_its_own(wide: Fleet) -> None:
    ids = []
    for number in range(3 * SLOTS):
        place = wide.root / f"d{number}"
        place.mkdir()
        command = f"pwd; echo err{number} >&2; sleep 0.0{number % 5}; exit {number}"
        ids.append(wide.enqueue(command, cwd=str(place), max_retries=1))
    for number, job_id in enumerate(ids):
        outcome = wide.settled(job_id).outcome
        assert outcome is not None
        assert outcome.exit_code == number
        assert outcome.stdout == f"{wide.root / f'd{number}'}\n"
        assert outcome.stderr == f"err{number}\n"


def test_what_is_done_to_one_job_leaves_its_neighbours_alone(wide: Fleet) -> None:
    neighbour, cancelled, paused, late = long_jobs(wide, 4)
    timed = wide.enqueue("sleep 60", timeout=0.2, max_retries=1)
    wide.queue.pause(paused.id)
    wide.queue.cancel(cancelled.id)
    assert wide.settled(cancelled.id).state is State.CANCELLED
    outcome = wide.settled(timed).outcome
    assert outcome is not None
    assert outcome.timed_out
    assert wide.ran("exit 3").last_error == "Exit code 3"
    assert eventually(lambda: all(is_stopped(pid) for pid in run_members(paused)))
    assert not any(is_stopped(pid) for pid in run_members(neighbour))
    wide.queue.resume(paused.id)
    assert eventually(lambda: not any(is_stopped(pid) for pid in run_members(paused)))
    for job in (neighbour, paused, late):
        assert wide.job(job.id).state is State.PROCESSING
        assert run_members(job)


def is_stopped(pid: int) -> bool:
    """Whether a process stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_job_that_ignores_to_be_stopped_holds_up_nobody(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS, kill_grace_seconds=30)
    fleet.start()
    (stubborn,) = long_jobs(fleet, 1, "trap '' TERM; touch trapped; while :; do sleep 0.1; done")
    assert eventually((fleet.root / "trapped").exists)
    fleet.queue.cancel(stubborn.id)
    for _ in range(3):
        assert fleet.ran("true").state is State.COMPLETED
    assert fleet.job(stubborn.id).state is State.PROCESSING
    fleet.kill()
    assert eventually(lambda: not run_members(stubborn))


def test_a_graceful_stop_waits_for_all_and_one_at_once_gives_all_back(wide: Fleet) -> None:
    gate = wide.root / "gate"
    jobs = long_jobs(wide, SLOTS, f"while [ ! -e {gate} ]; do sleep 0.01; done")
    waiting = wide.enqueue("true")
    assert wide.stop(timeout=0.3) != []
    assert all(run_members(job) for job in jobs)
    gate.touch()
    assert wide.stop() == []
    assert {wide.job(job.id).state for job in jobs} == {State.COMPLETED}
    assert wide.job(waiting).state is State.PENDING
    gate.unlink()
    wide.start()
    again = long_jobs(wide, SLOTS - 1, "sleep 60")
    assert wide.stop(now=True) == []
    for job in again:
        assert not run_members(job)
        back = wide.job(job.id)
        assert (back.state, back.attempts, len(back.history)) == (State.PENDING, 0, 1)


def test_nothing_outlives_a_worker_that_is_killed_and_each_job_runs_again(wide: Fleet) -> None:
    jobs = long_jobs(wide, SLOTS, "echo $$ >> pids; [ -e go ] || sleep 60")
    pids = eventually(lambda: len(found := pids_in(wide.root / "pids")) == SLOTS and found)
    os.kill(worker_pid(wide), signal.SIGKILL)
    assert eventually(lambda: not any(map(lives, pids)))
    (wide.root / "go").touch()
    for job in jobs:
        ended = wide.settled(job.id)
        assert ended.state is State.COMPLETED
        assert len(ended.history) == 2


def test_the_number_of_slots_is_followed_while_a_worker_works(fleet: Fleet) -> None:
    fleet.start()
    gate = fleet.root / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.01; done"
    ids = [fleet.enqueue(wait) for _ in range(3)]
    fleet.running(ids[0])
    fleet.set(concurrency=3)
    for job_id in ids[1:]:
        fleet.running(job_id)
    fleet.set(concurrency=1)
    gate.touch()
    assert {fleet.settled(job_id).state for job_id in ids} == {State.COMPLETED}


def test_a_worker_that_drains_several_jobs_at_once_leaves_when_all_have_ended(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    ids = [fleet.enqueue(f"sleep 0.0{number % 10}") for number in range(40)]
    (pid,) = fleet.start(drain=True)
    assert {fleet.settled(job_id).state for job_id in ids} == {State.COMPLETED}
    assert eventually(lambda: not lives(pid))


def test_what_a_command_leaves_behind_is_killed_beside_others(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS, kill_leftovers=True)
    fleet.start()
    (neighbour,) = long_jobs(fleet, 1)
    for number in range(4):
        assert fleet.ran(f"sleep 60 & echo $! > left{number}").state is State.COMPLETED
        assert not lives(int((fleet.root / f"left{number}").read_text()))
    assert run_members(neighbour)


def test_a_job_that_kills_its_worker_takes_no_neighbour_to_the_dead_letter_queue(
    fleet: Fleet,
) -> None:
    fleet.set(concurrency=SLOTS, max_interruptions=2)
    fleet.start()
    neighbours = long_jobs(fleet, SLOTS - 1, "until [ -e go ]; do sleep 0.02; done")
    killer = fleet.enqueue("kill -9 $PPID; sleep 60", "killer")
    assert eventually(lambda: fleet.job(killer).suspect)
    (fleet.root / "go").touch()
    dead = fleet.settled(killer)
    assert (dead.state, dead.interruptions, len(dead.history)) == (State.DEAD, 2, 3)
    for job in neighbours:
        ended = fleet.settled(job.id)
        assert (ended.state, ended.interruptions) == (State.COMPLETED, 0)


def test_a_suspect_runs_alone_and_the_others_go_on_after_it(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    count = "mkdir in.$$; ls -d in.* | wc -l > seen.$QUEUECTL_JOB_ID; "
    jobs = long_jobs(
        fleet, 2, f"until [ -e go ]; do sleep 0.02; done; {count} sleep 0.1; rmdir in.$$"
    )
    os.kill(worker_pid(fleet), signal.SIGKILL)
    assert eventually(lambda: not any(run_members(job) for job in jobs))
    (fleet.root / "go").touch()
    others = [fleet.enqueue(f"{count} sleep 0.1; rmdir in.$$") for _ in range(2 * SLOTS)]
    for job in jobs:
        ended = fleet.settled(job.id)
        assert (ended.state, ended.suspect, len(ended.history)) == (State.COMPLETED, False, 2)
        assert (fleet.root / f"seen.{job.id}").read_text().strip() == "1"
    assert {fleet.settled(job_id).state for job_id in others} == {State.COMPLETED}


def test_a_suspect_that_waits_to_run_alone_can_be_cancelled(fleet: Fleet) -> None:
    fleet.set(concurrency=SLOTS)
    fleet.start()
    suspect = fleet.running(fleet.enqueue("sleep 60", queue="s"))
    fleet.queue.pause_queue("s")
    os.kill(worker_pid(fleet), signal.SIGKILL)
    assert eventually(lambda: fleet.job(suspect.id).suspect)
    (neighbour,) = long_jobs(fleet, 1)
    fleet.queue.resume_queue("s")
    job = fleet.claimed(suspect.id)
    fleet.queue.cancel(suspect.id)
    assert fleet.settled(suspect.id).state is State.CANCELLED
    assert not run_members(job)
    assert run_members(neighbour)
    assert fleet.ran("true").state is State.COMPLETED
