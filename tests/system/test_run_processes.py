"""Everything of a run is found and ended, and nothing else, whatever it does to hide."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from queuectl.domain.job import Job, State
from queuectl.system.run_mark import NO_RUN, RUN_ID_VARIABLE, Marker, mark_of, read_mark
from queuectl.system.run_processes import kill_run, kill_runs, members
from tests.worker.fleet import Fleet, eventually, lives, pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

WRITE_AND_SLEEP = "sh -c 'echo $$ >> pids; exec sleep 60'"
RETITLED = """perl -e '$0 = "a daemon"; open F, ">>pids"; print F "$$\\n"; close F; sleep 60'"""
FORKS_ON = (
    "perl -MPOSIX -e 'for (;;) { exit 0 if fork or time - $^T > 60; POSIX::setsid(); "
    'open F, ">>generations"; print F "."; close F }\''
)
FIRST_THREAD_ENDS = """
import ctypes, os, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
with open("pids", "a") as file:
    print(os.getpid(), file=file)
ctypes.CDLL(None).syscall(60 if platform.machine() == "x86_64" else 93, 0)
"""

LOOKS = 200
RUN = token_hex(12)  # marks hold for the whole machine


@pytest.fixture
def worker(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet of one worker; what a run leaves behind until there is a file `end` ends then."""
    fleet.set(kill_grace_seconds=0.2)
    fleet.start()
    yield fleet
    (fleet.root / "end").touch()


def written(fleet: Fleet, number: int = 1) -> list[int]:
    """Wait until processes have written their pids, and return these."""
    return eventually(lambda: len(found := pids_in(fleet.root / "pids")) == number and found)


def cancelled(fleet: Fleet, job_id: str) -> Job:
    """Cancel a job that runs, and return it when it has ended."""
    asked = fleet.queue.cancel(job_id)
    assert asked.state is State.PROCESSING, asked
    job = fleet.settled(job_id)
    assert (job.state, job.runs, job.interruptions) == (State.CANCELLED, 1, 0), job
    return job


@pytest.mark.parametrize("daemon", [f"setsid env -i {WRITE_AND_SLEEP}", f"setsid {RETITLED}"])
@pytest.mark.parametrize("form", ["({} &) ; sleep 60", "{} & sleep 60"])
def test_a_daemon_that_clears_its_environment_is_killed_with_its_run(
    worker: Fleet, daemon: str, form: str
) -> None:
    job_id = worker.enqueue(form.format(daemon))
    (pid,) = written(worker)
    job = cancelled(worker, job_id)
    assert not lives(pid), (job, worker.log())


def test_a_daemon_is_asked_to_end_before_it_is_killed(fleet: Fleet) -> None:
    fleet.set(kill_grace_seconds=20)
    fleet.start()
    daemon = "trap 'echo asked > asked; exit' TERM; echo $$ >> pids; while :; do sleep 0.05; done"
    (fleet.root / "daemon").write_text(daemon)
    job_id = fleet.enqueue("(setsid env -i sh daemon &) ; sleep 60")
    (pid,) = written(fleet)
    cancelled(fleet, job_id)
    assert not lives(pid)
    assert (fleet.root / "asked").read_text() == "asked\n"


def test_what_has_lost_its_mark_is_known_by_its_parent(worker: Fleet) -> None:
    worker.ran("until test -e end; do sleep 0.1; done &")  # an orphan may be anybody's from now on
    job_id = worker.enqueue(f"setsid prlimit --locks=unlimited env -i {WRITE_AND_SLEEP} & sleep 60")
    (pid,) = written(worker)
    assert read_mark(pid) == 0
    cancelled(worker, job_id)
    assert not lives(pid)


def test_what_forks_faster_than_a_look_takes_is_killed_all_the_same(worker: Fleet) -> None:
    job_id = worker.enqueue(f"{FORKS_ON} & sleep 60")
    generations = worker.root / "generations"
    eventually(lambda: generations.exists() and generations.stat().st_size > 100)
    cancelled(worker, job_id)
    size = generations.stat().st_size
    worker.ran("sleep 0.3")
    assert generations.stat().st_size == size


def test_a_process_whose_first_thread_has_ended_is_no_zombie(worker: Fleet) -> None:
    job_id = worker.enqueue([sys.executable, "-c", FIRST_THREAD_ENDS])
    (pid,) = written(worker)
    eventually(lambda: b") Z" in Path(f"/proc/{pid}/stat").read_bytes())
    assert lives(pid)
    cancelled(worker, job_id)
    assert not lives(pid)


def test_daemons_of_runs_that_ended_by_themselves_outlive_the_end_of_others(
    worker: Fleet,
) -> None:
    assert worker.ran(f"(setsid env -i {WRITE_AND_SLEEP} &)").state is State.COMPLETED
    assert worker.ran(f"(setsid prlimit --locks=unlimited env -i {WRITE_AND_SLEEP} &)").state
    first, second = written(worker, 2)
    job_id = worker.enqueue(f"(setsid env -i {WRITE_AND_SLEEP} &) ; sleep 60")
    *_, third = written(worker, 3)
    cancelled(worker, job_id)
    try:
        assert (lives(first), lives(second), lives(third)) == (True, True, False)
    finally:
        for pid in (first, second):
            os.kill(pid, 9)


def test_of_two_runs_at_once_the_end_of_one_spares_the_daemons_of_the_other(
    worker: Fleet,
) -> None:
    worker.start()
    daemon = f"(setsid env -i {WRITE_AND_SLEEP} &) ; sleep 60"
    first = worker.enqueue(daemon)
    (spared,) = written(worker)
    second = worker.enqueue(daemon)
    _, ended = written(worker, 2)
    cancelled(worker, second)
    assert (lives(spared), lives(ended)) == (True, False)
    cancelled(worker, first)
    assert not lives(spared)


@pytest.mark.parametrize("next_command", [None, "until test -e go; do sleep 0.01; done"])
def test_what_a_run_leaves_behind_becomes_no_zombie(
    worker: Fleet, next_command: str | None
) -> None:
    worker.ran("sh -c 'echo $$ >> pids; until test -e end; do sleep 0.01; done' &")
    (pid,) = written(worker)
    job_id = worker.enqueue(next_command) if next_command else None
    if job_id:
        worker.running(job_id)
    (worker.root / "end").touch()
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
    (worker.root / "go").touch()


def test_no_shell_goes_on_behind_a_child_that_was_killed(worker: Fleet) -> None:
    worker.set(kill_grace_seconds=0)
    command = "trap '' TERM; echo $$ >> pids; (sleep 60); echo past >> past"
    ids = [worker.enqueue(command, timeout=0.3, max_retries=1) for _ in range(12)]
    for job_id in ids:
        assert worker.settled(job_id).state is State.DEAD
    assert not (worker.root / "past").exists()


def test_a_mark_is_put_on_what_is_started_and_taken_back() -> None:
    marker, me = Marker(), os.getpid()
    before = read_mark(me)
    marker.put(mark_of("0123456789abcdef"))
    try:
        assert read_mark(me) == mark_of("0123456789abcdef")
    finally:
        marker.take_back()
    assert read_mark(me) == before


def test_marks_of_runs_differ_from_each_other_and_from_that_of_none() -> None:
    ids = ["0123456789abcdef", "1123456789abcdef", "a-claim", "b-claim", ""]
    marks = {mark_of(run_id) for run_id in ids}
    assert len(marks) == len(ids)
    assert all(0 < mark < NO_RUN for mark in marks)


def test_a_process_that_is_gone_has_no_mark() -> None:
    pid = os.posix_spawnp("true", ["true"], {})
    os.waitpid(pid, 0)
    assert read_mark(pid) is None


def test_a_process_that_becomes_another_program_again_and_again_is_never_overlooked() -> None:
    environment = {**os.environ, RUN_ID_VARIABLE: RUN, "BECOME": 'exec sh -c "$BECOME"'}
    process = subprocess.Popen(["sh", "-c", 'eval "$BECOME"'], env=environment)
    try:
        eventually(lambda: members(RUN, None))
        overlooked = [look for look in range(LOOKS) if not members(RUN, None)]
        assert (overlooked, process.poll()) == ([], None)
    finally:
        assert kill_run(RUN, None) == []
        process.wait()


def test_several_runs_are_killed_together_and_no_other() -> None:
    run_ids = [token_hex(12) for _ in range(4)]
    marker = Marker()
    processes = []
    for run_id in run_ids:
        marker.put(mark_of(run_id))
        processes.append(subprocess.Popen(["sleep", "60"], env={}, start_new_session=True))
        marker.take_back()
    *ended, spared = processes
    try:
        assert kill_runs(dict.fromkeys(run_ids[:3])) == []
        assert all(process.wait() < 0 for process in ended)
        assert spared.poll() is None
    finally:
        spared.kill()
        spared.wait()
