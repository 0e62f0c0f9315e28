"""The store goes away between a run and its commit, and comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.hooks import Hook, Target
from queuectl.domain.job import Job, State
from queuectl.domain.times import EPOCH
from queuectl.queue.events import process_all_events
from queuectl.stores.sqlite import writes
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.processes import boot_clock
from tests.chaos.ground import begun, gated, in_hand, open_gate, runs_begun
from tests.stores.server import Mongod, mongod_in
from tests.worker.fleet import Fleet, eventually, fleet_in, run_members

pytestmark = pytest.mark.usefixtures("impatient")

AWAY = "; trying again"
BACK = "the store answers again"
LEASE = 6.0
SHORT = 36
"""Enough jobs for a worker to find out that they are short, and to take many at once."""

LOST = "the claim was lost, its result is discarded"

Outage = tuple[Fleet, Callable[[], AbstractContextManager[object]]]
"""A home, and what takes its store away for a while."""


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


@contextmanager
def killed(mongod: Mongod) -> Iterator[None]:
    """Kill a server, and start it again at the same address."""
    mongod.kill()
    yield
    mongod.start()


@pytest.fixture
def outage(request: pytest.FixtureRequest) -> Outage:
    """A store whose file is locked for longer than a writer waits, or whose server is killed."""
    if request.param == "sqlite":
        fleet: Fleet = request.getfixturevalue("fleet")
        return fleet, partial(locked, fleet)
    mongod: Mongod = request.getfixturevalue("mongod")
    return request.getfixturevalue("far"), partial(killed, mongod)


def notices(fleet: Fleet) -> tuple[int, int]:
    """Return how often the log says that the store is away, and that it is back."""
    log = fleet.log()
    return log.count(AWAY), log.count(BACK)


@pytest.mark.parametrize("outage", ["sqlite", "mongo"], indirect=True)
def test_a_result_is_kept_while_the_store_is_away_and_settles_once(outage: Outage) -> None:
    fleet, away = outage
    fleet.set(lease_seconds=120)
    job = in_hand(fleet)
    with away():
        open_gate(fleet)
        eventually(lambda: AWAY in fleet.log())
    ended = fleet.settled(job.id)
    assert ended.state is State.COMPLETED
    assert ([run.error for run in ended.history], runs_begun(fleet)) == ([None], 1)
    eventually(lambda: BACK in fleet.log())
    assert notices(fleet) == (1, 1)
    assert LOST not in fleet.log()


def test_a_result_of_what_was_taken_back_while_the_file_was_locked_is_discarded(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=60)
    job = in_hand(fleet)
    store = fleet.queue.store
    assert isinstance(store, SqliteStore)
    with store._db.writing():
        open_gate(fleet)
        eventually(lambda: AWAY in fleet.log())
        held, now = store.claimed_by(job.worker or ""), store.now()
        expired = state_machine.expire(held[0], now, 5)  # as another worker does
        assert writes._commit_or_undo(store._db, expired, now)
    ended = fleet.settled(job.id)
    assert ended.state is State.COMPLETED
    assert [run.error for run in ended.history] == ["worker lost", None]
    assert runs_begun(fleet) == 2
    eventually(lambda: LOST in fleet.log() and BACK in fleet.log())
    assert notices(fleet) == (1, 1)


def test_a_job_outlives_two_leases_in_which_the_file_is_locked_and_is_not_started_twice(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=LEASE, poll_interval_sec=0.1)
    job = in_hand(fleet, workers=2)
    with locked(fleet):
        locked_at = boot_clock()
        eventually(lambda: boot_clock() - locked_at > 2 * LEASE)
        assert run_members(job), "it was killed"
    renewed = eventually(lambda: (now := fleet.job(job.id)).claim != job.claim and now)
    assert renewed.is_claimed_by(job.claim.id if job.claim else "")
    open_gate(fleet)
    ended = fleet.settled(job.id)
    assert ended.state is State.COMPLETED
    assert ([run.error for run in ended.history], runs_begun(fleet)) == ([None], 1)


def test_what_had_ended_before_the_file_was_locked_is_not_run_again_while_a_long_job_runs(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=LEASE, poll_interval_sec=0.1)
    root = fleet.root
    grab = f"echo g >> lines; touch {root}/grab; until [ -e {root}/held ]; do :; done"
    commands = [*["echo s >> lines"] * SHORT, grab, gated(fleet)]
    *short, long = fleet.enqueue_all(
        [{"command": command, "cwd": str(root)} for command in commands]
    )
    with ThreadPoolExecutor() as pool:
        locking = pool.submit(_lock_when_asked, fleet, 2 * LEASE)
        fleet.start()
        locking.result()
    for job_id in short:
        assert [run.error for run in fleet.settled(job_id).history] == [None]
    open_gate(fleet)
    assert [run.error for run in fleet.settled(long).history] == [None]
    assert len((root / "lines").read_text().split()) == len(short)
    assert runs_begun(fleet) == 1


def _lock_when_asked(fleet: Fleet, seconds: float) -> None:
    """Wait until a job asks for it, then lock the file for some time."""
    eventually(lambda: (fleet.root / "grab").exists())
    with locked(fleet):
        locked_at = boot_clock()
        (fleet.root / "held").touch()
        eventually(lambda: boot_clock() - locked_at > seconds)


def test_a_claim_that_was_lost_while_others_wrote_is_no_reason_to_go_on(fleet: Fleet) -> None:
    fleet.set(lease_seconds=LEASE, poll_interval_sec=0.1)
    job = in_hand(fleet)
    with locked(fleet) as other:
        other.execute("UPDATE jobs SET claim_id = 'another' WHERE id = ?", (job.id,))
        other.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")
        eventually(lambda: not run_members(job), within=LEASE + 5)


def _is_stopped_in_time(job: Job, lease: float) -> None:
    cut_off = boot_clock()  # no renewal comes through any more
    eventually(lambda: not run_members(job), within=lease + 5)
    assert boot_clock() - cut_off < lease, "it ran on after its lease"


def test_a_graceful_stop_ends_while_the_file_is_locked(fleet: Fleet) -> None:
    fleet.start()
    with locked(fleet):
        assert fleet.stop() == []


@pytest.mark.parametrize(
    "outage", ["sqlite", pytest.param("mongo", marks=pytest.mark.slow)], indirect=True
)
def test_a_worker_that_shall_leave_at_once_while_the_store_is_away_does_so(outage: Outage) -> None:
    fleet, away = outage
    fleet.set(lease_seconds=120)
    job = in_hand(fleet)
    with away():
        assert fleet.stop(now=True) == []
    # it could not be given back, was killed, and is taken back by another worker
    left = fleet.job(job.id)
    assert (left.state, left.history, run_members(left)) == (State.PROCESSING, (), [])
    open_gate(fleet)
    fleet.start()
    ended = fleet.settled(job.id)
    assert (ended.state, ended.attempts) == (State.COMPLETED, 1)
    assert [run.error for run in ended.history] == ["worker lost", None]
    assert runs_begun(fleet) == 2


# deliveries


def test_what_was_delivered_while_the_file_is_locked_is_committed_once(fleet: Fleet) -> None:
    fleet.set(lease_seconds=60)
    delivery = _going_out(fleet)
    with locked(fleet):
        open_gate(fleet)
        eventually(lambda: AWAY in _log_of_courier(fleet))
    ended = fleet.settled(delivery.id)
    assert (ended.state, ended.runs, runs_begun(fleet)) == (State.COMPLETED, 1, 1)
    eventually(lambda: BACK in _log_of_courier(fleet))


def test_a_delivery_is_stopped_before_its_lease_ends_while_the_file_is_locked(
    fleet: Fleet,
) -> None:
    fleet.set(lease_seconds=4)
    delivery = _going_out(fleet)
    with locked(fleet):
        _is_stopped_in_time(delivery, lease=4)
        open_gate(fleet)
    ended = fleet.settled(delivery.id)
    assert (ended.state, ended.attempts, runs_begun(fleet)) == (State.COMPLETED, 1, 2)


def _going_out(fleet: Fleet) -> Job:
    """Let a hook's command run that ends when the gate opens, and return its delivery."""
    hook = Hook(
        "slow", Target.COMMAND, gated(fleet), EPOCH, ("completed",), cwd=str(fleet.root)
    )  # fmt: skip
    fleet.queue.hooks.add(hook)
    fleet.start()
    fleet.ran("true")
    process_all_events(fleet.queue.store)
    (delivery,) = fleet.queue.hooks.deliveries("slow", 2)
    return begun(fleet, delivery.id)


def _log_of_courier(fleet: Fleet) -> str:
    return "".join(path.read_text() for path in fleet.home.worker_logs.glob("*-courier.log"))


# the server alone


@pytest.mark.slow
def test_an_idle_worker_outlives_its_server_and_says_so_once(far: Fleet, mongod: Mongod) -> None:
    far.start()
    mongod.shut_down()
    eventually(lambda: AWAY in far.log())
    mongod.start()
    assert far.ran("true").state is State.COMPLETED
    eventually(lambda: BACK in far.log())
    assert notices(far) == (1, 1)


@pytest.mark.slow
def test_a_job_is_stopped_before_its_lease_ends_when_its_server_is_killed(
    far: Fleet, mongod: Mongod
) -> None:
    far.set(lease_seconds=3)
    job = in_hand(far)
    with killed(mongod):
        _is_stopped_in_time(job, lease=3)
    open_gate(far)
    ended = far.settled(job.id)
    assert (ended.state, ended.attempts) == (State.COMPLETED, 1)
    first, *others = ended.history
    assert first.exit_code is None
    assert [run.error for run in others][-1:] == [None], "the server may be slow once more"
    assert [run.error for run in ended.history].count(None) == 1
    assert runs_begun(far) == len(ended.history)


@pytest.mark.slow
def test_a_graceful_stop_with_a_result_in_hand_waits_no_longer_than_the_lease(
    far: Fleet, mongod: Mongod
) -> None:
    far.set(lease_seconds=4)
    job = in_hand(far)
    with killed(mongod):
        open_gate(far)
        eventually(lambda: AWAY in far.log())
        assert far.stop(timeout=30) == []
    held = far.job(job.id)  # nobody could be given the result: it is run again
    assert (held.state, held.history) == (State.PROCESSING, ())
