"""One worker that runs several jobs at once: each run stands for itself."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import pytest

from queuectl.domain.job import Job, State
from queuectl.system.home import Home
from queuectl.system.processes import stat_fields
from queuectl.system.run_processes import children_of
from queuectl.worker.runs.executor import Executor
from queuectl.worker.runs.outcome import Run
from queuectl.worker.runs.output import OutputFolder
from queuectl.worker.runs.watchdog import Post, Watchdog
from queuectl.worker.signals import Control
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


def is_running(fleet: Fleet, job_id: str) -> bool:
    """Whether a worker has a job in hand."""
    return fleet.job(job_id).state is State.PROCESSING


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
    fleet.set(lease_seconds=3600)  # nothing else rouses a worker meanwhile
    fleet.start()
    gate = fleet.root / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.01; done"
    ids = [fleet.enqueue(wait) for _ in range(3)]
    fleet.running(ids[0])
    fleet.set(concurrency=3)
    assert eventually(lambda: all(is_running(fleet, job_id) for job_id in ids), within=30)
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


def test_a_job_that_got_neighbours_later_is_not_to_blame_for_what_they_do(fleet: Fleet) -> None:
    fleet.set(max_interruptions=1)
    fleet.start()
    (blameless,) = long_jobs(fleet, 1, "until [ -e go ]; do sleep 0.02; done")
    fleet.set(concurrency=SLOTS)
    killer = fleet.enqueue("mkdir once && kill -9 $PPID; sleep 60", "killer")
    fleet.claimed(killer)
    assert eventually(lambda: fleet.job(blameless.id).runs == 2)
    (fleet.root / "go").touch()
    assert fleet.settled(blameless.id).state is State.COMPLETED


UNMARKED = "ulimit -x unlimited; exec env -i setsid sleep 60"
"""What a login session does to a daemon: nothing that it bears tells whose it is any more."""


@pytest.mark.skipif(sys.platform != "linux", reason="the mark is in a resource limit of Linux")
def test_the_end_of_one_run_spares_what_another_beside_it_had_left(wide: Fleet) -> None:
    (job,) = long_jobs(wide, 1)
    is_there = "grep -q sleep /proc/$!/cmdline"
    left = f"bash -c '{UNMARKED}' & echo $! > left; until {is_there}; do sleep 0.01; done"
    assert wide.ran(left).state is State.COMPLETED
    wide.queue.cancel(job.id)
    assert wide.settled(job.id).state is State.CANCELLED
    pid = int((wide.root / "left").read_text())
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)


def is_at_rest(pid: int) -> bool:
    """Whether a process sleeps, look after look: what it had reaped it has noted by then."""
    looks = 5
    for _ in range(looks):
        fields = stat_fields(pid)
        if fields is None or fields[0] != b"S":
            return False
        time.sleep(0.005)
    return True


@pytest.mark.usefixtures("impatient")
def test_what_had_ended_while_nobody_could_write_is_not_run_again_after_a_kill(wide: Fleet) -> None:
    jobs = long_jobs(wide, SLOTS, "echo x >> ran; until [ -e go ]; do sleep 0.01; done")
    with closing(sqlite3.connect(wide.location.store_url, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (wide.root / "go").touch()
        pid = worker_pid(wide)
        assert eventually(lambda: not children_of(pid) and is_at_rest(pid))
        os.kill(pid, signal.SIGKILL)
    for job in jobs:
        ended = wide.settled(job.id)
        assert (ended.state, len(ended.history)) == (State.COMPLETED, 1)
    assert (wide.root / "ran").read_text().count("x") == SLOTS


@pytest.mark.skipif(sys.platform != "linux", reason="workers adopt orphans on Linux alone")
def test_orphans_are_reaped_while_a_run_takes_long_to_end(fleet: Fleet) -> None:
    fleet.set(concurrency=2, kill_grace_seconds=60)
    fleet.start()
    stubborn = "(trap '' TERM; touch trapped; while :; do sleep 0.1; done) & exec sleep 60"
    (job,) = long_jobs(fleet, 1, stubborn)
    assert eventually((fleet.root / "trapped").exists)
    leader = min(run_members(job))
    fleet.queue.cancel(job.id)
    assert eventually(lambda: not lives(leader))
    assert fleet.ran("sleep 0.2 & echo $! > orphan").state is State.COMPLETED
    orphan = int((fleet.root / "orphan").read_text())
    assert eventually(lambda: orphan not in children_of(worker_pid(fleet)), within=30)
    assert leader in children_of(worker_pid(fleet))


def test_a_run_is_stopped_also_where_no_thread_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with closing(Control()) as control:
        executor = Executor(control, Watchdog(Post()), 0.02, lambda: 0)
        files = OutputFolder(Home(tmp_path)).open("job", 1)
        run = Run(token_hex(12), ("sleep", "60"), {b"PATH": b"/bin"}, None, 0.1, 0, False, math.inf)
        control.hold(run.id, math.inf)
        assert executor.start(run, files) is None
        ((ended, _, outcome),) = eventually(lambda: list(executor.ended()))
        assert (ended, outcome.timed_out, outcome.signal) == (run, True, signal.SIGKILL)
        files.close()
        executor.close()
