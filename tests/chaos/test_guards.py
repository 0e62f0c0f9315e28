"""Guards die, alone and with others, and still nothing that a worker ran outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.domain.job import Job, State
from queuectl.system import pidfile
from queuectl.system.processes import is_stopped
from queuectl.system.run_processes import children_of
from tests.cli.harness import environment, process
from tests.worker.fleet import Fleet, eventually, lives, pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

HIDDEN = "echo $$ >> pids; exec env -i sleep 60"


def guards(fleet: Fleet) -> list[int]:
    """Return the pids of the living guards of a fleet."""
    (supervisor,) = fleet.supervisors
    workers = fleet.pids()
    return [pid for pid in children_of(supervisor) if pid not in workers and lives(pid)]


def hidden_run(fleet: Fleet) -> tuple[int, int, Job]:
    """Start a worker and a job without environment; return the two pids and the job."""
    (worker,) = fleet.start()
    job = fleet.running(fleet.enqueue(HIDDEN))
    (command,) = eventually(lambda: pids_in(fleet.root / "pids"))
    return worker, command, job


def killed(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def is_started_again(fleet: Fleet, job: Job) -> None:
    """Wait until a job that was interrupted once runs again."""
    again = eventually(lambda: (now := fleet.job(job.id)).runs == 2 and now)
    assert again.interruptions == 1


def test_a_guard_that_was_killed_is_replaced(fleet: Fleet) -> None:
    worker, command, job = hidden_run(fleet)
    (guard,) = guards(fleet)
    killed(guard)
    assert eventually(lambda: (found := guards(fleet)) and found != [guard])
    assert eventually(lambda: "the guard of a worker died" in fleet.log())
    assert lives(command)
    killed(worker)
    assert eventually(lambda: not lives(command))
    is_started_again(fleet, job)


def test_a_run_ends_though_worker_and_guard_were_killed_together(fleet: Fleet) -> None:
    worker, command, _ = hidden_run(fleet)
    killed(*guards(fleet), worker)
    assert eventually(lambda: not lives(command))


@pytest.mark.parametrize("role", ["guard", "supervisor"])
def test_a_guard_or_a_supervisor_that_was_stopped_is_let_go_on(fleet: Fleet, role: str) -> None:
    fleet.start()
    (stopped,) = guards(fleet) if role == "guard" else fleet.supervisors
    os.kill(stopped, signal.SIGSTOP)
    assert eventually(lambda: is_stopped(stopped))
    assert eventually(lambda: not is_stopped(stopped))


def test_guards_are_not_called_like_what_people_kill_by_name_and_leave_with_their_workers(
    fleet: Fleet,
) -> None:
    fleet.start(2)
    found = guards(fleet)
    assert len(found) == 2
    for guard in found:
        title = eventually(Path(f"/proc/{guard}/cmdline").read_bytes)
        assert title.rstrip(b"\0") == b"guard of a worker"
    assert fleet.stop() == []
    assert not any(map(lives, found))


@pytest.mark.parametrize("has_pid_file", [True, False])
def test_the_next_command_ends_what_was_left_when_all_were_killed(
    fleet: Fleet, has_pid_file: bool
) -> None:
    worker, command, job = hidden_run(fleet)
    found = [*fleet.supervisors, *guards(fleet), worker]
    if not has_pid_file:
        fleet.home.pid_file.unlink()
    killed(*found)
    assert eventually(lambda: not lives(worker))
    assert lives(command)
    assert process("--home", str(fleet.home.root), "status").code == 0
    assert not lives(command)
    after = fleet.job(job.id)
    assert (after.state, after.interruptions) == (State.PENDING, 1)
    assert not fleet.home.pid_file.exists()


def test_a_worker_is_replaced_though_its_guard_was_stopped_with_it(fleet: Fleet) -> None:
    fleet.set(lease_seconds=2)
    worker, command, job = hidden_run(fleet)
    for pid in (*guards(fleet), worker):
        os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: not lives(worker) and not lives(command))
    is_started_again(fleet, job)


def test_a_stopped_guard_of_a_killed_worker_does_its_duty_and_leaves(fleet: Fleet) -> None:
    worker, command, _ = hidden_run(fleet)
    (guard,) = guards(fleet)
    os.kill(guard, signal.SIGSTOP)
    killed(worker)
    assert eventually(lambda: not lives(command))
    assert eventually(lambda: not lives(guard))
    assert fleet.stop(now=True) == []


def test_the_next_command_lets_a_stopped_supervisor_go_on_that_has_no_worker(fleet: Fleet) -> None:
    worker, command, job = hidden_run(fleet)
    (supervisor,) = fleet.supervisors
    (guard,) = guards(fleet)
    os.kill(supervisor, signal.SIGSTOP)
    killed(guard, worker)
    assert process("--home", str(fleet.home.root), "status").code == 0
    assert eventually(lambda: not lives(command))
    is_started_again(fleet, job)


def test_doctor_tells_of_workers_that_nobody_would_replace(fleet: Fleet) -> None:
    worker, _, _ = hidden_run(fleet)
    doctor = ("--home", str(fleet.home.root), "doctor")
    assert "OK    supervisors" in process(*doctor).out
    killed(*fleet.pids(pidfile.SUPERVISOR))
    result = process(*doctor)
    assert (result.code, f"that of worker {worker} was killed" in result.out) == (1, True)
    assert eventually(lambda: "was killed: leaving after the job in hand" in fleet.log())


SHIFTED = """
import sys
from contextlib import closing
from pathlib import Path
from queuectl.domain.settings import Settings
from queuectl.system.home import Home
from queuectl.stores import open_store
from queuectl.maintenance.rescuer import Rescuer
with closing(open_store(sys.argv[1])) as store:
    Rescuer(store, Home(Path(sys.argv[2]))).recover(Settings())
    print(len(store.workers.all()))
"""


def test_workers_are_not_taken_for_dead_where_start_times_are_shifted(fleet: Fleet) -> None:
    shifted = ["unshare", "--time", "--boottime", "1000000", "--fork"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*shifted, "true"], check=False).returncode
    ):
        pytest.skip("no time namespace can be made here")
    _, command, job = hidden_run(fleet)
    program = [*shifted, sys.executable, "-c", SHIFTED, fleet.location.store_url]
    ended = subprocess.run(
        [*program, str(fleet.home.root)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert (ended.stdout, ended.stderr) == ("1\n", "")
    assert lives(command)
    assert fleet.job(job.id).runs == 1
