"""Every store there is, each as one parameter of the fixture `store`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from pymongo import IndexModel, MongoClient

from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.mongo import connection, dependents
from queuectl.stores.mongo.probe import PROBE
from queuectl.stores.mongo.schema import INDEXED, JOB_INDEXES, MARK, VERSION
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Commands

EXTERNAL = os.environ.get("QUEUECTL_TEST_MONGO_URI", "")
KINDS = ["sqlite", "mongo", *(["mongo-external"] if EXTERNAL else [])]

slow_on_mongo = pytest.mark.parametrize(
    "store_url",
    [kind if kind == "sqlite" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
    indirect=True,
)
"""For what many seconds on MongoDB show again that the quick tests of its store show too."""

on_one_store = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what is decided before the store is asked, or by processes that no store sees."""

HINTED = ("claim", "state_queue_seq", "suspects")
"""The indexes that queries name."""

Documents = dict[str, Any]
OpenStore = Callable[[], Store]


@pytest.fixture
def mongo_url(
    mongo_server: str, mongo_client: MongoClient[Documents], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The address of an empty store of this test's own.

    The small server reads every index of a collection at each step, several times. So the store
    has those alone that decide something. However slow it is, children are notified at once.
    """
    monkeypatch.setattr(dependents, "AT_ONCE_SECONDS", 60.0)
    name = _new_name()
    database = mongo_client[name]
    mark = {"_id": MARK, "version": VERSION, "indexed": INDEXED, "probed": PROBE}
    database.queuectl_meta.insert_one(mark)
    database.jobs.create_indexes([index for index in JOB_INDEXES if _decides(index)])
    yield f"{mongo_server}/{name}"
    mongo_client.drop_database(name)


@pytest.fixture
def new_mongo_url(mongo_server: str, mongo_client: MongoClient[Documents]) -> Iterator[str]:
    """The address of a database of this test's own that nobody has opened yet."""
    name = _new_name()
    yield f"{mongo_server}/{name}"
    mongo_client.drop_database(name)


def _new_name() -> str:
    return f"queuectl_test_{token_hex(6)}"


def _decides(index: IndexModel) -> bool:
    """Whether an index is more than a shorter way."""
    return index.document.get("unique", False) or index.document["name"] in HINTED


def _external() -> Iterator[str]:
    base, _, options = EXTERNAL.partition("?")
    scheme, _, rest = base.partition("://")
    name = _new_name()
    url = f"{scheme}://{rest.partition('/')[0]}/{name}" + (f"?{options}" if options else "")
    yield url
    with MongoClient[Documents](url) as client:
        client.drop_database(name)


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty store, of each kind in turn."""
    if request.param == "sqlite":
        yield str(tmp_path / "queue.db")
    elif request.param == "mongo":
        yield request.getfixturevalue("mongo_url")
    else:
        yield from _external()


@pytest.fixture
def opened(store_url: str) -> Iterator[OpenStore]:
    """Open the same store as often as a test likes; all are closed after it."""
    with ExitStack() as stack:

        def open_one() -> Store:
            store = open_store(store_url)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def store(opened: OpenStore) -> Store:
    """An empty store."""
    return opened()


@pytest.fixture
def commands() -> Commands:
    """What `watched_store` sends."""
    return Commands()


@pytest.fixture
def watched_store(
    mongo_url: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MongoStore]:
    """A store whose commands are noted."""

    def client(*args: Any, **kwargs: Any) -> MongoClient[Documents]:
        return MongoClient(*args, **kwargs, event_listeners=[commands])

    monkeypatch.setattr(connection, "MongoClient", client)
    store = MongoStore.open(mongo_url)
    yield store
    store.close()


@pytest.fixture
def opened_mongo(mongo_url: str) -> Iterator[MongoStore]:
    """Another store over the database of `watched_store`."""
    store = MongoStore.open(mongo_url)
    yield store
    store.close()


@pytest.fixture
def database(mongo_url: str) -> Iterator[Any]:
    """The database itself, without the store."""
    with MongoClient[Documents](mongo_url) as client:
        yield client.get_default_database()
