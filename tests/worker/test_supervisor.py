"""The supervisor keeps its workers alive, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.errors import StoreError
from queuectl.domain.job import State
from queuectl.stores.sqlite.connection import connect
from queuectl.system import pidfile
from queuectl.system.home import Location
from queuectl.system.run_processes import members
from queuectl.worker.supervision import manager
from tests.cli.harness import environment
from tests.worker.fleet import Fleet, eventually

ROOT = Path(__file__).parents[2]


def test_a_worker_that_was_killed_is_replaced(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: fleet.pids() not in ([], [pid]))
    assert fleet.ran("true").state is State.COMPLETED
    assert eventually(lambda: f"worker {pid} died (signal 9)" in fleet.log())


def test_a_worker_that_dies_again_and_again_is_replaced_more_slowly(fleet: Fleet) -> None:
    fleet.start()
    waits = [_seconds_to_replace_the_worker_of(fleet) for _ in range(5)]
    assert waits[-1] >= 0.8  # 0, 0.1, 0.2, 0.4 and 0.8 s
    assert waits[0] < waits[-1]


def _seconds_to_replace_the_worker_of(fleet: Fleet) -> float:
    (pid,) = fleet.pids()
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: fleet.pids() not in ([], [pid]))
    return time.monotonic() - begun


def test_starting_on_a_store_that_is_refused_is_one_clear_error(fleet: Fleet) -> None:
    damaged = fleet.root / "damaged.db"
    damaged.write_text("this is no database at all, but a text that is long enough to look\n" * 20)
    with pytest.raises(StoreError, match="not a database"):
        manager.start(Location(fleet.home, str(damaged)), count=3)
    assert eventually(lambda: not pidfile.living(fleet.home))


@pytest.mark.usefixtures("impatient")
def test_a_replacement_waits_for_a_store_that_is_away(fleet: Fleet) -> None:
    fleet.start()
    with closing(connect(Path(fleet.location.store_url))) as rival:
        rival.execute("BEGIN EXCLUSIVE")
        (pid,) = fleet.pids()
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: "is locked by process" in fleet.log())
        rival.execute("ROLLBACK")
    assert fleet.ran("true").state is State.COMPLETED


def test_a_second_start_adds_workers(fleet: Fleet) -> None:
    first, second = fleet.start(1), fleet.start(2)
    assert sorted(fleet.pids()) == sorted([*first, *second])
    assert fleet.stop() == []


def test_workers_started_by_a_job_are_not_killed_with_it(fleet: Fleet) -> None:
    fleet.start()
    job = fleet.running(
        fleet.enqueue(
            f"cd {Path(__file__).parents[2]}; python3 -c 'from pathlib import Path; "
            "from queuectl.system.home import Home, Location; "
            "from queuectl.worker.supervision import manager; "
            f'home = Home(Path("{fleet.home.root}")); '
            f'manager.start(Location(home, "{fleet.location.store_url}"))\'; sleep 60',
            env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        )
    )
    assert eventually(lambda: len(fleet.pids()) == 2)
    assert job.claim is not None
    assert not set(members(job.claim.id, None)) & set(fleet.pids())


ORPHANS = """
import os, time
from queuectl.worker.supervision.supervisor import reap_strangers
own, stranger = (os.posix_spawn("/bin/true", ["true"], os.environ) for _ in range(2))
os.waitid(os.P_PID, own, os.WEXITED | os.WNOWAIT)
os.waitid(os.P_PID, stranger, os.WEXITED | os.WNOWAIT)
reap_strangers({own})
assert os.waitpid(own, 0)[0] == own, "a worker is left to be looked at"
reap_strangers(set())
try:
    os.waitpid(stranger, 0)
except ChildProcessError:
    print("reaped")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only in containers it is the first process")
def test_the_first_process_of_a_container_reaps_what_jobs_leave_behind() -> None:
    program = [sys.executable, "-c", ORPHANS]
    ended = subprocess.run(program, capture_output=True, text=True, env=environment(), check=False)
    assert (ended.stdout, ended.stderr) == ("reaped\n", "")


EARLY = """
import os, signal, sys, types

def loading(args):
    os.kill(1, signal.SIGTERM)
    print("goes on")

sys.modules["queuectl.cli.app"] = types.SimpleNamespace(run_process=loading)
from queuectl.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only in containers it is the first process")
def test_a_container_that_is_stopped_while_it_starts_ends_at_once() -> None:
    first = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if shutil.which("unshare") is None or subprocess.run([*first, "true"], check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    program = [*first, sys.executable, "-c", EARLY]
    ended = subprocess.run(program, capture_output=True, text=True, env=environment(), check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGTERM, "", "")


WORK = """
import sys
at_start = set(sys.modules)
from pathlib import Path
from queuectl.queue import Queue
from queuectl.system.home import Home, Location
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Post, Watchdog
from queuectl.worker.supervision import supervisor
from queuectl.worker.worker import Worker

home = Home(Path(sys.argv[1]))
place = Location(home, str(home.store_file))
supervisor._preload(place.store_url)
loaded = set(sys.modules)
post = Post()
post.man()
Worker(place, WorkerOptions(drain=True), Watchdog(post), "w", lambda: None).run(lambda: None)
print(*sorted(name for name in set(sys.modules) - loaded if name.startswith("queuectl.")))
print(*sorted({"hashlib", "ssl", "asyncio"} & (set(sys.modules) - at_start)))
"""


def test_what_a_worker_needs_to_run_jobs_is_loaded_before_it_is_forked(fleet: Fleet) -> None:
    # what comes later is in no memory that workers share, and looked at by each full collection
    for number in range(3):
        fleet.enqueue("true", f"job{number}")
    work = [sys.executable, "-c", WORK, str(fleet.home.root)]
    told = subprocess.run(work, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert fleet.job("job2").state is State.COMPLETED
    loaded, heavy = told.splitlines()
    seldom = {"queuectl.stores.sqlite.spare_room", "queuectl.stores.sqlite.vacuum"}
    assert set(loaded.split()) <= seldom
    assert not heavy, "each takes the start of a worker ten milliseconds or more"
