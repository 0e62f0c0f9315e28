"""What the simulation promises, and what it shows of the store."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from secrets import token_hex
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from queuectl.domain.times import UTC
from queuectl.stores.mongo.schema import JOB_INDEXES
from queuectl.system import run_processes
from tests.simulation.database import Collection
from tests.simulation.documents import Document, copied, matches, updated
from tests.simulation.fences import SAFEGUARDS, Safeguard, broken_without
from tests.simulation.network import Faults
from tests.simulation.scenario import Scenario, simulate

ROUGH = Scenario(
    hosts=12, jobs=300, queues=3, seconds=(0.01, 2.0), failing=10, limit=4, licences=3,
    crashes=20, cuts=10, cut_seconds=15.0, lease=10.0, faults=Faults(lost=3.0, timeout=5.0),
)  # fmt: skip
"""All at once: retries, a limit, resources, crashes, partitions, lost requests and replies."""


@pytest.mark.timeout(900)
def test_a_hundred_hosts_run_twenty_thousand_jobs() -> None:
    found = simulate(Scenario(hosts=100, jobs=20_000, patience=60.0), seed=1)
    assert found.runs == 20_000
    assert found.commands_a_job < 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_promise_is_broken_whatever_hosts_and_network_do(seed: int, remembers: bool) -> None:
    faults = replace(ROUGH.faults, remembers=remembers)
    found = simulate(replace(ROUGH, faults=faults), seed)
    assert found.runs >= 300
    assert 0 < found.recovery < 6 * ROUGH.lease


def test_the_same_seed_gives_the_same_course() -> None:
    courses = [simulate(ROUGH, seed).as_dict() for seed in (5, 5, 6)]
    assert courses[0] == courses[1] != courses[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=[each.name for each in SAFEGUARDS])
def test_without_a_safeguard_a_promise_is_broken(safeguard: Safeguard) -> None:
    assert broken_without(safeguard, 1) is not None
    simulate(safeguard.scenario, 1)  # with it none is


def test_what_really_runs_is_seen_after_a_simulation_as_before() -> None:
    simulate(ROUGH, seed=1)
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in [process.pid for process in run_processes._PROCESSES.look()]
        child.kill()


def test_workers_do_not_fight_for_the_first_job_of_a_queue_with_a_limit() -> None:
    slow = Faults(delay=0.02)
    crowded = Scenario(hosts=40, jobs=400, limit=20, limited=1, seconds=(0.05, 0.2), faults=slow)
    found = simulate(crowded, seed=1)
    assert found.conflicts_a_claim < 5  # 22 where all go for the very first one
    assert found.commands_a_job < 40


def test_a_query_that_no_index_serves_is_found() -> None:
    jobs = Collection("jobs")
    jobs.insert_many([{"_id": number} for number in range(1000)])
    with pytest.raises(AssertionError, match="no index of jobs serves"):
        jobs.find({"state": "pending"})


DOCUMENTS: list[Document] = [
    {"_id": 1},
    {"_id": 2, "a": None, "b": "x"},
    {"_id": 3, "a": 5, "b": "y", "c": {"d": 1}},
    {"_id": 4, "a": [1, 5], "c": {"d": [1, 2]}, "h": [{"n": 1, "m": "p"}, {"n": 2, "m": "q"}]},
    {"_id": 5, "a": "text", "b": ["x", "y"], "h": []},
    {"_id": 6, "a": True, "c": {}, "h": [{"n": 2, "m": "p"}]},
]
FILTERS: list[Document] = [
    {}, {"a": 5}, {"a": None}, {"a": {"$ne": 5}}, {"a": {"$ne": None}}, {"b": "x"}, {"a": True},
    {"a": {"$in": [5, "text"]}}, {"a": {"$nin": [5]}}, {"a": {"$gt": 1}}, {"a": {"$lte": 5}},
    {"b": {"$gt": "", "$lt": "y"}}, {"c.d": 1}, {"c.d": {"$exists": True}}, {"h.n": 2},
    {"h": {"$elemMatch": {"n": 2, "m": "p"}}}, {"a": {"$type": "string"}},
    {"$or": [{"a": 5}, {"b": "x"}]}, {"$and": [{"a": 5}, {"b": "y"}]}, {"_id": {"$in": [1, 4, 9]}},
]  # fmt: skip
UPDATES: list[Document] = [
    {"$set": {"a": 1, "c.d": 2}}, {"$unset": {"a": "", "c.d": ""}}, {"$inc": {"n": 2, "c.e": 1}},
    {"$max": {"n": 3}}, {"$push": {"h": {"$each": [{"n": 9}], "$slice": -2}}},
    {"$push": {"g": 1}}, {"$pull": {"h": {"m": "p"}}},
]  # fmt: skip


@pytest.fixture
def database(mongo_client: MongoClient[Document]) -> Iterator[Any]:
    """A database of this test's own on a real wire server."""
    name = f"simulated_{token_hex(6)}"
    options = CodecOptions[Document](tz_aware=True, tzinfo=UTC)
    yield mongo_client.get_database(name, codec_options=options)
    mongo_client.drop_database(name)


@pytest.fixture
def real(database: Any) -> Any:
    """A collection there."""
    return database["compared"]


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_filters_match_what_they_match_on_a_server(real: Any, where: Document) -> None:
    real.insert_many(DOCUMENTS)
    found = [each["_id"] for each in real.find(where).sort("_id", 1)]
    assert [each["_id"] for each in DOCUMENTS if matches(each, where)] == found


@pytest.mark.parametrize("change", UPDATES, ids=str)
def test_updates_change_what_they_change_on_a_server(real: Any, change: Document) -> None:
    for document in (DOCUMENTS[0], DOCUMENTS[3]):
        real.insert_one(dict(document))
        wanted = {"_id": document["_id"]}
        real.update_one(wanted, change)
        assert updated(document, change, wanted) == real.find_one(wanted)


def test_commands_are_answered_as_a_server_answers_them(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All commands of one course, sent once more to a wire server in the order of their effect."""
    commands = Recorded(monkeypatch)
    simulate(Scenario(hosts=4, jobs=80, limit=2, licences=2, failing=20, queues=2), seed=1)
    database["jobs"].create_indexes([each for each in JOB_INDEXES if each.document.get("unique")])
    for place, method, arguments, answer in commands.all:
        again = answered(database[place], method, arguments)
        assert again == answer, (place, method, arguments)
    assert len(commands.all) > 300


class Recorded:
    """The commands that the server in memory has done, each with its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: list[tuple[str, str, inspect.BoundArguments, Any]] = []
        self._is_within = False
        for name in COMMANDS:
            monkeypatch.setattr(Collection, name, self._recording(getattr(Collection, name)))

    def _recording(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def act(place: Collection, *args: Any, **named: Any) -> Any:
            if self._is_within:  # a part of another one
                return method(place, *args, **named)
            bound = inspect.signature(method).bind(place, *copied(args), **named)
            bound.apply_defaults()
            self._is_within = True
            try:
                answer = method(place, *args, **named)
                told = comparable(method.__name__, bound, answer)
                return answer
            except PyMongoError as refused:
                told = type(refused).__name__
                raise
            finally:
                self._is_within = False
                self.all.append((place.name, method.__name__, bound, told))

        return act


COMMANDS = (
    "find", "distinct", "insert_one", "insert_many", "find_one_and_update", "update_one",
    "update_many", "replace_one", "delete_many", "bulk_write",
)  # fmt: skip


def answered(place: Any, method: str, bound: inspect.BoundArguments) -> Any:
    """Send a command to a real server, and return its answer as `comparable` has it."""
    given = {**bound.arguments}
    del given["self"]
    try:
        answer = _send(place, method, given)
    except PyMongoError as refused:
        return type(refused).__name__
    return comparable(method, bound, answer)


def _send(place: Any, method: str, given: dict[str, Any]) -> Any:
    if method == "find":
        found = place.find(given["where"] or {}, given["fields"], limit=given["limit"])
        return list(found.sort(given["sort"]) if given["sort"] else found)
    if method == "distinct":
        return place.distinct(given["field"], given["where"])
    if method == "find_one_and_update":
        return place.find_one_and_update(
            given["where"], given["change"], given["fields"], sort=given["sort"] or None,
            upsert=given["upsert"], return_document=given["is_after"],
        )  # fmt: skip
    if method == "delete_many":
        return (place.delete_one if given["most"] else place.delete_many)(given["where"])
    if method in ("insert_many", "bulk_write"):
        return getattr(place, method)(*given.values(), ordered=False)
    return getattr(place, method)(**{WORDS.get(name, name): each for name, each in given.items()})


WORDS = {"where": "filter", "change": "update", "whole": "replacement"}


def comparable(method: str, bound: inspect.BoundArguments, answer: Any) -> Any:
    """Return what of an answer does not depend on which of equal documents a server takes first."""
    if method == "find":
        given = bound.arguments
        if given["limit"] and not given["sort"]:
            return bool(answer)
        rows = [shown(each, given["fields"]) for each in answer]
        return rows if given["sort"] else sorted(rows, key=lambda each: str(each["_id"]))
    if method == "distinct":
        return sorted(answer)
    if method == "find_one_and_update":
        return None if answer is None else shown(answer, bound.arguments["fields"])
    names: tuple[str, ...] = ("matched_count", "modified_count")
    if method != "bulk_write":
        names = (*names, "deleted_count", "upserted_id")
    return [getattr(answer, name, None) for name in names]


def shown(document: Document, fields: Any) -> Document:
    """Return the fields of an answer that were asked for; a path into one counts as the whole."""
    if not fields or not any(fields.values()):
        return document
    return {name: document[name] for name in sorted({"_id", *fields}) if name in document}
