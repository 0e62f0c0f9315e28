"""Changes of many jobs at once: each stands for itself, on every store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymongo.errors import AutoReconnect

from queuectl.domain import state_machine
from queuectl.domain.alike import AlikeJobs
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Store
from queuectl.stores.mongo.store import MongoStore
from queuectl.stores.sqlite import alike as sqlite_alike
from tests.stores.faults import Commands, Crash, failing
from tests.stores.kit import (
    FAILURE,
    added,
    buried,
    claimed,
    claimed_ids,
    existing,
    faults,
    listed,
    new_job,
    settled,
)

LOST = AutoReconnect("connection closed")
MANY = 40
FEW = 3
"""Commands: one to change jobs that are alike, one to read back which; another to spare."""


def test_every_change_is_applied_or_not_by_itself(store: Store) -> None:
    now = store.now()
    dead, gone, done = buried(store, "dead"), buried(store, "gone"), added(store, "done")
    done = settled(store, claimed(store))
    running = claimed(store, only=added(store, "running").id)
    waiting, changed, renewed = (added(store, name) for name in ("waiting", "changed", "renewed"))
    assert store.commit(state_machine.pause(changed, now))
    assert store.commit(state_machine.delete(renewed))
    other = added(store, "renewed")
    assert other.rev == renewed.rev
    applied = store.commit_all([
        state_machine.retry(dead, now),
        state_machine.delete(gone),
        state_machine.delete(done),
        state_machine.cancel(running, now),
        state_machine.cancel(waiting, now),
        state_machine.cancel(changed, now),
        state_machine.cancel(renewed, now),
    ])  # fmt: skip
    assert applied == [True, True, True, True, True, False, False]
    assert sorted(listed(store)) == ["changed", "dead", "renewed", "running", "waiting"]
    assert existing(store, "dead").state is State.PENDING
    assert len(existing(store, "dead").history) == 1
    assert existing(store, "running").cancel_requested
    assert existing(store, "waiting").state is State.CANCELLED
    assert existing(store, "changed").paused
    assert existing(store, "renewed") == other
    assert store.counts().of(State.PENDING) == 3
    assert (store.repair(), faults(store)) == (0, [])


def test_a_key_that_is_taken_keeps_one_job_back_and_no_other(store: Store) -> None:
    dead = [buried(store, name, unique=name[0]) for name in ("a1", "a2", "b1")]
    added(store, "b2", unique="b")
    dead.append(buried(store, "c1"))
    applied = store.commit_all([state_machine.retry(job, store.now()) for job in dead])
    assert applied == [True, False, False, True]
    assert [existing(store, job.id).state for job in dead] == [
        State.PENDING, State.DEAD, State.DEAD, State.PENDING,
    ]  # fmt: skip
    assert sorted(listed(store, Filter(frozenset({State.DEAD})))) == ["a2", "b1"]
    assert store.counts().of(State.DEAD) == 2
    assert (store.repair(), faults(store)) == (0, [])


def test_children_hear_of_parents_that_are_cancelled_or_deleted_with_others(store: Store) -> None:
    store.insert([
        new_job(store, "p"), new_job(store, "q"), new_job(store, "other"),
        new_job(store, "after-p", after_fail=("p",)), new_job(store, "after-q", after_any=("q",)),
    ])  # fmt: skip
    changes = [state_machine.cancel(existing(store, name), store.now()) for name in ("p", "other")]
    assert store.commit_all([*changes, state_machine.delete(existing(store, "q"))]) == [True] * 3
    assert [existing(store, f"after-{name}").blocked_by for name in "pq"] == [(), ()]


def test_jobs_that_are_alike_share_their_commands(
    watched_store: MongoStore, opened_mongo: MongoStore, commands: Commands
) -> None:
    store = watched_store
    store.insert([new_job(store, f"job{n}") for n in range(MANY)])
    jobs = [existing(store, f"job{n}") for n in range(MANY)]
    now = store.now()
    commands.entries.clear()
    assert all(store.commit_all([state_machine.cancel(job, now) for job in jobs]))
    assert len(commands.entries) <= FEW, commands.names()
    jobs = [existing(store, f"job{n}") for n in range(MANY)]
    process_all_events(opened_mongo)
    store.link.changes.size = MANY  # however slow the server was
    commands.entries.clear()
    assert all(store.commit_all([state_machine.delete(job) for job in jobs]))
    assert len(commands.entries) <= FEW, commands.names()


def test_changes_whose_reply_was_lost_count(watched_store: MongoStore) -> None:
    store = watched_store
    jobs = [added(store, name) for name in ("a", "b")]
    with failing(store, "jobs", "bulk_write", LOST, is_applied=True):
        assert (
            store.commit_all([state_machine.cancel(job, store.now()) for job in jobs]) == [True] * 2
        )
    jobs = [existing(store, name) for name in ("a", "b")]
    with failing(store, "jobs", "delete_many", LOST, is_applied=True):
        assert all(store.commit_all([state_machine.delete(job) for job in jobs]))
    assert listed(store) == []


def test_changes_that_never_arrived_can_be_repeated(watched_store: MongoStore) -> None:
    store = watched_store
    changes = [state_machine.cancel(added(store, name), store.now()) for name in ("a", "b")]
    with (
        failing(store, "jobs", "bulk_write", LOST, is_applied=False),
        pytest.raises(StoreUnavailable),
    ):
        store.commit_all(changes)
    assert store.commit_all(changes) == [True] * 2


@pytest.mark.parametrize("is_applied", [True, False])
def test_jobs_on_their_way_out_of_the_dlq_are_seen_once_wherever_a_crash_comes(
    watched_store: MongoStore, is_applied: bool
) -> None:
    store = watched_store
    for place in ("jobs", "dlq"):
        dead = [buried(store, f"{place}{n}") for n in range(2)]
        with (
            failing(store, place, "bulk_write", Crash(), is_applied=is_applied),
            pytest.raises(Crash),
        ):
            store.commit_all([state_machine.retry(job, store.now()) for job in dead])
        has_left = place == "dlq" or is_applied
        assert sorted(listed(store)) == [job.id for job in dead]
        assert {existing(store, job.id).state for job in dead} == {
            State.PENDING if has_left else State.DEAD
        }
        store.repair()
        assert (faults(store), sorted(listed(store))) == ([], [job.id for job in dead])
        if has_left:
            for _ in dead:
                settled(store, claimed(store), FAILURE)
        for job in dead:
            assert store.commit(state_machine.delete(existing(store, job.id)))


# jobs that are alike


def _alike(store: Store, *ids: str) -> AlikeJobs:
    commands = [f'echo "{job_id}" é\\' for job_id in ids]
    return AlikeJobs(new_job(store, "", queue="imports", priority=3), ids, commands)


def test_jobs_that_are_alike_are_stored_as_each_would_be_alone(store: Store) -> None:
    ids = [f"job-{9 - n}" for n in range(10)]
    jobs = _alike(store, *ids)
    assert not store.insert(jobs)
    found = [existing(store, job_id) for job_id in ids]
    assert [replace(job, seq=0) for job in found] == list(jobs)
    assert [job.seq for job in found] == sorted(job.seq for job in found)
    assert store.counts().of(State.PENDING) == 10
    assert claimed_ids(store, 10) == ids
    assert (store.repair(), faults(store)) == (0, [])


def test_of_jobs_that_are_alike_only_those_whose_ids_are_taken_are_refused(store: Store) -> None:
    added(store, "b")
    assert store.insert(_alike(store, "a", "b", "c")) == {"b"}
    assert sorted(listed(store)) == ["a", "b", "c"]
    assert existing(store, "b").spec.queue == "default"
    assert (store.repair(), faults(store)) == (0, [])


def test_atomically_jobs_that_are_alike_are_all_stored_or_none(store: Store) -> None:
    added(store, "b")
    assert store.insert(_alike(store, "a", "b", "c"), atomic=True) == {"b"}
    assert listed(store) == ["b"]
    assert not store.insert(_alike(store, "a", "c"), atomic=True)
    assert sorted(listed(store)) == ["a", "b", "c"]


def test_more_jobs_that_are_alike_than_go_at_once_go_in_their_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_alike, "ALIKE_BATCH", 3)
    ids = list("hgfedcba")
    assert not store.insert(_alike(store, *ids))
    assert claimed_ids(store, 8) == ids
