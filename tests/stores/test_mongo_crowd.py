"""Many workers on MongoDB: they spread over the first jobs instead of fighting for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from queuectl.stores.mongo import crowd
from queuectl.stores.mongo.crowd import CROWD, FOR_EACH_WORKER
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Commands
from tests.stores.kit import claimed, claimed_ids, new_job, request, worker_record

FLEET = [f"w{n}" for n in range(CROWD + 1)]
NEAR = FOR_EACH_WORKER * len(FLEET)


@pytest.fixture
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MongoStore:
    """The store of the first worker; so many are registered that they are a crowd."""
    monkeypatch.setattr(crowd, "PAGE_SECONDS", 60.0)  # no page gets old in a slow test
    watched_store: MongoStore = request.getfixturevalue("watched_store")
    for worker in FLEET:
        watched_store.workers.register(worker_record(watched_store, worker))
    return watched_store


@pytest.fixture
def fleet(store: MongoStore, mongo_url: str) -> Iterator[dict[str, MongoStore]]:
    """The store of each worker: what one of them remembers, the others do not know."""
    with ExitStack() as stack:
        others = [stack.enter_context(closing(MongoStore.open(mongo_url))) for _ in FLEET[1:]]
        yield dict(zip(FLEET, [store, *others], strict=True))


def test_every_worker_finds_jobs_that_no_other_is_after(
    store: MongoStore, fleet: dict[str, MongoStore], commands: Commands
) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(NEAR)])
    commands.entries.clear()
    taken = [
        claimed(own, worker=worker).id
        for _ in range(FOR_EACH_WORKER)
        for worker, own in fleet.items()
    ]
    assert sorted(taken) == sorted(f"job{n}" for n in range(NEAR))
    assert commands.names().count("findAndModify") == NEAR


def test_the_highest_priority_goes_first(store: MongoStore) -> None:
    store.insert([new_job(store, f"job{n}", priority=n % 2) for n in range(40)])
    order = claimed_ids(store, 40)
    top = [f"job{n}" for n in range(1, 40, 2)]
    assert sorted(order[:20]) == sorted(top)
    assert order[:20] != top
    assert store.claim(request()) is None


def test_no_job_is_overtaken_by_those_far_behind_it(store: MongoStore) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(2 * NEAR)])
    first = [int(job_id.removeprefix("job")) for job_id in claimed_ids(store, FOR_EACH_WORKER)]
    assert max(first) < NEAR


def test_one_worker_alone_of_a_crowd_takes_every_job(store: MongoStore) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(30)])
    assert sorted(claimed_ids(store, 30)) == sorted(f"job{n}" for n in range(30))


def test_the_page_is_read_afresh_when_another_was_faster(
    store: MongoStore, fleet: dict[str, MongoStore], commands: Commands
) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(3)])
    claimed(store, "default", worker=FLEET[0])
    for _ in range(2):
        claimed(fleet[FLEET[1]], "default", worker=FLEET[1])
    store.insert([new_job(store, "late")])
    commands.entries.clear()
    assert claimed(store, "default", worker=FLEET[0]).id == "late"
    # before them, the queues may be looked at
    assert commands.names()[-3:] == ["findAndModify", "find", "findAndModify"]


def test_a_claim_of_one_candidate_repeats_the_guard(store: MongoStore, commands: Commands) -> None:
    store.insert([new_job(store, "job1", queue="a", priority=3)])
    store.insert([new_job(store, "job2", queue="b", priority=1)])
    commands.entries.clear()
    assert claimed(store).id == "job1"
    (asked,) = [command for name, command in commands.entries if name == "findAndModify"]
    # a server that plans by the first clause alone must find the id there
    assert next(iter(asked["query"])) == "_id"
    assert asked["query"] == {
        "_id": "job1", "ready": True, "queue": "a", "priority": {"$gte": 1},
    }  # fmt: skip
