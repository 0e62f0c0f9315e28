"""Servers that are none for a queue, or want something first: each is told with its reason."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from queuectl.domain.errors import InvalidInput, QueuectlError, StoreRefused, StoreUnavailable
from queuectl.domain.times import UTC
from queuectl.stores import open_store
from queuectl.stores.mongo import probe, schema
from queuectl.stores.mongo.connection import Link
from queuectl.stores.mongo.schema import MARK
from queuectl.stores.mongo.store import MongoStore
from tests.certificates import certificate_in
from tests.stores.odd_server import HELLO, Answer, Document, is_hello, odd_server

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WHOLE = {**HELLO, "localTime": NOW}
NOT_KNOWN = {"ok": 0.0, "errmsg": "no such command: s3cret", "code": 59}


def answering(hello: Document, other: Document) -> Answer:
    """Answer the handshake with one document, and all else with another."""
    return lambda command: hello if is_hello(command) else other


ODD = {
    "no time": (
        answering(HELLO, {"ok": 1.0, "cursor": {"id": 0, "ns": "x.y", "firstBatch": []}}),
        "does not tell its time (hello.localTime)",
    ),
    "no code": (
        answering(WHOLE, {"ok": 0.0, "errmsg": "s3cret"}),
        "refused a command (without a code)",
    ),
    "named": (
        answering(WHOLE, {"ok": 0.0, "errmsg": "s3cret", "code": 2, "codeName": "BadValue"}),
        "refused a command (error 2, BadValue)",
    ),
    "unknown command": (answering(WHOLE, NOT_KNOWN), "does not know a command"),
    "login": (
        answering(WHOLE, {"ok": 0.0, "errmsg": "no", "code": 13, "codeName": "Unauthorized"}),
        "wants a login",
    ),
    "handshake": (
        answering({"ok": 0.0, "errmsg": "s3cret", "code": 352}, {"ok": 1.0}),
        "refused the handshake (error 352)",
    ),
    "old": (answering({**WHOLE, "maxWireVersion": 2}, {"ok": 1.0}), "too old, or too new"),
}


def refusal(url: str, kind: type[QueuectlError] = StoreRefused) -> str:
    """Open a store, which must be refused; return the line that says why."""
    with pytest.raises(kind) as caught:
        open_store(url)
    text = f"{caught.value}; {caught.value.hint}"
    assert "\n" not in text
    assert "s3cret" not in text
    assert caught.value.hint or "(" in text
    return text


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses the handshake is not asked again for so long."""
    monkeypatch.setattr(schema, "SELECTION_SECONDS", 1.0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("odd", ODD)
def test_a_server_that_cannot_be_used_is_told_with_its_reason(odd: str) -> None:
    answer, why = ODD[odd]
    with odd_server(answer) as address:
        assert why in refusal(f"mongodb://{address}/x")


def test_a_server_that_knows_no_logins_is_told_so() -> None:
    with odd_server(answering(WHOLE, {"ok": 1.0})) as address:
        text = refusal(f"mongodb://me:s3cret@{address}/x")
    assert "knows no logins; leave user and password out of the address" in text


@pytest.mark.usefixtures("hasty")
def test_what_is_no_mongodb_server_is_told_so() -> None:
    import socketserver

    class Web(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            text = refusal(f"mongodb://127.0.0.1:{server.server_address[1]}/x")
        finally:
            server.shutdown()
            thread.join()
    assert "does not speak MongoDB's protocol" in text


@pytest.mark.usefixtures("hasty")
def test_a_server_that_wants_tls_is_told_so(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate_in(tmp_path))
    with odd_server(answering(WHOLE, {"ok": 1.0}), tls) as address:
        assert "wants TLS; add tls=true" in refusal(f"mongodb://{address}/x")
        with_tls = f"mongodb://{address}/x?tls=true"
        assert "do not agree on TLS" in refusal(with_tls, StoreUnavailable)


@pytest.mark.parametrize("path", ["a.b", "a%2Eb?retryWrites=true"])
def test_a_database_with_a_dot_in_its_name_is_refused(path: str) -> None:
    text = refusal(f"mongodb://me:s3cret@h.example/{path}", InvalidInput)
    assert "the name of a MongoDB database has no dot" in text


# what is looked at before a job is entrusted to a server


def keeps_no_filters(_place: Collection[Any], name: str, result: Any) -> Any:
    if name != "index_information":
        return result
    return {key: {k: v for k, v in each.items() if "partial" not in k}
            for key, each in result.items()}  # fmt: skip


def writes_dates_as_text(place: Collection[Any], name: str, result: Any) -> Any:
    if name == "update_one":
        place.update_many({"at": {"$type": "date"}}, [{"$set": {"at": {"$toString": "$at"}}}])
    return result


def groups_wrongly(_place: Collection[Any], name: str, result: Any) -> Any:
    return iter(()) if name == "aggregate" else result


class _Spoiled:
    """A collection of whose methods the results are spoiled."""

    def __init__(self, place: Collection[Any], spoil: Any) -> None:
        self._place, self._spoil = place, spoil

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._place, name)

        def call(*args: Any, **options: Any) -> Any:
            try:
                result = method(*args, **options)
            except DuplicateKeyError:
                if self._spoil is None:
                    return None
                raise
            return self._spoil(self._place, name, result) if self._spoil else result

        return call


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (keeps_no_filters, "names and filters of indexes"),
        (writes_dates_as_text, "keep dates as dates"),
        (groups_wrongly, "group by several fields"),
        (None, "refuse a member of an array that another has"),
    ],
)
def test_a_server_that_does_otherwise_is_refused_before_its_mark_is_written(
    new_mongo_url: str, monkeypatch: pytest.MonkeyPatch, spoil: Any, why: str
) -> None:
    enter = probe._Scratch.__enter__
    monkeypatch.setattr(probe._Scratch, "__enter__", lambda own: _Spoiled(enter(own), spoil))
    assert why in refusal(new_mongo_url)
    with closing(Link(new_mongo_url)) as link:
        assert link.database.list_collection_names() == []


def test_a_server_that_passed_is_not_looked_at_again(
    new_mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Link] = []

    def look(link: Link) -> None:
        looks.append(link)
        probe.require_fit(link)

    monkeypatch.setattr(schema, "require_fit", look)
    for _ in range(2):
        MongoStore.open(new_mongo_url).close()
    assert len(looks) == 1
    with closing(Link(new_mongo_url)) as link:
        assert (link.meta.find_one({"_id": MARK}) or {})["probed"] == probe.PROBE
        assert not [name for name in link.database.list_collection_names() if "probe" in name]
        link.meta.update_one({"_id": MARK}, {"$unset": {"probed": True}})
    existing = MongoStore.open_existing(new_mongo_url)
    assert existing
    existing.close()
    assert len(looks) == 1  # who only looks trusts what others found
    MongoStore.open(new_mongo_url).close()
    assert len(looks) == 2


def test_doctor_lets_several_race_for_each_document(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(MongoStore.open(mongo_url)) as store:
        assert not [fault for fault in store.check() if "two who ask" in fault]
        won = probe._won

        def given_twice(place: Any, owner: int) -> Iterator[int]:
            yield from won(place, owner)
            yield 7

        monkeypatch.setattr(probe, "_won", given_twice)
        assert any("gives one document to two who ask at once (4 of 50)" in fault
                   for fault in store.check())  # fmt: skip
