"""Records that hold no job, written by hand or by a fault: passed over, never in the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import bson
import pytest
from pymongo import MongoClient

from queuectl.domain.dependencies import parent_of
from queuectl.domain.errors import StoreRefused
from queuectl.domain.job import State
from queuectl.domain.query import Filter, Page
from queuectl.stores import serialization
from queuectl.stores.base import Store
from queuectl.stores.mongo.crowd import CROWD
from queuectl.stores.mongo.store import MongoStore
from queuectl.system.store_url import is_mongo
from tests.stores.kit import added, claimed, existing, listed, new_job, request, worker_record

DAY = timedelta(days=1)
MOST_BYTES = 16 * 1024 * 1024
"""How large MongoDB lets a document grow."""


def write(url: str, key: str, field: str, value: object, table: str = "jobs") -> None:
    """Write a value into a record, past everything that looks at it."""
    if is_mongo(url):
        with MongoClient[dict[str, object]](url) as client:
            collection = client.get_default_database()[table]
            assert collection.update_one({"_id": key}, {"$set": {field: value}}).modified_count
        return
    with closing(sqlite3.connect(url, isolation_level=None)) as connection:
        name = table.removeprefix("queuectl_")
        changed = connection.execute(f"UPDATE {name} SET {field} = ? WHERE id = ?", (value, key))
        assert changed.rowcount


def spoil(url: str, key: str, field: str = "env", table: str = "jobs") -> None:
    """Write into one record what no decoder understands."""
    write(url, key, field, 7 if is_mongo(url) else "no JSON", table)


def test_a_handful_goes_on_to_the_next_jobs(store: Store, store_url: str) -> None:
    for name in ("a", "bad", "c", "d"):
        added(store, name)
    spoil(store_url, "bad")
    _, following = store.commit_and_claim([], [request() for _ in range(3)])
    assert [job.id for job in following] == ["a", "c", "d"]


def test_a_listing_leaves_it_out_and_a_lookup_says_why(store: Store, store_url: str) -> None:
    for job_id in ("a", "bad", "z"):
        added(store, job_id)
    spoil(store_url, "bad")
    assert listed(store, Filter(), Page()) == ["a", "z"]
    with pytest.raises(StoreRefused, match="bad"):
        store.get("bad")
    assert existing(store, "z").id == "z"


def test_the_sweep_of_lost_claims_goes_on(store: Store, store_url: str) -> None:
    for job_id in ("bad", "good"):
        added(store, job_id)
        claimed(store, worker="gone", lease=1)
    spoil(store_url, "bad")
    soon = store.now() + timedelta(seconds=60)
    assert [job.id for job in store.leases_ending(soon)] == ["good"]
    assert [job.id for job in store.claimed_by("gone")] == ["good"]


def test_the_registry_of_workers_can_still_be_read(store: Store, store_url: str) -> None:
    for worker_id in ("bad", "good"):
        store.workers.register(worker_record(store, worker_id))
    spoil(store_url, "bad", "queues", "queuectl_workers")
    assert [worker.id for worker in store.workers.all()] == ["good"]


BY_HAND: list[tuple[str, object, object]] = [
    ("command", 7, b"\xff"),
    ("command", "echo \0", "echo \0"),
    ("cwd", 7, b"/"),
    ("env", [["A=B", "c"]], '[["A=B", "c"]]'),
    ("env", 7, "7"),
    ("env", "no JSON", "no JSON"),
    ("priority", "high", "high"),
    ("attempts", "many", "many"),
    ("timeout", "soon", "soon"),
    ("slots", "all", "all"),
    ("run_at", "never", "never"),
]
"""A field, what MongoDB has there, and what SQLite has there, after somebody's hand."""


@pytest.mark.parametrize("how", ["", "limited", "named", "in a crowd"])
def test_what_was_written_by_hand_is_set_aside_and_the_others_are_claimed(
    store: Store, store_url: str, how: str
) -> None:
    if how == "limited":
        store.set_queue_limit("default", limit=4)
    for number in range(CROWD + 1 if how == "in a crowd" else 0):
        store.workers.register(worker_record(store, f"w{number}"))
    names = [f"bad{number}" for number in range(len(BY_HAND))]
    store.insert([new_job(store, name, store.now() - DAY, priority=5) for name in names])
    for name, (field, in_mongo, in_sqlite) in zip(names, BY_HAND, strict=True):
        write(store_url, name, field, in_mongo if is_mongo(store_url) else in_sqlite)
    if how == "named":
        assert [store.claim(request(only=name)) for name in names] == [None] * len(names)
    added(store, "good")
    assert claimed(store).id == "good"
    assert store.claim(request()) is None


def test_a_document_that_is_too_large_to_be_claimed_is_set_aside(
    watched_store: MongoStore, mongo_url: str
) -> None:
    added(watched_store, "bad")
    document = watched_store.link.jobs.find_one({"_id": "bad"}) or {}
    room = MOST_BYTES - len(bson.encode({**document, "pad": ""}))
    write(mongo_url, "bad", "pad", "x" * room)
    added(watched_store, "good")
    assert claimed(watched_store).id == "good"
    assert watched_store.claim(request()) is None


def test_a_state_that_nobody_knows_is_left_out_of_counts_and_named_by_the_check(
    store: Store, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    serialization.known_state.cache_clear()
    for job_id in ("a", "bad", "z"):
        added(store, job_id)
    write(store_url, "bad", "state", "weird")
    assert store.counts().total == 2
    assert store.counts().of(State.PENDING) == 2
    assert [line for line in caplog.messages if "'weird'" in line] == [
        "jobs: what is in the unknown state 'weird' is left out (see queuectl doctor)"
    ]
    assert [fault for fault in store.check() if "'bad'" in fault] == [
        "the record of job 'bad' cannot be read"
    ]


def test_a_job_waits_for_a_parent_in_a_state_that_nobody_knows(
    store: Store, store_url: str
) -> None:
    added(store, "bad")
    write(store_url, "bad", "state", "weird")
    added(store, "child", after=("bad",))
    assert [parent_of(blocker) for blocker in existing(store, "child").blocked_by] == ["bad"]


def test_the_sweep_passes_over_a_parent_in_a_state_that_nobody_knows(
    store: Store, store_url: str
) -> None:
    added(store, "bad")
    write(store_url, "bad", "children_pending", True)
    write(store_url, "bad", "state", "weird")
    assert store.notify_children() == 0


def test_a_time_that_is_none_is_not_the_oldest_nor_the_next(store: Store, store_url: str) -> None:
    added(store, "due")
    store.insert([new_job(store, "later", store.now() + DAY)])
    for name in ("due", "later"):
        write(store_url, name, "run_at", "never")
    assert store.oldest_due() == {}
    assert store.next_due() is None


def test_a_worker_that_is_asked_what_nobody_knows_goes_on(store: Store, store_url: str) -> None:
    store.workers.register(worker_record(store, "w"))
    write(store_url, "w", "stop", "weird", "queuectl_workers")
    assert store.workers.heartbeat("w", 1) is None
