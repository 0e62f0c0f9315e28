"""A store that refuses the end of one run for good: the worker goes on, and so does the job."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from queuectl.domain import state_machine
from queuectl.domain.job import Job, State
from queuectl.stores.base import Store
from tests.chaos.ground import in_hand, open_gate
from tests.stores.conftest import on_one_store, slow_on_mongo
from tests.stores.kit import FAILURE, added, claimed, existing
from tests.worker.fleet import Fleet, eventually

MOST_BYTES = 16 * 1024 * 1024
"""How large MongoDB lets a document grow."""

LONG = 50_000
SAID = "the store did not take its result"

REFUSED = {
    "output": "BEFORE UPDATE ON jobs WHEN length(new.stdout) > 1000",
    "run": "BEFORE INSERT ON runs",
    "anything": "BEFORE UPDATE ON jobs WHEN new.state <> 'processing' AND new.id = 'full'",
}
ROOM = {"output": 2_000, "run": 170}
"""What the embedded store is made to refuse, and how many bytes of a document are left for that."""


def refuse(fleet: Fleet, what: str) -> Callable[[], None]:
    """Let the store refuse part of what would be written of the job `full`; return the remedy."""
    if fleet.location.store_url.startswith("mongodb"):
        return _fill_document(fleet.location.store_url, ROOM[what])
    with closing(sqlite3.connect(fleet.location.store_url, isolation_level=None)) as database:
        refusal = "BEGIN SELECT RAISE(ABORT, 'too large'); END"
        database.execute(f"CREATE TRIGGER refused {REFUSED[what]} {refusal}")
    return lambda: _drop_trigger(fleet.location.store_url)


def _drop_trigger(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP TRIGGER refused")


def _fill_document(url: str, room: int) -> Callable[[], None]:
    with MongoClient[dict[str, Any]](url) as client:
        jobs = client.get_default_database()["jobs"]
        eventually(lambda: _is_filled(jobs, room))
    return lambda: _empty_document(url)


def _is_filled(jobs: Collection[dict[str, Any]], room: int) -> bool:
    """Fill the document of the job up, unless it changes meanwhile."""
    found = jobs.find_one({"_id": "full"}) or {}
    size = len(bson.encode({**found, "pad": ""}))
    padding = {"$set": {"pad": "x" * (MOST_BYTES - size - room)}}
    return jobs.update_one({"_id": "full", "rev": found["rev"]}, padding).matched_count == 1


def _empty_document(url: str) -> None:
    with MongoClient[dict[str, Any]](url) as client:
        client.get_default_database()["jobs"].update_one({"_id": "full"}, {"$unset": {"pad": ""}})


def full_in_hand(fleet: Fleet, then: str) -> Job:
    """Return the running job `full`, which goes on with `then` when the gate opens."""
    return in_hand(fleet, "full", workers=0, then=then, max_retries=1)


def ended(fleet: Fleet) -> Job:
    """Let the job `full` end, and return what became of it."""
    open_gate(fleet)
    return fleet.settled("full")


def works_on(fleet: Fleet, pids: list[int]) -> bool:
    """Whether the same workers as before do the next job."""
    return fleet.ran("true").state is State.COMPLETED and fleet.pids() == pids


@slow_on_mongo
def test_a_result_whose_output_is_refused_is_stored_without_it(chaos: Fleet) -> None:
    pids = chaos.start()
    full_in_hand(chaos, f"head -c {LONG} /dev/zero | tr '\\0' x")
    refuse(chaos, "output")
    job = ended(chaos)
    assert job.outcome is not None
    assert (job.state, job.outcome.stdout, job.outcome.stdout_cut) == (State.COMPLETED, "", LONG)
    assert [run.exit_code for run in job.history] == [0]
    assert eventually(lambda: "job 'full': its result is stored only in part" in chaos.log())
    assert works_on(chaos, pids)


@slow_on_mongo
def test_a_result_whose_history_is_refused_is_stored_with_the_reason(chaos: Fleet) -> None:
    pids = chaos.start()
    full_in_hand(chaos, "exit 3")
    remedy = refuse(chaos, "run")
    job = ended(chaos)
    assert job.outcome is not None
    assert (job.state, job.outcome.exit_code, job.history) == (State.DEAD, 3, ())
    assert (job.last_error or "").startswith(f"Exit code 3; {SAID}")
    remedy()
    assert works_on(chaos, pids)


@on_one_store
def test_a_result_that_is_refused_altogether_leaves_the_worker_to_the_next_job(
    chaos: Fleet,
) -> None:
    chaos.set(lease_seconds=1)
    pids = chaos.start()
    full_in_hand(chaos, "true")
    remedy = refuse(chaos, "anything")
    open_gate(chaos)
    assert works_on(chaos, pids)
    eventually(lambda: "job 'full' cannot be taken back" in chaos.log())
    assert chaos.job("full").state is State.PROCESSING
    remedy()
    job = chaos.settled("full")
    # Room that is made between the two attempts of one taking back leaves out its history.
    assert (job.state, job.interruptions) == (State.COMPLETED, 1)
    errors = [(run.error or "none").partition(":")[0] for run in job.history]
    assert errors in (["worker lost", "none"], ["none"])
    told = ("its result cannot be stored", "cannot be taken back")
    assert [chaos.log().count(line) for line in told] == [1, 1]
    assert chaos.pids() == pids


def test_a_history_keeps_its_latest_runs_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (
        "queuectl.domain.state_machine",
        "queuectl.stores.mongo.documents",
        "queuectl.stores.sqlite.changes",
    ):
        monkeypatch.setattr(f"{module}.HISTORY_RUNS", 3)
    added(store, "a", max_retries=100, backoff_base=0)
    for number in range(1, 6):
        store.make_due_claimable()
        change = state_machine.finish(claimed(store), FAILURE, store.now())
        assert store.commit(change)
        assert store.commit(change), "it is recognised as applied"
        kept = [run.n for run in existing(store, "a").history]
        assert kept == list(range(1, number + 1))[-3:]
