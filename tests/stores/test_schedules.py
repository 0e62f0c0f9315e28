"""Schedules on every store: kept, changed by compare-and-set, and each run added once."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreRefused
from queuectl.domain.job import Job
from queuectl.domain.schedule import Schedule, run_id
from queuectl.domain.times import UTC
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.exchange import Fired
from queuectl.stores.mongo.store import MongoStore
from tests.stores.conftest import OpenStore
from tests.stores.kit import added, claimed, existing, listed, new_job, settled

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def new_schedule(name: str, next_due: datetime | None = NOON, **more: Any) -> Schedule:
    """Return a schedule to be stored."""
    fields = {"command": ["echo", "$x", "{}"], "env": {"a.b": "$1"}, "labels": ["x"]}
    return Schedule(name, "* * * * *", "UTC", fields, next_due, NOON, **more)


def kept(store: Store, name: str, next_due: datetime | None = NOON, **more: Any) -> Schedule:
    """Store a schedule and return it."""
    schedule = new_schedule(name, next_due, **more)
    assert store.schedules.save(schedule)
    return schedule


def run_of(store: Store, schedule: Schedule) -> Job:
    """Return the job of the run that is due."""
    assert schedule.next_due is not None
    return new_job(store, run_id(schedule.name, schedule.next_due), unique=schedule.unique)


def advanced(schedule: Schedule) -> Schedule:
    """Return the schedule after its run."""
    assert schedule.next_due is not None
    return replace(
        schedule,
        last_due=schedule.next_due,
        next_due=schedule.next_due + MINUTE,
        rev=schedule.rev + 1,
    )


def fire(store: Store, schedule: Schedule) -> Fired:
    """Add the run that is due and advance the schedule."""
    return store.schedules.fire(schedule, run_of(store, schedule), advanced(schedule))


def test_a_schedule_comes_back_as_it_was_stored(store: Store) -> None:
    assert store.schedules.all() == []
    assert store.schedules.get("b") is None
    plain = kept(store, "b")
    full = kept(
        store, "a", None, catch_up=True, overlap=True, paused=True, last_due=NOON - MINUTE,
        skipped_at=NOON - MINUTE, skipped_why="missed", tz_version="2026f", rev=7,
    )  # fmt: skip
    timed = replace(new_schedule("c"), cron=None, every=5400, anchor=NOON - MINUTE)
    assert store.schedules.save(timed)
    assert store.schedules.get("b") == plain
    assert store.schedules.all() == [full, plain, timed]


def test_a_schedule_that_was_stored_before_there_were_intervals_is_read(store: Store) -> None:
    plain = kept(store, "a")
    if isinstance(store, MongoStore):
        unset = dict.fromkeys(("every", "anchor", "tz_version"), "")
        store.link.schedules.update_one({"_id": "a"}, {"$unset": unset})
    assert store.schedules.get("a") == plain


def test_those_that_are_due_come_the_earliest_first(store: Store) -> None:
    kept(store, "paused", paused=True)
    kept(store, "over", None)
    late, early = kept(store, "late", NOON + MINUTE), kept(store, "zearly", NOON)
    assert store.schedules.due(NOON - MINUTE) == []
    assert store.schedules.due(NOON) == [early]
    assert store.schedules.due(NOON + MINUTE) == [early, late]


def test_a_name_is_taken_once(store: Store) -> None:
    first = kept(store, "a")
    assert not store.schedules.save(new_schedule("a", NOON + MINUTE))
    assert store.schedules.get("a") == first


def test_a_schedule_is_changed_only_as_it_was_read(store: Store) -> None:
    first = kept(store, "a")
    second = advanced(first)
    assert store.schedules.save(second, first)
    assert not store.schedules.save(replace(first, paused=True, rev=2), first)
    assert store.schedules.get("a") == second


def test_a_schedule_that_was_removed_is_not_changed_or_fired_again(store: Store) -> None:
    first = kept(store, "a")
    assert store.schedules.remove("a")
    assert not store.schedules.remove("a")
    assert not store.schedules.save(advanced(first), first)
    other = replace(first, created_at=NOON + MINUTE, cron="0 * * * *")
    assert store.schedules.save(other)
    assert not store.schedules.save(advanced(first), first), "another one of the name is there"
    assert fire(store, first) is Fired.LOST
    assert store.schedules.get("a") == other
    assert listed(store) == []


def test_a_run_is_added_and_its_schedule_advanced(store: Store) -> None:
    schedule = kept(store, "a")
    assert fire(store, schedule) is Fired.ENQUEUED
    assert listed(store) == ["a@20261122T1200Z"]
    assert store.schedules.get("a") == advanced(schedule)
    assert claimed(store).id == "a@20261122T1200Z"


def test_who_comes_late_adds_no_run_even_if_the_first_is_gone(opened: OpenStore) -> None:
    store, late = opened(), opened()
    schedule = kept(store, "a")
    assert fire(store, schedule) is Fired.ENQUEUED
    assert fire(late, schedule) is Fired.LOST
    job = settled(store, claimed(store))
    assert store.commit(state_machine.delete(job))
    assert fire(late, schedule) is Fired.LOST
    assert listed(store) == []


def test_a_run_that_was_added_before_a_crash_is_not_added_again(store: Store) -> None:
    schedule = kept(store, "a")
    assert store.insert([run_of(store, schedule)]) == frozenset()
    done = settled(store, claimed(store))
    assert fire(store, schedule) is Fired.ENQUEUED
    assert store.schedules.get("a") == advanced(schedule)
    assert existing(store, done.id) == done


def test_a_run_does_not_overlap_its_predecessor(store: Store) -> None:
    first = kept(store, "a")
    assert fire(store, first) is Fired.ENQUEUED
    second = advanced(first)
    assert fire(store, second) is Fired.OVERLAPS
    running = claimed(store)
    assert fire(store, second) is Fired.OVERLAPS
    assert store.schedules.get("a") == second
    settled(store, running)
    assert fire(store, second) is Fired.ENQUEUED
    assert len(listed(store)) == 2


def test_runs_that_may_overlap_do(store: Store) -> None:
    first = kept(store, "a", overlap=True)
    assert fire(store, first) is Fired.ENQUEUED
    assert fire(store, advanced(first)) is Fired.ENQUEUED
    assert len(listed(store)) == 2


def test_a_schedule_that_cannot_be_read_hides_no_other(store: Store) -> None:
    kept(store, "good")
    bad = replace(new_schedule("bad"), cron="x")
    assert store.schedules.save(bad)
    if isinstance(store, MongoStore):
        store.link.schedules.update_one({"_id": "bad"}, {"$set": {"fields": "{"}})
    else:
        store._db.connection.execute("UPDATE schedules SET fields = '{' WHERE name = 'bad'")  # type: ignore[attr-defined]
    assert [schedule.name for schedule in store.schedules.all()] == ["good"]
    with pytest.raises(StoreRefused, match="schedule 'bad' is damaged"):
        store.schedules.get("bad")


def test_racing_workers_add_each_run_once(store_url: str) -> None:
    runs, racers = 12, 4
    with closing(open_store(store_url)) as store:
        kept(store, "a", overlap=True)
    start = threading.Barrier(racers)

    def race() -> None:
        with closing(open_store(store_url)) as store:
            start.wait()
            while True:
                schedule = store.schedules.get("a")
                assert schedule is not None
                assert schedule.next_due is not None
                if schedule.next_due >= NOON + runs * MINUTE:
                    return
                fire(store, schedule)

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [run_id("a", NOON + number * MINUTE) for number in range(runs)]
    with closing(open_store(store_url)) as store:
        assert sorted(listed(store)) == expected
        last = store.schedules.get("a")
    assert last is not None
    assert last.next_due == NOON + runs * MINUTE


def test_a_key_that_somebody_else_uses_holds_a_run_back_too(store: Store) -> None:
    schedule = kept(store, "a")
    added(store, "mine", unique="schedule:a")
    assert fire(store, schedule) is Fired.OVERLAPS
