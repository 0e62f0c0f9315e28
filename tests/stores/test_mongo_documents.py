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
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import UTC, later
from queuectl.stores.mongo import connection
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
from queuectl.stores.mongo.schema import JOB_INDEXES, MARK, VERSION, missing_indexes, prepare
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


def applied(link: Link, change: Transition) -> bool:
    """Apply a transition that changes a job, as the store does."""
    assert change.after is not None
    what = update(change, change.after, NOW, new_stamp())
    return link.jobs.update_one(fence(change), what).matched_count == 1


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
@pytest.mark.parametrize("make", [pending, processing])
def test_a_job_comes_back_as_it_was_written(link: Link, spec: Spec, make: Any) -> None:
    job = make(spec)
    assert stored(link, job) == job


@pytest.mark.parametrize(("delay", "is_ready"), [(-1, True), (0, True), (1, False)])
def test_only_a_waiting_job_that_is_due_is_ready(delay: float, is_ready: bool) -> None:
    job = replace(pending(SPECS[0]), run_at=later(NOW, delay))
    assert to_document(job, NOW)["ready"] is is_ready
    assert "ready" not in to_document(processing(SPECS[0]), NOW)


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_a_settled_job_comes_back_with_its_run(link: Link, spec: Spec, outcome: Any) -> None:
    change = state_machine.finish(stored(link, processing(spec)), outcome, NOW)
    assert applied(link, change)
    assert change.after is not None
    assert change.run is not None
    assert found(link, spec.id) == replace(change.after, history=(change.run,))
    assert link.jobs.find_one(run_filter(change)) is not None
    document = link.jobs.find_one({"_id": spec.id})
    assert document is not None
    assert ("ready" in document) == (change.after.state is State.FAILED)
    assert document.get("moving", False) is (change.after.state is State.DEAD)


def test_a_fence_lets_through_the_holder_of_the_claim_and_nobody_else(link: Link) -> None:
    job = stored(link, processing(SPECS[0]))
    assert job.claim is not None
    stranger = replace(job, claim=replace(job.claim, id="claim2"))
    assert not applied(link, state_machine.finish(stranger, SUCCESS, NOW))
    link.jobs.update_one({"_id": job.id}, {"$set": {"cancel_requested": True}})
    assert not applied(link, state_machine.finish(job, SUCCESS, NOW))
    asked = found(link, job.id)
    assert applied(link, state_machine.finish(asked, SUCCESS, NOW))
    assert not applied(link, state_machine.finish(asked, SUCCESS, NOW))


def test_an_expiry_is_defeated_by_a_renewal(link: Link) -> None:
    job = stored(link, processing(SPECS[0]))
    link.jobs.update_one({"_id": job.id}, {"$set": {"lease_until": later(NOW, 60)}})
    assert not applied(link, state_machine.expire(job, NOW, 5))
    assert applied(link, state_machine.expire(found(link, job.id), NOW, 5))


def test_a_change_decided_before_another_one_is_refused(link: Link) -> None:
    job = stored(link, pending(SPECS[0]))
    cancel = state_machine.cancel(job, NOW)
    assert applied(link, cancel)
    assert not applied(link, cancel)


def test_a_stub_keeps_what_filters_look_at_and_no_output() -> None:
    document = {**to_document(processing(SPECS[2]), NOW), "stamp": "s", "token": "t"}
    kept = {name: document[name] for name in STUB_FIELDS if name in document}
    assert to_stub(document) == {**kept, "stub": True}
    assert {"_id", "seq", "rev", "state"} <= kept.keys()
    assert not {"stdout", "stderr", "history"} & kept.keys()


def test_preparing_makes_the_mark_and_every_index(link: Link) -> None:
    prepare(link)
    assert link.meta.find_one({"_id": MARK}) == {"_id": MARK, "version": VERSION, "indexed": True}
    present = link.jobs.index_information()
    for index in JOB_INDEXES:
        made = present[index.document["name"]]
        assert list(made["key"]) == list(index.document["key"].items())
        assert made.get("unique", False) == index.document.get("unique", False)
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
