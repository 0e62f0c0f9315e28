"""What only MongoDB has to show: commands a job, durability, foreign databases, errors."""

from __future__ import annotations

import inspect
import socket
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from queuectl.domain import state_machine
from queuectl.domain.errors import InvalidInput, StoreRefused, StoreUnavailable
from queuectl.stores import open_store
from queuectl.stores.mongo import connection, retention
from queuectl.stores.mongo.crowd import CROWD
from queuectl.stores.mongo.queues import free_numbers
from queuectl.stores.mongo.schema import VERSION
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Commands, failing
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    buried,
    claimed,
    existing,
    new_job,
    request,
    settled,
    worker_record,
)


@pytest.fixture
def mongo_url(new_mongo_url: str) -> str:
    """A store that has all its indexes, as others have."""
    return new_mongo_url


@pytest.fixture
def store(watched_store: MongoStore) -> MongoStore:
    """An empty store of the only kind that is meant here."""
    return watched_store


# speed


@pytest.mark.parametrize(("queues", "workers"), [(1, 1), (3, 1), (1, CROWD + 1)])
def test_a_job_costs_two_commands(
    store: MongoStore, commands: Commands, queues: int, workers: int
) -> None:
    jobs = 20
    for n in range(workers):
        store.workers.register(worker_record(store, f"w{n}"))
    store.insert([new_job(store, f"job{n}", queue=f"q{n % queues}") for n in range(jobs + 1)])
    job = claimed(store)
    commands.entries.clear()
    begun = time.monotonic()
    for _ in range(jobs):
        change = state_machine.finish(job, SUCCESS, store.now())
        applied, (job,) = store.commit_and_claim([change], [request()])
        assert applied == [True]
    seconds = time.monotonic() - begun
    names = commands.names()
    missed = names.count("findAndModify") - jobs
    others = len(names) - names.count("findAndModify") - names.count("update")
    assert names.count("update") <= jobs + seconds + 1
    assert missed <= (seconds + 1) * 2
    assert others <= (seconds + 1) * (queues + 4)


def test_a_claim_from_one_queue_is_one_command(store: MongoStore, commands: Commands) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(2)])
    claimed(store, "default")
    commands.entries.clear()
    claimed(store, "default")
    assert commands.names() == ["findAndModify"]


def test_the_filter_of_a_claim_can_use_its_index(store: MongoStore, commands: Commands) -> None:
    for queue in ("a", "b"):
        added(store, queue, queue=queue)
    commands.entries.clear()
    claimed(store)
    (command,) = [entry for name, entry in commands.entries if name == "findAndModify"]
    assert set(command["query"]) <= {"ready", "queue", "priority"}
    assert command["query"]["ready"] is True
    assert list(command["sort"]) == ["priority", "run_at", "seq"]


@pytest.mark.usefixtures("store")
def test_opening_again_is_one_read(mongo_url: str, commands: Commands) -> None:
    commands.entries.clear()
    MongoStore.open(mongo_url).close()
    assert [name for name in commands.names() if name != "endSessions"] == ["find"]


# durability


@pytest.mark.usefixtures("store")
def test_writes_are_majority_and_journaled_whatever_the_address_says(
    mongo_url: str, commands: Commands
) -> None:
    options = "w=0&journal=false&retryWrites=false&readPreference=secondary"
    other = MongoStore.open(f"{mongo_url}?{options}")
    commands.entries.clear()
    buried(other, "a")
    other.settings.set("a", 1)
    other.insert([new_job(other, "b"), new_job(other, "c")], atomic=True)
    other.close()
    writes = {"insert", "update", "delete", "findAndModify"}
    concerns = [entry.get("writeConcern") for name, entry in commands.entries if name in writes]
    assert len(concerns) > 8
    assert all(concern == {"w": "majority", "j": True} for concern in concerns)


# whose database it is


@pytest.mark.parametrize("name", ["jobs", "dlq"])
def test_collections_of_somebody_else_are_left_alone(
    database: Any, mongo_url: str, name: str
) -> None:
    database[name].insert_one({"_id": 1, "theirs": True})
    with pytest.raises(StoreRefused, match=f"'{name}' that is not queuectl's"):
        open_store(mongo_url)
    assert database.list_collection_names() == [name]
    assert list(database[name].find()) == [{"_id": 1, "theirs": True}]
    assert list(database[name].index_information()) == ["_id_"]


def test_an_opening_that_was_cut_short_is_finished(database: Any, mongo_url: str) -> None:
    database.queuectl_meta.insert_one({"_id": "schema", "version": VERSION, "indexed": False})
    store = MongoStore.open(mongo_url)
    assert store.check() == []
    store.close()


def test_a_missing_index_is_a_fault(store: MongoStore, database: Any) -> None:
    database.jobs.drop_index("claim")
    assert store.check() == ["the index 'claim' of 'jobs' is missing"]


# addresses and errors


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_does_not_answer_is_one_line_without_the_password() -> None:
    port = closed_port()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"mongodb://me:s3cret@127.0.0.1:{port}/x")
    assert time.monotonic() - begun < 30
    text = str(caught.value)
    assert f"127.0.0.1:{port}" in text
    assert "\n" not in text
    assert len(text) < 100
    assert caught.value.hint
    assert "s3cret" not in repr(caught.getrepr(style="long", chain=True).reprcrash)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://me:s3c/ret@host/db",
        "mongodb://me:s3c@ret@host:99999/db",
        "mongodb://me:s3cret@host:port/db",
        "mongodb://me:27017/s3cret@host/db",
        "mongodb://me:s3cret@host/bad name",
        "mongodb+srv://me:s3cret@host:1/db",
    ],
)
def test_a_bad_address_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(InvalidInput, match="address of the MongoDB store is not valid") as caught:
        open_store(url)
    assert "s3c" not in str(caught.value) + caught.value.hint
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://me:s3cret@h1:1,h2/db?authSource=admin", "mongodb://h1:1,h2:27017/db"),
        ("mongodb://me:s3c%40ret@h1", "mongodb://h1:27017/queuectl"),
        ("mongodb://[::1]:5/?appName=x", "mongodb://[::1]:5/queuectl"),
    ],
)
def test_the_address_is_shown_without_credentials(url: str, shown: str) -> None:
    store = MongoStore(connection.Link(url))
    assert store.address == shown
    assert "s3c" not in repr(store) + repr(store.link) + repr(vars(store.link))
    store.close()


@pytest.mark.parametrize(
    ("code", "kind"), [(18, StoreRefused), (13, StoreRefused), (50, StoreUnavailable)]
)
def test_errors_of_the_server_are_told_in_our_words(
    store: MongoStore, code: int, kind: type[Exception]
) -> None:
    fault = OperationFailure("s3cret\nsecond line", code)
    with (
        failing(store, "settings", "find", fault, is_applied=False),
        pytest.raises(kind) as caught,
    ):
        store.settings.all()
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_workers_that_saw_the_same_room_do_not_both_take_it(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(MongoStore.open(mongo_url)) as first, closing(MongoStore.open(mongo_url)) as rival:
        first.set_queue_limit("gpu", limit=1)
        first.insert([new_job(first, name, queue="gpu") for name in ("a", "b")])
        place = "queuectl.stores.mongo.claims.free_numbers"

        def look_and_be_overtaken(*args: Any) -> list[str]:
            numbers = free_numbers(*args)
            monkeypatch.setattr(place, free_numbers)
            assert rival.claim(request(worker="w2", only="b")) is not None
            return numbers

        monkeypatch.setattr(place, look_and_be_overtaken)
        assert first.claim(request(worker="w1")) is None
        assert first.queue_limits()["gpu"].used == 1


def test_a_job_that_is_started_before_its_past_runs_are_forgotten_keeps_them(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = buried(store, "job")
    assert store.commit(state_machine.retry(first, store.now()))
    second = settled(store, claimed(store), FAILURE)
    assert store.commit(state_machine.retry(second, store.now()))
    write = retention._without

    def claims_first(found: Any, old: list[int]) -> Any:
        claimed(store)
        return write(found, old)

    monkeypatch.setattr(retention, "_without", claims_first)
    assert store.retention.forget_runs(store.now() + timedelta(hours=1), 5) == ([], False)
    assert [run.n for run in existing(store, "job").history] == [1, 2]


def test_every_method_speaks_of_the_drivers_errors_in_our_words(store: MongoStore) -> None:
    parts = [part for part in vars(store).values() if hasattr(part, "link")]
    assert len(parts) == 14
    for part in (store, *parts):
        names = [name for name in dir(part) if not name.startswith("_")]
        methods = {name for name in names if inspect.ismethod(getattr(part, name))}
        bare = {name for name in methods if not hasattr(getattr(type(part), name), "__wrapped__")}
        assert bare <= {"open", "open_existing"}
