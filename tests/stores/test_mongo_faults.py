"""MongoDB: a reply is lost, or the process ends between two writes of one move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.queue.events import process_all_events
from queuectl.stores.mongo import batches, stats
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Crash, failing
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    buried,
    claimed,
    existing,
    faults,
    listed,
    new_job,
    request,
    settled,
)

DEAD = Filter(states=frozenset({State.DEAD}))


@pytest.fixture
def store(watched_store: MongoStore) -> MongoStore:
    """An empty store of the only kind that is meant here."""
    return watched_store


# lost replies


LOST = AutoReconnect("connection closed")


def test_a_claim_that_never_arrived_can_be_repeated(store: MongoStore) -> None:
    added(store, "a")
    wanted = request(claim_id="same")
    with (
        failing(store, "jobs", "find_one_and_update", LOST, is_applied=False),
        pytest.raises(StoreUnavailable),
    ):
        store.claim(wanted)
    assert claimed(store, claim_id="same", repeated=True).id == "a"


def test_one_claim_id_never_holds_two_jobs(store: MongoStore) -> None:
    added(store, "a")
    added(store, "b")
    first = claimed(store, claim_id="same")
    assert claimed(store, claim_id="same") == first
    assert existing(store, "b").state is State.PENDING


def test_a_commit_that_never_arrived_can_be_repeated(store: MongoStore) -> None:
    added(store, "a")
    change = state_machine.finish(claimed(store), SUCCESS, store.now())
    with (
        failing(store, "jobs", "update_one", LOST, is_applied=False),
        pytest.raises(StoreUnavailable),
    ):
        store.commit(change)
    assert store.commit(change)


def test_jobs_that_never_arrived_are_sent_again(store: MongoStore) -> None:
    added(store, "b")
    batch = [new_job(store, job_id) for job_id in ("a", "b", "c")]
    with failing(store, "jobs", "insert_many", LOST, is_applied=False):
        assert store.insert(batch) == {"b"}
    assert sorted(listed(store)) == ["a", "b", "c"]


@pytest.mark.parametrize("is_applied", [True, False])
def test_an_atomic_batch_whose_reply_was_lost_is_stored_or_not(
    store: MongoStore, is_applied: bool
) -> None:
    batch = [new_job(store, job_id) for job_id in ("a", "b")]
    with failing(store, "batches", "update_one", LOST, is_applied=is_applied):
        if is_applied:
            assert store.insert(batch, atomic=True) == frozenset()
        else:
            with pytest.raises(StoreUnavailable):
                store.insert(batch, atomic=True)
    assert listed(store) == (["a", "b"] if is_applied else [])
    assert store.insert(batch, atomic=True) == ({"a", "b"} if is_applied else frozenset())


# crashes between two steps


@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("place", ["dlq", "jobs"])
def test_a_job_is_retried_out_of_a_burial_cut_short(
    store: MongoStore, database: Any, place: str, is_applied: bool
) -> None:
    added(store, "a")
    change = state_machine.finish(claimed(store), FAILURE, store.now())
    with failing(store, place, "replace_one", Crash(), is_applied=is_applied), pytest.raises(Crash):
        store.commit(change)
    retry = state_machine.retry(existing(store, "a"), store.now())
    assert store.commit(retry)
    assert existing(store, "a") == retry.after
    store.repair()
    assert faults(store) == []
    assert existing(store, "a") == retry.after
    assert database.dlq.count_documents({}) == 0


def test_the_copy_of_a_deleted_job_does_not_stand_for_its_successor(store: MongoStore) -> None:
    dead = buried(store, "a", max_retries=1)
    for _ in range(3):
        assert store.commit(state_machine.retry(dead, store.now()))
        dead = settled(store, claimed(store), FAILURE)
    with (
        failing(store, "dlq", "bulk_write", Crash(), is_applied=False),
        pytest.raises(Crash),
    ):
        store.commit(state_machine.delete(dead))
    successor = buried(store, "a", command="echo new")
    assert successor.spec.command == "echo new"
    assert existing(store, "a") == successor
    assert faults(store) == []


def test_who_comes_late_to_keep_what_a_deleted_job_has_been_through_brings_nothing_back(
    store: MongoStore, opened_mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(store, "a")
    job = settled(store, claimed(store))
    real = stats._keep_moved

    def late(*batch: Any) -> None:
        monkeypatch.setattr(stats, "_keep_moved", real)
        process_all_events(opened_mongo)
        real(*batch)

    monkeypatch.setattr(stats, "_keep_moved", late)
    assert store.commit(state_machine.delete(job))
    process_all_events(store)
    assert store.stats.totals()["default"].completed == 1


# atomic batches


def test_a_staged_batch_is_seen_by_nobody(store: MongoStore, database: Any) -> None:
    batch = [new_job(store, job_id, generated_id=True) for job_id in ("a", "b")]
    with (
        failing(store, "batches", "update_one", Crash(), is_applied=False),
        pytest.raises(Crash),
    ):
        store.insert(batch, atomic=True)
    assert database.jobs.count_documents({}) == 2
    assert store.get("a") is None
    assert listed(store) == store.generated_ids("", 9) == []
    assert store.counts().total == 0
    assert store.claim(request()) is None
    assert store.claim(request(only="a")) is None
    store.repair()
    assert database.jobs.count_documents({}) == 2, "its writer may still be at work"
    created = store.now() - timedelta(seconds=batches.ABANDONED_SECONDS + 1)
    database.queuectl_batches.update_one({}, {"$set": {"created_at": created}})
    assert faults(store) != []
    assert store.repair() == 1
    assert database.jobs.count_documents({}) == 0
    assert store.insert(batch, atomic=True) == frozenset()


def test_a_committed_batch_is_whole_before_it_can_be_claimed(store: MongoStore) -> None:
    due = [new_job(store, job_id) for job_id in ("a", "b")]
    later_on = new_job(store, "c", store.now() + timedelta(hours=1))
    with (
        failing(store, "jobs", "update_many", Crash(), is_applied=False),
        pytest.raises(Crash),
    ):
        store.insert([*due, later_on], atomic=True)
    assert listed(store) == ["a", "b", "c"]
    assert store.counts().of(State.PENDING) == 3
    assert store.claim(request()) is None
    assert store.commit(state_machine.cancel(existing(store, "b"), store.now()))
    assert store.repair() == 1
    assert claimed(store).id == "a"
    assert store.claim(request()) is None
    assert existing(store, "b").state is State.CANCELLED
    assert store.next_due() == later_on.run_at
