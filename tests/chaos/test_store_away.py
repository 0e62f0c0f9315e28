"""The store goes away between a run and its commit, and comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.hooks import Hook, Target
from queuectl.domain.job import Job, State
from queuectl.domain.times import EPOCH
from queuectl.queue.events import process_all_events
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.processes import boot_clock
from tests.chaos.mongod import Mongod, mongod_in
from tests.worker.fleet import Fleet, eventually, fleet_in, run_members

pytestmark = pytest.mark.usefixtures("impatient")

AWAY = "; trying again"
BACK = "the store answers again"
LEASE = 6.0
SHORT = 36
"""Enough jobs for a worker to find out that they are short, and to take many at once."""

LOST = "the claim was lost, its result is discarded"


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    """A server that the test may kill and start again."""
    with mongod_in(tmp_path / "mongod") as mongod:
        yield mongod


@pytest.fixture
def far(tmp_path: Path, mongod: Mongod) -> Iterator[Fleet]:
    """A home whose store is on that server. The server is there again in the end."""
    (tmp_path / "fleet").mkdir()
    with fleet_in(tmp_path / "fleet", f"mongodb://{mongod.address}/queuectl") as fleet:
        try:
            yield fleet
        finally:
            mongod.kill()
            mongod.start()


@contextmanager
def locked(fleet: Fleet) -> Iterator[sqlite3.Connection]:
    """Hold the file of a store as another program can, so that nobody else writes."""
    path = str(fleet.home.store_file)
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other
        other.execute("ROLLBACK")


def until_told(fleet: Fleet) -> str:
    """Return a command that notes each run and ends when `tell` says so."""
    return f"echo $QUEUECTL_ATTEMPT >> ran; until [ -e {fleet.root}/go ]; do sleep 0.02; done"


def tell(fleet: Fleet) -> None:
    """Let the commands of `until_told` end."""
    (fleet.root / "go").touch()


def runs_noted(fleet: Fleet) -> int:
    """Return how often a command of `until_told` was begun."""
    noted = fleet.root / "ran"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def started(fleet: Fleet, job_id: str) -> Job:
    """Wait until a job's command runs."""
    job = fleet.running(job_id)
    eventually(lambda: runs_noted(fleet) > 0)
    return job


def said(fleet: Fleet) -> tuple[int, int]:
    """Return how often the log says that the store is away, and that it is back."""
    log = fleet.log()
    return log.count(AWAY), log.count(BACK)


# the embedded store, locked for longer than a writer waits


@pytest.mark.parametrize("is_taken_back", [False, True])
def test_a_result_is_kept_while_the_file_is_locked_and_settles_once(
    fleet: Fleet, is_taken_back: bool
) -> None:
    fleet.set(lease_seconds=60)
    job_id = fleet.enqueue(until_told(fleet))
    fleet.start()
    job = started(fleet, job_id)
    store = fleet.queue.store
    assert isinstance(store, SqliteStore)
    with store._writing():
        tell(fleet)
        eventually(lambda: AWAY in fleet.log())
        if is_taken_back:  # what the upkeep of another worker does once a lease is over
            held = store.claimed_by(job.worker or "")
            now = store.now()
            assert store._write(state_machine.expire(held[0], now, 5), now)
    ended = fleet.settled(job_id)
    assert ended.state is State.COMPLETED
    errors = [run.error for run in ended.history]
    assert errors == (["worker lost", None] if is_taken_back else [None])
    assert runs_noted(fleet) == len(errors)
    eventually(lambda: (LOST in fleet.log()) is is_taken_back)
    eventually(lambda: BACK in fleet.log())
    assert said(fleet) == (1, 1)


def test_a_job_outlives_two_leases_in_which_the_file_is_locked_and_is_not_started_twice(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=LEASE, poll_interval_sec=0.1)
    job_id = fleet.enqueue(until_told(fleet))
    fleet.start(2)
    job = started(fleet, job_id)
    with locked(fleet):
        locked_at = boot_clock()
        eventually(lambda: boot_clock() - locked_at > 2 * LEASE)
        assert run_members(job), "it was killed"
    renewed = eventually(lambda: (now := fleet.job(job_id)).claim != job.claim and now)
    assert renewed.is_claimed_by(job.claim.id if job.claim else "")
    tell(fleet)
    ended = fleet.settled(job_id)
    assert ended.state is State.COMPLETED
    assert [run.error for run in ended.history] == [None]
    assert runs_noted(fleet) == 1


def test_what_had_ended_before_the_file_was_locked_is_not_run_again_while_a_long_job_runs(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=LEASE, poll_interval_sec=0.1)
    root = fleet.root
    grab = f"echo g >> lines; touch {root}/grab; until [ -e {root}/held ]; do :; done"
    commands = [*["echo s >> lines"] * SHORT, grab, until_told(fleet)]
    *short, long = fleet.enqueue_all(
        [{"command": command, "cwd": str(root)} for command in commands]
    )
    with ThreadPoolExecutor() as pool:
        locking = pool.submit(_lock_when_asked, fleet, 2 * LEASE)
        fleet.start()
        locking.result()
    for job_id in short:
        assert [run.error for run in fleet.settled(job_id).history] == [None]
    tell(fleet)
    assert [run.error for run in fleet.settled(long).history] == [None]
    assert len((root / "lines").read_text().split()) == len(short)
    assert runs_noted(fleet) == 1


def _lock_when_asked(fleet: Fleet, seconds: float) -> None:
    """Wait until a job asks for it, then lock the file for some time."""
    eventually(lambda: (fleet.root / "grab").exists())
    with locked(fleet):
        locked_at = boot_clock()
        (fleet.root / "held").touch()
        eventually(lambda: boot_clock() - locked_at > seconds)


def test_a_claim_that_was_lost_while_others_wrote_is_no_reason_to_go_on(fleet: Fleet) -> None:
    fleet.set(lease_seconds=LEASE, poll_interval_sec=0.1)
    job_id = fleet.enqueue(until_told(fleet))
    fleet.start()
    job = started(fleet, job_id)
    store = fleet.queue.store
    assert isinstance(store, SqliteStore)
    with locked(fleet) as other:
        other.execute("UPDATE jobs SET claim_id = 'another' WHERE id = ?", (job_id,))
        other.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")
        eventually(lambda: not run_members(job), within=LEASE + 5)


def _sees_it_stopped_in_time(job: Job, lease: float) -> None:
    cut_off = boot_clock()  # no renewal comes through any more
    eventually(lambda: not run_members(job), within=lease + 5)
    assert boot_clock() - cut_off < lease, "it ran on after its lease"


def test_a_graceful_stop_ends_while_the_file_is_locked(fleet: Fleet) -> None:
    fleet.start()
    with locked(fleet):
        assert fleet.stop() == []


def test_a_worker_that_shall_leave_at_once_while_the_file_is_locked_does_so(fleet: Fleet) -> None:
    job_id = _in_hand(fleet)
    with locked(fleet):
        assert fleet.stop(now=True) == []
    _is_run_again(fleet, job_id)


def _in_hand(fleet: Fleet) -> str:
    """Let a worker run a job whose lease does not end soon."""
    fleet.set(lease_seconds=120)
    job_id = fleet.enqueue(until_told(fleet))
    fleet.start()
    started(fleet, job_id)
    return job_id


def _is_run_again(fleet: Fleet, job_id: str) -> None:
    """See that a job could not be given back, was killed, and is taken back by another worker."""
    left = fleet.job(job_id)
    assert (left.state, left.history, run_members(left)) == (State.PROCESSING, (), [])
    tell(fleet)
    fleet.start()
    ended = fleet.settled(job_id)
    assert (ended.state, ended.attempts) == (State.COMPLETED, 1)
    assert [run.error for run in ended.history] == ["worker lost", None]
    assert runs_noted(fleet) == 2


def test_what_was_delivered_while_the_file_is_locked_is_committed_once(fleet: Fleet) -> None:
    fleet.set(lease_seconds=60)
    delivery = _going_out(fleet)
    with locked(fleet):
        tell(fleet)
        eventually(lambda: AWAY in _of_courier(fleet))
    ended = fleet.settled(delivery.id)
    assert (ended.state, ended.runs, runs_noted(fleet)) == (State.COMPLETED, 1, 1)
    eventually(lambda: BACK in _of_courier(fleet))


def test_a_delivery_is_stopped_before_its_lease_ends_while_the_file_is_locked(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=4)
    delivery = _going_out(fleet)
    with locked(fleet):
        _sees_it_stopped_in_time(delivery, lease=4)
        tell(fleet)
    ended = fleet.settled(delivery.id)
    assert (ended.state, ended.attempts, runs_noted(fleet)) == (State.COMPLETED, 1, 2)


def _going_out(fleet: Fleet) -> Job:
    """Let a hook's command run that ends when `tell` says so, and return its delivery."""
    command = until_told(fleet)
    made = Hook("slow", Target.COMMAND, command, EPOCH, ("completed",), cwd=str(fleet.root))
    fleet.queue.hooks.add(made)
    fleet.start()
    fleet.ran("true")
    process_all_events(fleet.queue.store)
    (found,) = fleet.queue.hooks.deliveries("slow", 2)
    return started(fleet, found.id)


def _of_courier(fleet: Fleet) -> str:
    return "".join(path.read_text() for path in fleet.home.worker_logs.glob("*-courier.log"))


# the server, killed and started again at the same address


def test_a_worker_finds_its_server_again_and_commits_what_it_had(
    far: Fleet, mongod: Mongod
) -> None:
    far.set(lease_seconds=120)
    job_id = far.enqueue(until_told(far))
    far.start()
    started(far, job_id)
    mongod.kill()
    tell(far)
    eventually(lambda: AWAY in far.log())
    mongod.start()
    ended = far.settled(job_id)
    assert (ended.state, len(ended.history), runs_noted(far)) == (State.COMPLETED, 1, 1)
    eventually(lambda: BACK in far.log())
    assert said(far) == (1, 1)


@pytest.mark.slow
def test_an_idle_worker_outlives_its_server_and_says_so_once(far: Fleet, mongod: Mongod) -> None:
    far.start()
    mongod.shut_down()
    eventually(lambda: AWAY in far.log())
    mongod.start()
    assert far.ran("true").state is State.COMPLETED
    eventually(lambda: BACK in far.log())
    assert said(far) == (1, 1)


@pytest.mark.slow
def test_a_job_is_stopped_before_its_lease_ends_when_its_server_is_killed(
    far: Fleet, mongod: Mongod
) -> None:
    far.set(lease_seconds=3)
    job_id = far.enqueue(until_told(far))
    far.start()
    job = started(far, job_id)
    mongod.kill()
    _sees_it_stopped_in_time(job, lease=3)
    mongod.start()
    tell(far)
    ended = far.settled(job_id)
    assert ended.state is State.COMPLETED
    first, *others = ended.history
    assert first.exit_code is None
    assert [run.error for run in others][-1:] == [None], "the server may be slow once more"
    assert [run.error for run in ended.history].count(None) == 1
    assert ended.attempts == 1
    assert runs_noted(far) == len(ended.history)


@pytest.mark.slow
def test_a_graceful_stop_with_a_result_in_hand_waits_no_longer_than_the_lease(
    far: Fleet, mongod: Mongod
) -> None:
    far.set(lease_seconds=4)
    job_id = far.enqueue(until_told(far))
    far.start()
    started(far, job_id)
    mongod.kill()
    tell(far)
    eventually(lambda: AWAY in far.log())
    assert far.stop(timeout=30) == []
    mongod.start()
    held = far.job(job_id)  # nobody could be told of the result: upkeep has it run again
    assert (held.state, held.history) == (State.PROCESSING, ())


@pytest.mark.slow
def test_a_worker_that_shall_leave_at_once_while_its_server_is_away_does_so(
    far: Fleet, mongod: Mongod
) -> None:
    job_id = _in_hand(far)
    mongod.kill()
    assert far.stop(now=True) == []
    mongod.start()
    _is_run_again(far, job_id)
