"""Batches: how many of their jobs go at once, when the rest is cancelled, and how they end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain import batch as batches
from queuectl.domain import state_machine
from queuectl.domain.batch import Batch
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter
from queuectl.queue import Queue
from queuectl.queue import lazy as lazy_module
from queuectl.queue.batches import look_after, prepare, reopen, status
from queuectl.stores.base import Store
from queuectl.stores.mongo.store import MongoStore
from queuectl.system.home import Home
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    claimed,
    existing,
    listed,
    new_job,
    request,
    settled,
)

WAITS_ITS_TURN = ("turn:",)


def batch_of(store: Store, number: int, **spec: Any) -> list[Job]:
    """Add the jobs `b-1`, `b-2` and so on of one batch, with its record."""
    wanted = {"batch": "b", "max_retries": 1, **spec}
    jobs = [new_job(store, f"b-{n}", **wanted) for n in range(1, number + 1)]
    prepare(store, (job.spec for job in jobs))
    assert store.insert(jobs) == frozenset()
    return jobs


def claim_all(store: Store) -> list[Job]:
    """Claim jobs until there is none; return them."""
    found: list[Job] = []
    while job := store.claim(request()):
        found.append(job)
    return found


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


def test_no_more_jobs_of_a_batch_go_at_once_than_it_says(store: Store) -> None:
    batch_of(store, 5, at_once=2)
    first = claim_all(store)
    assert ids(first) == ["b-1", "b-2"]
    assert existing(store, "b-3").blocked_by == WAITS_ITS_TURN
    settled(store, first[0])
    assert ids(claim_all(store)) == ["b-3"], "who ends makes room for one"
    settled(store, first[1], FAILURE)
    assert ids(claim_all(store)) == ["b-4"], "however it ended"


def test_jobs_that_were_added_later_share_the_limit(store: Store) -> None:
    batch_of(store, 2, at_once=2)
    added(store, "later", batch="b", at_once=2)
    assert ids(claim_all(store)) == ["b-1", "b-2"]


def test_others_go_while_a_job_of_a_batch_waits_to_be_tried_again(store: Store) -> None:
    batch_of(store, 3, at_once=1, max_retries=3, backoff_base=1000.0)
    (first,) = claim_all(store)
    assert settled(store, first, FAILURE).state is State.FAILED
    assert ids(claim_all(store)) == ["b-2"]


def test_a_job_of_a_batch_whose_wait_is_over_takes_its_turn(store: Store) -> None:
    batch_of(store, 1, at_once=1, max_retries=3, backoff_base=0.0)
    (first,) = claim_all(store)
    settled(store, first, FAILURE)
    store.batches.let_go()
    assert ids(claim_all(store)) == ["b-1"]


@pytest.mark.parametrize("change", [state_machine.cancel, state_machine.pause])
def test_a_job_of_a_batch_that_is_taken_out_of_the_way_makes_room(
    store: Store, change: Any
) -> None:
    batch_of(store, 2, at_once=1)
    assert store.commit_all([change(existing(store, "b-1"), store.now())]) == [True]
    assert ids(claim_all(store)) == ["b-2"]


def test_a_job_of_a_batch_whose_worker_was_lost_keeps_its_turn(store: Store) -> None:
    batch_of(store, 3, at_once=1)
    (lost,) = claim_all(store)
    assert store.commit(state_machine.expire(lost, store.now(), 5))
    assert ids(claim_all(store)) == ["b-1"], "and no other has gone meanwhile"


def test_a_job_of_a_batch_that_is_retried_waits_its_turn(store: Store) -> None:
    batch_of(store, 2, at_once=1)
    (first,) = claim_all(store)
    dead = settled(store, first, FAILURE)
    claimed(store)
    assert store.commit(state_machine.retry(dead, store.now()))
    assert existing(store, "b-1").blocked_by == WAITS_ITS_TURN
    assert store.claim(request()) is None


def test_the_limit_of_its_record_holds_for_jobs_that_came_with_another(store: Store) -> None:
    batch_of(store, 4, at_once=1)
    record = store.batches.get("b")
    assert record is not None
    assert store.batches.save(record.changed(at_once=3), record)
    assert store.batches.let_go() == 2
    assert len(claim_all(store)) == 3


def test_jobs_of_a_batch_that_come_whole_from_elsewhere_count(store: Store) -> None:
    job = new_job(store, "there", batch="b", at_once=1)
    gone = state_machine.enqueue(job.spec, None, store.now())
    let_go = replace(gone, blocked_by=())
    assert store.restore([let_go]) == frozenset()
    added(store, "here", batch="b", at_once=1)
    assert store.batches.let_go() == 0
    assert ids(claim_all(store)) == ["there"]
    settled(store, existing(store, "there"))
    assert ids(claim_all(store)) == ["here"]


def test_the_rest_of_a_batch_is_cancelled_when_too_many_are_dead(store: Store) -> None:
    batch_of(store, 6, max_fails=2)
    running = [claimed(store) for _ in range(3)]
    settled(store, running[0], FAILURE)
    assert existing(store, "b-6").state is State.PENDING
    settled(store, running[1], FAILURE)
    rest = existing(store, "b-6")
    assert (rest.state, rest.last_error) == (
        State.CANCELLED,
        "cannot start: batch b has 2 dead jobs (--max-fails)",
    )
    assert existing(store, "b-3").state is State.PROCESSING, "what runs goes on"
    assert settled(store, running[2]).state is State.COMPLETED
    assert status(store, "b").is_stopped


def test_the_jobs_of_a_batch_are_counted_and_listed(store: Store) -> None:
    batch_of(store, 3)
    added(store, "other")
    settled(store, claimed(store))
    settled(store, claimed(store), FAILURE)
    assert store.batches.counts("b") == {State.COMPLETED: 1, State.DEAD: 1, State.PENDING: 1}
    assert listed(store, Filter(batch="b")) == ["b-1", "b-2", "b-3"]
    assert listed(store, Filter(frozenset({State.DEAD}), batch="b")) == ["b-2"]
    assert store.batches.pending("b", 10) == 1
    assert store.batches.has_unsettled("b")
    assert not store.batches.has_unsettled("another")


def end_of(store: Store) -> Batch:
    """Look after the batch as workers do; return its record."""
    record = store.batches.get("b")
    assert record is not None
    look_after(store, record)
    again = store.batches.get("b")
    assert again is not None
    return again


def test_a_batch_ends_once_each_time_that_its_last_job_has_ended(store: Store) -> None:
    batch_of(store, 2)
    settled(store, claimed(store))
    assert end_of(store).ends == 0
    dead = settled(store, claimed(store), FAILURE)
    assert (end_of(store).ends, end_of(store).told) == (1, 1)
    assert end_of(store).counts == {"completed": 1, "dead": 1}
    reopen(store, ["b"])
    assert end_of(store).ends == 1, "nothing has ended since"
    reopen(store, ["b"])
    assert store.commit(state_machine.retry(dead, store.now()))
    assert end_of(store).ended_at is None
    settled(store, claimed(store))
    assert end_of(store).ends == 2
    assert store.batches.open() == []


@pytest.mark.parametrize(
    ("outcome", "waits_for", "state"),
    [
        (SUCCESS, "after", State.PROCESSING),
        (FAILURE, "after", None),
        (FAILURE, "after_fail", State.PROCESSING),
        (FAILURE, "after_any", State.PROCESSING),
    ],
)
def test_jobs_wait_for_the_end_of_a_whole_batch(
    store: Store, outcome: Any, waits_for: str, state: State | None
) -> None:
    fields: dict[str, Any] = {waits_for: ("batch:b",)}
    batch_of(store, 2)
    added(store, "child", **fields)
    for job in claim_all(store):
        settled(store, job, outcome)
    assert store.claim(request()) is None
    end_of(store)
    child = store.claim(request())
    assert (child.state if child else None) is state
    added(store, "late", **fields)
    late = store.claim(request())
    assert (late.state if late else None) is state, "so does one that comes later"


def test_a_job_that_is_to_be_cancelled_with_a_batch_is(store: Store) -> None:
    batch_of(store, 1)
    added(store, "child", after=("batch:b",), on_parent_failure="cancel")
    settled(store, claimed(store), FAILURE)
    end_of(store)
    child = existing(store, "child")
    assert (child.state, child.last_error) == (State.CANCELLED, "cannot start: batch:b is dead")


def lazy(store: Store, total: int, made: int = 0) -> Batch:
    record = Batch("b", store.now(), "q", total, made, definition="as its maker reads it")
    assert store.batches.save(record)
    return record


def test_jobs_that_are_not_made_yet_count_as_what_they_will_be(store: Store) -> None:
    record = lazy(store, 10)
    assert store.counts().of(State.PENDING) == 10
    jobs = [new_job(store, f"b-{n}", batch="b", queue="q") for n in (1, 2, 3)]
    assert store.batches.make(record, jobs, batches.advance(record, 3))
    assert store.counts().of(State.PENDING) == 10
    assert [each.made for each in store.batches.unmade()] == [3]
    assert not store.batches.make(record, jobs, batches.advance(record, 3)), "that was before"
    now = store.batches.get("b")
    assert now is not None
    assert store.batches.save(now.changed(rest="cancelled"), now)
    assert store.counts().of(State.CANCELLED) == 7


def test_making_jobs_again_that_are_there_makes_none_twice(store: Store) -> None:
    record = lazy(store, 4)
    jobs = [new_job(store, f"b-{n}", batch="b", queue="q") for n in (1, 2)]
    assert store.insert(jobs[:1]) == frozenset()  # as a call leaves it that was cut short
    assert store.batches.make(record, jobs, batches.advance(record, 2))
    assert store.batches.counts("b") == {State.PENDING: 2}


def test_the_record_of_a_batch_goes_when_nothing_needs_it(store: Store) -> None:
    batch_of(store, 1)
    added(store, "child", after=("batch:b",))
    assert not store.batches.forget("b"), "it has a job"
    done = settled(store, claimed(store))
    end_of(store)
    assert store.retention.remove([done]) == {"b-1"}
    assert store.batches.forget("b")
    assert store.batches.get("b") is None


def test_an_end_is_told_of_after_a_crash_in_between(store: Store) -> None:
    batch_of(store, 1)
    settled(store, claimed(store))
    record = store.batches.get("b")
    assert record is not None
    ended = batches.end(record, store.batches.counts("b"), store.now() + timedelta(seconds=1))
    assert store.batches.save(ended, record)
    assert [each.name for each in store.batches.open()] == ["b"]
    assert end_of(store).told == 1


def test_the_jobs_of_a_batch_are_made_while_it_runs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_module, "_PIECE", 4)
    queue = Queue(store, Home(tmp_path))
    sweep = queue.sweep({"command": ["true"], "at_once": 3, "cwd": "/"}, array="1-10")
    lazy_module.begin(store, sweep, "b")
    assert store.batches.counts("b") == {State.PENDING: 4}
    assert queue.count(Filter(batch="b")) == 10
    assert [job.id for job in queue.find(Filter(batch="b"))] == [f"b-{n}" for n in range(1, 11)]
    assert queue.cancel("b-9").state is State.CANCELLED
    assert len(claim_all(store)) == 3, "of those that are made no more go than may"
    assert lazy_module.LazyJobs(store).top_up() == 5
    assert store.batches.counts("b") == {
        State.PENDING: 6, State.PROCESSING: 3, State.CANCELLED: 1,
    }  # fmt: skip
    assert store.batches.unmade() == []
    assert store.claim(request()) is None


def test_what_is_not_made_is_cancelled_with_the_rest_when_too_many_are_dead(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_module, "_PIECE", 2)
    queue = Queue(store, Home(tmp_path))
    fields = {"command": ["false"], "max_fails": 1, "max_retries": 1, "cwd": "/"}
    lazy_module.begin(store, queue.sweep(fields, array="1-10"), "b")
    settled(store, claimed(store), FAILURE)
    assert lazy_module.LazyJobs(store).top_up() == 0
    assert queue.batch("b").counts == {State.DEAD: 1, State.CANCELLED: 9}
    (last,) = [job for job in queue.find(Filter(batch="b")) if job.id == "b-10"]
    assert last.last_error == "cannot start: batch b has 1 dead job (--max-fails)"
    assert end_of(store).counts == {"dead": 1, "cancelled": 9}


@pytest.mark.parametrize("store_url", ["mongo"], indirect=True)
def test_jobs_that_are_made_while_their_batch_is_cancelled_are_cancelled_too(
    store: MongoStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only there are they not written together with the record."""
    monkeypatch.setattr(lazy_module, "_PIECE", 2)
    queue = Queue(store, Home(tmp_path))
    lazy_module.begin(store, queue.sweep({"command": ["true"], "cwd": "/"}, array="1-10"), "b")
    writes = store._writes
    insert = writes.insert

    def insert_late(jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        for _ in queue.cancel_all(Filter(frozenset({State.PENDING}), batch="b")):
            pass
        return insert(jobs, atomic=atomic)

    monkeypatch.setattr(writes, "insert", insert_late)
    (record,) = store.batches.unmade()
    assert lazy_module.LazyJobs(store).make(record) == 0
    assert store.batches.counts("b") == {State.CANCELLED: 4}
    assert queue.batch("b").counts == {State.CANCELLED: 10}
