"""What a single document can show without a server: mongomock stands in for one thread's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import mongomock
import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreRefused
from queuectl.domain.job import Claim, Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.times import UTC, later
from queuectl.stores.mongo import connection, schema
from queuectl.stores.mongo.connection import Link
from queuectl.stores.mongo.documents import (
    STUB_FIELDS,
    fence,
    new_stamp,
    run_filter,
    to_document,
    to_job,
    to_stub,
    update,
)
from queuectl.stores.mongo.probe import PROBE
from queuectl.stores.mongo.schema import (
    INDEXED,
    JOB_INDEXES,
    MARK,
    VERSION,
    missing_indexes,
    prepare,
)
from tests.stores.kit import FAILURE, SUCCESS

NOW = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
SPECS = [
    Spec(id="job1", command="true"),
    Spec(id="job2", command=("printf", "%s", "$x", "")),
    Spec(
        id="job.3", command="echo 'ü' \\", queue="gpu", priority=-3, max_retries=7,
        backoff_base=1.5, backoff_cap=9.0, timeout=0.25, cwd="/tmp/a b",
        env=(("A", "$1"), ("B", "")), labels=("x", "$y"), generated_id=True,
    ),
]  # fmt: skip


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """A link to a server that is not there."""

    def client(url: str, **_options: Any) -> Any:
        return mongomock.MongoClient(url, tz_aware=True)

    monkeypatch.setattr(connection, "MongoClient", client)
    monkeypatch.setattr(Link, "now", lambda _link: NOW)
    monkeypatch.setattr(schema, "require_fit", lambda _link: None)  # which mongomock is not
    link = Link("mongodb://nowhere/queue")
    yield link
    link.close()


def pending(spec: Spec) -> Job:
    return replace(state_machine.enqueue(spec, None, NOW), seq=1)


def processing(spec: Spec) -> Job:
    claim = Claim("claim1", "w1", later(NOW, 30))
    return replace(
        pending(spec), state=State.PROCESSING, attempts=1, runs=1, rev=1, claim=claim,
        worker="w1", started_at=NOW,
    )  # fmt: skip


def stored(link: Link, job: Job) -> Job:
    """Write a job and read it back."""
    link.jobs.insert_one(to_document(job, NOW))
    return found(link, job.id)


def found(link: Link, job_id: str) -> Job:
    document = link.jobs.find_one({"_id": job_id})
    assert document is not None
    return to_job(document)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
@pytest.mark.parametrize("make", [pending, processing])
def test_a_job_comes_back_as_it_was_written(link: Link, spec: Spec, make: Any) -> None:
    job = make(spec)
    assert stored(link, job) == job


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_settled_job_comes_back_with_its_run(link: Link, spec: Spec, outcome: Any) -> None:
    change = state_machine.finish(stored(link, processing(spec)), outcome, NOW)
    assert change.after is not None
    assert change.run is not None
    what = update(change, change.after, NOW, new_stamp())
    assert link.jobs.update_one(fence(change), what).matched_count == 1
    assert found(link, spec.id) == replace(change.after, history=(change.run,))
    assert link.jobs.find_one(run_filter(change)) is not None
    document = link.jobs.find_one({"_id": spec.id})
    assert document is not None
    assert ("ready" in document) == (change.after.state is State.FAILED)
    assert document.get("moving", False) is (change.after.state is State.DEAD)


def test_a_stub_keeps_what_filters_look_at_and_no_output() -> None:
    document = {**to_document(processing(SPECS[2]), NOW), "stamp": "s", "token": "t"}
    kept = {name: document[name] for name in STUB_FIELDS if name in document}
    assert to_stub(document) == {**kept, "stub": True}
    assert {"_id", "seq", "rev", "state"} <= kept.keys()
    assert not {"stdout", "stderr", "history"} & kept.keys()


def test_preparing_makes_the_mark_and_every_index(link: Link) -> None:
    prepare(link)
    assert link.meta.find_one({"_id": MARK}) == {
        "_id": MARK,
        "version": VERSION,
        "indexed": INDEXED,
        "probed": PROBE,
    }
    present = link.jobs.index_information()
    for index in JOB_INDEXES:
        made = present[index.document["name"]]
        assert list(made["key"]) == list(index.document["key"].items())
        assert made.get("unique", False) == index.document.get("unique", False)
    assert missing_indexes(link) == []


def test_a_database_from_before_an_index_gets_it_when_it_is_opened(link: Link) -> None:
    prepare(link)
    link.jobs.drop_index("suspects")
    link.meta.update_one({"_id": MARK}, {"$set": {"indexed": True}})
    prepare(link)
    assert missing_indexes(link) == []
    assert (link.meta.find_one({"_id": MARK}) or {})["indexed"] == INDEXED


def test_a_database_from_before_an_index_went_loses_it_when_it_is_opened(link: Link) -> None:
    prepare(link)
    link.jobs.create_index("queue", name="running", partialFilterExpression={"state": "processing"})
    link.meta.update_one({"_id": MARK}, {"$set": {"indexed": INDEXED - 1}})
    for _ in range(2):
        prepare(link)
        assert "running" not in link.jobs.index_information()
        link.meta.update_one({"_id": MARK}, {"$set": {"indexed": INDEXED - 1}})
    assert missing_indexes(link) == []


def test_a_prepared_database_is_left_as_it_is(link: Link) -> None:
    prepare(link)
    link.jobs.drop_index("claim")
    prepare(link)
    assert missing_indexes(link) == ["claim"]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (VERSION + 1, "a newer queuectl"),
        (VERSION - 1, "a development version"),
        ("1", "is damaged"),
        (None, "is damaged"),
    ],
)
def test_a_mark_that_is_not_ours_to_read_is_refused(link: Link, version: object, told: str) -> None:
    link.meta.insert_one({"_id": MARK, "version": version})
    with pytest.raises(StoreRefused, match=told):
        prepare(link)
    assert list(link.meta.find()) == [{"_id": MARK, "version": version}]
    assert link.database.list_collection_names() == [link.meta.name]
