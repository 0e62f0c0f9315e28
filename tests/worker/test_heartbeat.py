"""The heartbeat: what it does for the claim in hand while it does chores."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from queuectl import maintenance
from queuectl.domain.errors import StoreLocked
from queuectl.domain.job import Job
from queuectl.domain.schedule import Schedule
from queuectl.domain.settings import Settings
from queuectl.stores.base import Store
from queuectl.stores.exchange import Fired, HeldClaim, Renewal
from queuectl.stores.records import BATCH
from queuectl.stores.rules import MOVED_TO
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.processes import boot_clock
from queuectl.worker import heartbeat as heartbeat_module
from queuectl.worker import signals as signals_module
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Post, Watchdog
from queuectl.worker.signals import Control
from queuectl.worker.store_retry import OutageLog
from tests.stores.kit import added, claimed, worker_record
from tests.worker.fleet import eventually

LEASE_SECONDS = 4.0
SLOW_SECONDS = 0.1
CHORE_STEPS = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An embedded store."""
    with closing(SqliteStore(tmp_path / "queue.db")) as store:
        yield store


@pytest.fixture
def control() -> Control:
    """The flags of a worker."""
    return Control()


@contextmanager
def heartbeat_of(
    store: Store, open_store: Callable[[], Store], settings: Settings, control: Control
) -> Iterator[Heartbeat]:
    """The heartbeat of a registered worker, which is stopped in the end if it was started."""
    record, post = worker_record(store, "w1"), Post()
    store.workers.register(record)
    heartbeat = Heartbeat(
        open_store, record, control, Watchdog(post), OutageLog(), settings, options=WorkerOptions()
    )
    try:
        yield heartbeat
    finally:
        if heartbeat._thread.is_alive():
            heartbeat.stop()
        control.close()
        post.close()


class SlowStore(SqliteStore):
    """A store with always more to promote, which notes how often a claim was renewed by then."""

    def __init__(self, path: Path, seen: list[int]) -> None:
        super().__init__(path)
        self._renewals = 0
        self._seen = seen

    def renew(self, held: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
        """Renew claims, counted."""
        self._renewals += 1
        return super().renew(held, lease_seconds)

    def make_due_claimable(self, limit: int = BATCH) -> int:
        """Take a while, and say that there is more to do."""
        time.sleep(SLOW_SECONDS)
        self._seen.append(self._renewals)
        return limit


def test_a_worker_leaves_a_store_that_was_moved(store: SqliteStore, control: Control) -> None:
    with heartbeat_of(
        store, partial(SqliteStore, Path(store.address)), Settings(), control
    ) as heartbeat:
        heartbeat.start()
        assert not control.is_stopping
        store.meta.set(MOVED_TO, "mongodb://elsewhere")
        eventually(lambda: control.is_stopping)


def test_a_store_in_whose_place_another_one_is_is_let_go_and_not_opened_again(
    store: SqliteStore, control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "_TICK_SECONDS", 0.01)
    opened: list[SqliteStore] = []
    looked_at = tries = 0

    def open_store() -> SqliteStore:
        nonlocal tries
        tries += 1
        opened.append(SqliteStore(Path(store.address)))
        return opened[-1]

    def count_look() -> None:
        nonlocal looked_at
        looked_at += control.is_stopping

    with heartbeat_of(store, open_store, Settings(), control) as heartbeat:
        monkeypatch.setattr(heartbeat._watchdog, "rouse", count_look)
        heartbeat.start()
        eventually(lambda: opened)
        monkeypatch.setattr(heartbeat, "_is_in_place", store.is_same_file)
        shutil.copy(store.address, tmp_path / "other.db")
        (tmp_path / "other.db").replace(store.address)
        eventually(lambda: looked_at > 2)
    assert tries == 1
    assert not opened[0]._db.files.is_open


def test_a_short_run_costs_no_renewal_and_one_that_waits_for_its_commit_costs_none_until_it_must(
    store: SqliteStore, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, lease = Clock(), 30.0
    for module in (heartbeat_module, signals_module):
        monkeypatch.setattr(module, "boot_clock", lambda: clock.now)
    renewed: list[list[str]] = []

    def renew(held: Sequence[HeldClaim], _lease: float) -> list[Renewal]:
        renewed.append([claim.claim_id for claim in held])
        return [Renewal.HELD] * len(held)

    monkeypatch.setattr(store, "renew", renew)

    def look() -> list[str]:
        heartbeat._next_renewal = 0.0
        heartbeat._renew_in_time(store)
        return renewed.pop() if renewed else []

    settings = Settings(lease_seconds=lease)
    with heartbeat_of(store, lambda: store, settings, control) as heartbeat:
        for claim in ("runs", "over"):
            heartbeat.hold(claim, claim, clock.now + lease)
        heartbeat.hold("late", "late", clock.now + lease / 2)
        assert look() == ["late"]
        heartbeat.note_over("over")
        clock.now += 1
        assert look() == ["runs", "late"]
        clock.now += lease / 2
        assert look() == ["runs", "over", "late"]


def test_a_claim_is_renewed_in_the_middle_of_long_chores(
    store: SqliteStore, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_PROMOTE_BUDGET_SECONDS", 60)
    added(store, "a")
    job = claimed(store, lease=LEASE_SECONDS)
    assert job.claim is not None
    seen: list[int] = []
    slow, settings = (
        partial(SlowStore, Path(store.address), seen),
        Settings(lease_seconds=LEASE_SECONDS),
    )
    with heartbeat_of(store, slow, settings, control) as heartbeat:
        heartbeat.hold(job.id, job.claim.id, boot_clock() + LEASE_SECONDS)
        heartbeat.start()
        eventually(lambda: len(seen) > CHORE_STEPS)
    assert seen[CHORE_STEPS - 1] > seen[0]


def endless_store(path: Path, begun: threading.Event) -> SqliteStore:
    """A store that takes for ever to enqueue the run of a schedule."""
    store = SqliteStore(path)

    def fire(before: Schedule, job: Job, after: Schedule) -> Fired:
        begun.set()
        ends_at = time.monotonic() + 2 * LEASE_SECONDS
        while time.monotonic() < ends_at:
            store.between()
        raise AssertionError(f"nobody broke it off: {before.name}, {job.id}, {after.rev}")

    store.schedules.fire = fire  # type: ignore[method-assign]
    return store


def test_a_long_chore_is_broken_off_when_its_worker_leaves(
    store: SqliteStore, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    now, begun = store.now(), threading.Event()
    assert store.schedules.save(Schedule("s", "* * * * *", "UTC", {"command": "true"}, now, now))
    endless = partial(endless_store, Path(store.address), begun)
    with heartbeat_of(store, endless, Settings(), control) as heartbeat:
        heartbeat.start()
        assert begun.wait(60)
    assert not caplog.records


class Clock:
    """What `boot_clock` tells in these tests."""

    now = 1000.0


class LockedStore(SqliteStore):
    """A store into which nobody can write, which is found out after as long as that takes."""

    def __init__(self, path: Path, clock: Clock, control: Control) -> None:
        super().__init__(path)
        self._clock = clock
        self._control = control

    def renew(self, held: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
        """Wait for turn and lock in vain, with the pause before it."""
        self._clock.now += 3 * lease_seconds / 16
        ids = frozenset(each.claim_id for each in held)
        assert not any(map(self._control.halt, ids)), "the job was stopped meanwhile"
        fault = StoreLocked("locked")
        fault.claims_standing = ids
        raise fault


@pytest.mark.parametrize("late", [0.0, 0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("lease", [2, 4, 6, 8, 10, 15, 30, 300])
def test_the_end_of_a_job_is_put_off_in_time_while_nobody_can_write(
    tmp_path: Path, control: Control, monkeypatch: pytest.MonkeyPatch, lease: float, late: float
) -> None:
    clock = Clock()
    for module in (heartbeat_module, signals_module):
        monkeypatch.setattr(module, "boot_clock", lambda: clock.now)
    settings = Settings(lease_seconds=lease)
    with (
        closing(LockedStore(tmp_path / "queue.db", clock, control)) as store,
        heartbeat_of(store, lambda: store, settings, control) as heartbeat,
    ):
        heartbeat.hold("a", "claim", clock.now + lease - late * 3 * lease / 16)
        heartbeat._held["claim"].renew_at = 0.0  # it has been in hand for a while
        for _ in range(20):
            heartbeat._next_renewal = 0.0
            with pytest.raises(StoreLocked):
                heartbeat._renew_in_time(store)
