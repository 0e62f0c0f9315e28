"""How a MongoDB server runs a claim: along the claim index, unsorted, one key for each result.

Only a server that plans queries can say so: name one in `QUEUECTL_TEST_MONGO_URI`. The small test
server answers `explain` with a plan made up from the shape of the query. It knows no limit, no
hint and no range, and shows a sort after every index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from queuectl.stores.mongo.store import MongoStore
from tests.stores.conftest import EXTERNAL
from tests.stores.faults import Commands
from tests.stores.kit import claimed, new_job, request, worker_record

JOBS = 400
CROWD = 9
OF_THE_SESSION = {
    "lsid", "txnNumber", "$db", "$clusterTime", "$readPreference", "writeConcern", "readConcern",
}  # fmt: skip
SORTS = {"SORT", "SORT_MERGE", "sort"}
FULL_SCANS = {"COLLSCAN"}


@pytest.fixture(scope="session")
def mongo_server(request: pytest.FixtureRequest) -> str:
    """The address of the server to ask: a real one where there is one."""
    return EXTERNAL or str(request.getfixturevalue("mongo_server"))


@pytest.fixture
def mongo_url(new_mongo_url: str) -> str:
    """A store that has all its indexes, as others have."""
    return new_mongo_url


@pytest.fixture
def store(watched_store: MongoStore, database: Any) -> MongoStore:
    """A store with a backlog in three queues and three priorities, on a server that plans."""
    watched_store.insert([new_job(watched_store, f"first{n}", queue="q0") for n in range(2)])
    limited = {"find": "jobs", "filter": {"ready": True, "queue": "q0"}, "limit": 1}
    found = explained(database, limited)["executionStats"]
    if found["nReturned"] != 1:
        pytest.skip(
            f"this server's explain does not run the query: it says that a limit of one returns "
            f"{found['nReturned']} (QUEUECTL_TEST_MONGO_URI names a server whose does)"
        )
    jobs = [new_job(watched_store, f"job{n}", queue=f"q{n % 3}") for n in range(JOBS)]
    urgent = [new_job(watched_store, f"top{n}", queue="q0", priority=n % 3) for n in range(JOBS)]
    watched_store.insert([*jobs, *urgent])
    return watched_store


def explained(database: Any, command: Mapping[str, Any]) -> Any:
    """Return what a server says of how it runs a command."""
    bare = {name: value for name, value in command.items() if name not in OF_THE_SESSION}
    return database.command("explain", bare, verbosity="executionStats")


def values_of(plan: object, name: str) -> Iterator[Any]:
    """Yield every value of a name in a plan, however deep: a sharded plan holds one for each."""
    if isinstance(plan, Mapping):
        if name in plan:
            yield plan[name]
        for value in plan.values():
            yield from values_of(value, name)
    elif isinstance(plan, list):
        for value in plan:
            yield from values_of(value, name)


def claim_any(store: MongoStore) -> None:
    claimed(store)


def claim_from_one_queue(store: MongoStore) -> None:
    claimed(store, "q1")


def claim_from_two_queues(store: MongoStore) -> None:
    claimed(store, "q1", "q2")


def claim_beside_others(store: MongoStore) -> None:
    claimed(store, alone=False)


def claim_in_a_crowd(store: MongoStore) -> None:
    for n in range(CROWD):
        store.workers.register(worker_record(store, f"w{n}"))
    claimed(store, "q1")


@pytest.mark.parametrize(
    "act",
    [
        claim_any,
        claim_from_one_queue,
        claim_from_two_queues,
        claim_beside_others,
        claim_in_a_crowd,
    ],
)
def test_a_claim_walks_its_index_and_no_further(
    store: MongoStore, database: Any, commands: Commands, act: Callable[[MongoStore], None]
) -> None:
    commands.entries.clear()
    act(store)
    asked = [
        (name, command)
        for name, command in commands.entries
        if "jobs" in (command.get("find"), command.get("findAndModify"))
    ]
    assert "findAndModify" in [name for name, _ in asked]
    for name, command in asked:
        found = explained(database, command)
        winner = found["queryPlanner"]["winningPlan"]
        by_id = "_id" in command.get("query", {})
        assert not (SORTS | FULL_SCANS).intersection(values_of(winner, "stage")), command
        assert by_id or set(values_of(winner, "indexName")) == {"claim"}, command
        spent = found["executionStats"]
        results = 1 if name == "findAndModify" else spent["nReturned"]
        assert spent["totalKeysExamined"] <= results, command


def test_looking_for_work_in_vain_examines_one_key_at_most(
    store: MongoStore, database: Any, commands: Commands
) -> None:
    commands.entries.clear()
    assert store.claim(request("nothing-here")) is None
    (command,) = [command for name, command in commands.entries if name == "findAndModify"]
    spent = explained(database, command)["executionStats"]
    assert spent["totalKeysExamined"] <= 1
    assert spent["totalDocsExamined"] == 0
