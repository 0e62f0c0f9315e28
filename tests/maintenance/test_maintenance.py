"""The chores of a worker: claims that nobody could renew are not taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreLocked
from queuectl.domain.job import State
from queuectl.domain.query import Filter, Page
from queuectl.domain.settings import Settings
from queuectl.maintenance import Maintenance
from queuectl.maintenance.rescuer import Rescuer
from queuectl.stores.base import Store
from queuectl.stores.sqlite.store import SqliteStore
from tests.stores.kit import (
    added,
    claimed,
    existing,
    new_job,
    notify_in_stretches,
    settled,
    worker_record,
)
from tests.worker.fleet import eventually

LEASE = 0.9
SETTINGS = Settings(lease_seconds=LEASE)


class LockableStore(SqliteStore):
    """A store whose lock somebody else has for a while, or for longer than one waits."""

    wait = 0.0
    is_locked = False

    def require_writable(self) -> None:
        """Wait, and give up where that is wanted."""
        time.sleep(self.wait)
        if self.is_locked:
            raise StoreLocked("locked")
        super().require_writable()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LockableStore]:
    """A store with one job that is held, by a worker that does not renew its claim."""
    with closing(LockableStore(tmp_path / "queue.db")) as store:
        added(store, "a")
        claimed(store, lease=LEASE)
        yield store


def is_taken_back(store: Store) -> bool:
    return existing(store, "a").state is State.PENDING


def taken_back_after(store: Store, upkeep: Maintenance) -> float:
    """Do the chores until the job is taken back; return how many seconds that took."""
    began = time.monotonic()

    def look() -> bool:
        upkeep.tick(SETTINGS)
        return is_taken_back(store)

    eventually(look)
    return time.monotonic() - began


def watched_until_it_is_over(store: LockableStore, upkeep: Maintenance) -> None:
    """Watch the claim until its lease has ended, and not an instant longer."""

    def look() -> bool:
        is_over = bool(store.leases_ending(store.now()))
        if not is_over:
            upkeep.rescuer.expire(SETTINGS)
        return is_over

    eventually(look)


def test_a_claim_is_watched_anew_when_the_lock_was_long_in_coming(store: LockableStore) -> None:
    upkeep = Maintenance(store)
    watched_until_it_is_over(store, upkeep)
    store.wait = LEASE / 3 / 2
    begun = time.monotonic()
    upkeep.tick(SETTINGS)
    assert not is_taken_back(store)
    store.wait = 0.0
    taken_back_after(store, upkeep)
    assert time.monotonic() - begun > LEASE / 3 / 2 + LEASE / 3 * 0.9


def test_a_claim_is_watched_anew_after_the_store_was_locked(store: LockableStore) -> None:
    upkeep = Maintenance(store)
    watched_until_it_is_over(store, upkeep)
    store.is_locked = True
    with pytest.raises(StoreLocked):
        upkeep.tick(SETTINGS)
    upkeep.rescuer.watch_anew()  # as whoever has the chores done does when a store is locked
    store.is_locked = False
    assert taken_back_after(store, upkeep) > LEASE / 3 * 0.9


def test_of_several_workers_one_tells_the_many_children_of_a_job(
    store: LockableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify_in_stretches(monkeypatch, 5)
    added(store, "p")
    store.insert([new_job(store, f"c{n}", after_any=("p",)) for n in range(40)])
    settled(store, claimed(store, only="p"))
    turns: list[str] = []

    def take_turn(chore: str, _seconds: float) -> bool:
        turns.append(chore)
        return turns.count("sweep") > 1

    monkeypatch.setattr(store, "try_acquire_turn", take_turn)
    Maintenance(store).tick(SETTINGS)
    assert sum(bool(job.blocked_by) for job in store.find(Filter(), Page())) == 30
    Maintenance(store).tick(SETTINGS)
    assert not any(job.blocked_by for job in store.find(Filter(), Page()))


def test_what_the_guard_of_a_dead_worker_is_late_to_give_back_is_waited_for(
    store: LockableStore,
) -> None:
    begun = existing(store, "a")
    not_begun = [claimed(store, only=added(store, name).id) for name in ("b", "c", "d")]

    def be_a_late_guard() -> None:
        time.sleep(0.5)
        with closing(SqliteStore(Path(store.address))) as other:
            now = other.now()
            other.commit_all([state_machine.finish(job, None, now) for job in not_begun])

    guard = threading.Thread(target=be_a_late_guard)
    guard.start()
    left = Rescuer(store)._left_by_watchdog(worker_record(store, "w1"))
    guard.join()
    assert [job.id for job in left] == [begun.id]


def test_a_dead_worker_that_ran_a_job_in_each_slot_is_looked_at_once(
    store: LockableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "c"):
        added(store, name)
        claimed(store, only=name, alone=False)
    looks: list[float] = []
    monkeypatch.setattr("queuectl.maintenance.rescuer.time.sleep", looks.append)
    worker = replace(worker_record(store, "w1"), slots=3)
    assert [job.id for job in Rescuer(store)._left_by_watchdog(worker)] == ["a", "b", "c"]
    assert len(looks) == 1
