"""Records that hold no job, written by hand or by a fault: passed over, never in the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from pymongo import MongoClient

from queuectl.domain.errors import StoreRefused
from queuectl.domain.filters import Filter, Page
from queuectl.stores import is_mongo
from queuectl.stores.base import Store
from tests.stores.kit import added, claimed, existing, listed, request, worker_record


def spoil(url: str, table: str, key: str, field: str) -> None:
    """Write into one record what no decoder understands."""
    if is_mongo(url):
        with MongoClient[dict[str, object]](url) as client:
            collection = client.get_default_database()[table]
            assert collection.update_one({"_id": key}, {"$set": {field: 7}}).modified_count
        return
    with closing(sqlite3.connect(url, isolation_level=None)) as connection:
        changed = connection.execute(
            f"UPDATE {table.removeprefix('queuectl_')} SET {field} = 'no JSON' WHERE id = ?", (key,)
        )
        assert changed.rowcount


def test_a_claim_goes_on_to_the_next_job(store: Store, store_url: str) -> None:
    added(store, "bad", priority=5)
    added(store, "good")
    spoil(store_url, "jobs", "bad", "env")
    assert claimed(store).id == "good"
    assert store.claim(request()) is None


def test_a_listing_leaves_it_out_and_a_lookup_says_why(store: Store, store_url: str) -> None:
    for job_id in ("a", "bad", "z"):
        added(store, job_id)
    spoil(store_url, "jobs", "bad", "env")
    assert listed(store, Filter(), Page()) == ["a", "z"]
    with pytest.raises(StoreRefused, match="bad"):
        store.get("bad")
    assert existing(store, "z").id == "z"


def test_the_sweep_of_lost_claims_goes_on(store: Store, store_url: str) -> None:
    for job_id in ("bad", "good"):
        added(store, job_id)
        claimed(store, worker="gone", lease=1)
    spoil(store_url, "jobs", "bad", "env")
    soon = store.now() + timedelta(seconds=60)
    assert [job.id for job in store.leases_ending(soon)] == ["good"]
    assert [job.id for job in store.held_by("gone")] == ["good"]


def test_the_registry_of_workers_can_still_be_read(store: Store, store_url: str) -> None:
    for worker_id in ("bad", "good"):
        store.register(worker_record(store, worker_id))
    spoil(store_url, "queuectl_workers", "bad", "queues")
    assert [worker.id for worker in store.workers()] == ["good"]
