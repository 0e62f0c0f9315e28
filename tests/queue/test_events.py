"""Workers count what has happened without anybody asking, a little at a time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from queuectl.domain.settings import Settings
from queuectl.domain.stats import Figures
from queuectl.domain.times import EPOCH
from queuectl.queue import events
from queuectl.queue.events import EventProcessor
from queuectl.stores.base import Store
from queuectl.worker.leaving import leave
from queuectl.worker.options import Timings, WorkerOptions
from queuectl.worker.signals import Control
from tests.stores.conftest import OpenStore
from tests.stores.kit import claimed, new_job, settled, worker_record
from tests.worker.fleet import Fleet

ENDINGS = 5


def happened(fleet: Fleet) -> None:
    """Let some runs end that nobody has counted."""
    store = fleet.queue.store
    store.insert([new_job(store, f"j{n}") for n in range(ENDINGS)])
    for _ in range(ENDINGS):
        settled(store, claimed(store))
    assert len(store.stats.pending_events().finished) == ENDINGS


def test_a_tick_of_the_upkeep_counts_what_has_happened(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_LEAST", 2)  # more than one batch
    monkeypatch.setattr(events, "_BUDGET_SECONDS", 60)
    happened(fleet)
    store = fleet.queue.store
    EventProcessor(store).tick(Settings())
    assert store.stats.pending_events().is_empty
    assert store.stats.totals()["default"].completed == ENDINGS


def test_a_worker_leaves_the_counting_to_one_that_was_faster(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_BACKLOG_SECONDS", 3600.0)
    happened(fleet)
    store = fleet.queue.store
    assert store.try_acquire_turn("events", 3600)
    EventProcessor(store).tick(Settings())
    assert len(store.stats.pending_events().finished) == ENDINGS


def test_old_minutes_are_let_go_by_the_setting(fleet: Fleet) -> None:
    happened(fleet)
    store = fleet.queue.store
    told = store.stats.pending_events()
    long_ago = store.now() - timedelta(hours=3)
    minute = long_ago.replace(second=0, microsecond=0)
    assert store.stats.record(told, {("default", minute): {"completed": ENDINGS}})
    EventProcessor(store).tick(replace(Settings(), retention_stats=4 * 3600.0))
    assert store.stats.figures(EPOCH) == {("default", minute): Figures(completed=ENDINGS)}
    EventProcessor(store).tick(Settings(retention_stats=0))
    assert store.stats.figures(EPOCH)
    _let_turns_pass(fleet)
    EventProcessor(store).tick(replace(Settings(), retention_stats=3600.0))
    assert store.stats.figures(EPOCH) == {}
    assert store.stats.totals()["default"].completed == ENDINGS


def _let_turns_pass(fleet: Fleet) -> None:
    """Make every turn at a chore due again."""
    with closing(sqlite3.connect(fleet.location.store_url)) as database, database:
        database.execute("DELETE FROM turns")


def test_the_last_worker_that_leaves_counts_what_is_left(fleet: Fleet) -> None:
    fleet.enqueue("true", "a")
    fleet.start(drain=True)
    fleet.settled("a")
    fleet.stop()
    store = fleet.queue.store
    assert store.stats.pending_events().is_empty
    assert store.stats.totals()["default"].completed == 1


def test_no_backlog_of_events_keeps_the_last_worker_from_leaving(
    opened: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, control = opened(), Control()
    store.workers.register(worker_record(store, "w1"))
    store.insert([new_job(store, f"j{n}") for n in range(ENDINGS)])
    for _ in range(ENDINGS):
        settled(store, claimed(store))
    seen: list[str] = []
    too_late = time.monotonic() + 30

    def told_one(told_in: Store, _limit: int) -> bool:
        """Tell a little of what never ends, and see who is registered meanwhile."""
        seen.extend(str(each.stop) for each in told_in.workers.all())
        assert time.monotonic() < too_late, "it never leaves"
        return True

    monkeypatch.setattr(events, "process_events", told_one)
    monkeypatch.setattr(events, "_MOST_TRIES", 10**9)
    leave(store, "w1", control, WorkerOptions(timings=Timings(leave=0.2)), None)
    assert seen
    assert set(seen) == {"graceful"}, "it is listed as stopping until it goes"
    assert store.workers.all() == []
    control.close()


def test_who_shall_leave_at_once_tells_nothing(opened: OpenStore) -> None:
    store, control = opened(), Control()
    store.insert([new_job(store, "j")])
    settled(store, claimed(store))
    control.request_stop(at_once=True)
    leave(store, "w1", control, WorkerOptions(), None)
    assert len(store.stats.pending_events().finished) == 1
    control.close()
