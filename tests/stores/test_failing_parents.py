"""What becomes of the children of a job that has failed for good, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.events import RunResult
from queuectl.domain.job import State
from queuectl.domain.query import Filter, Page
from queuectl.domain.settings import CANCEL
from queuectl.stores.base import Store
from queuectl.stores.mongo import dependents as sweeps
from queuectl.stores.mongo.store import MongoStore
from tests.stores.conftest import OpenStore
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    buried,
    claimed,
    existing,
    new_job,
    notify_in_stretches,
    request,
    settled,
)


def states(store: Store, *names: str) -> list[str]:
    """Return how jobs stand."""
    return [existing(store, name).state.value for name in names]


def child(store: Store, job_id: str, *parents: str, **spec: Any) -> Any:
    """Return a new job that is cancelled when one of its parents fails."""
    return new_job(store, job_id, after=parents, on_parent_failure=CANCEL, **spec)


def end(store: Store, job_id: str, how: str) -> None:
    """Let a job that waits fail for good."""
    if how == "dead":
        settled(store, claimed(store, only=job_id), FAILURE)
        return
    job = existing(store, job_id)
    is_deleted = how == "deleted"
    change = state_machine.delete(job) if is_deleted else state_machine.cancel(job, store.now())
    assert store.commit(change)


@pytest.mark.parametrize(
    ("how", "why"), [("dead", "is dead"), ("cancelled", "is cancelled"), ("deleted", "was deleted")]
)
def test_children_that_ask_for_it_are_cancelled_down_the_chain(
    store: Store, how: str, why: str
) -> None:
    store.insert([
        new_job(store, "p"),
        child(store, "c", "p"),
        child(store, "d", "c"),
        child(store, "e", "d"),
        new_job(store, "waits", after=("p",)),
        new_job(store, "alarm", after_fail=("e",)),
    ])  # fmt: skip
    end(store, "p", how)
    assert states(store, "c", "d", "e", "waits") == ["cancelled"] * 3 + ["pending"]
    assert [existing(store, name).last_error for name in "cde"] == [f"cannot start: p {why}"] * 3
    assert claimed(store).id == "alarm", "the end of the chain was told too"
    assert not any(existing(store, name).children_pending for name in "cde")


def test_a_success_cancels_nobody_and_a_met_wish_is_no_failure(store: Store) -> None:
    store.insert([
        new_job(store, "p"),
        child(store, "c", "p"),
        new_job(store, "other", after_any=("q",), on_parent_failure=CANCEL),
        new_job(store, "fails", after_fail=("q",), on_parent_failure=CANCEL),
        new_job(store, "q"),
    ])  # fmt: skip
    settled(store, claimed(store, only="p"), SUCCESS)
    end(store, "q", "cancelled")
    assert states(store, "c", "other", "fails") == ["pending"] * 3
    assert {claimed(store).id for _ in range(3)} == {"c", "other", "fails"}


def test_a_parent_that_has_failed_before_cancels_who_comes_later(store: Store) -> None:
    buried(store, "p")
    assert store.insert([child(store, "c", "p"), child(store, "d", "c")]) == frozenset()
    assert states(store, "c", "d") == ["cancelled", "cancelled"]
    batch = [child(store, "x", "p"), new_job(store, "y"), child(store, "z", "gone")]
    assert store.insert(batch, atomic=True) == frozenset()
    assert states(store, "x", "y", "z") == ["cancelled", "pending", "cancelled"]


def test_an_edit_that_asks_for_it_is_heeded_at_once(store: Store) -> None:
    buried(store, "p")
    added(store, "c", after=("p",))
    added(store, "d", after=("c",), on_parent_failure=CANCEL)
    job = existing(store, "c")
    spec = replace(job.spec, on_parent_failure=CANCEL)
    assert store.commit(state_machine.edit(job, spec, job.run_at, store.now()))
    assert states(store, "c", "d") == ["cancelled", "cancelled"]


def test_an_edit_is_heeded_too_where_the_parent_was_deleted(store: Store) -> None:
    added(store, "p")
    added(store, "c", after=("p",))
    end(store, "p", "deleted")
    added(store, "p")
    job = existing(store, "c")
    spec = replace(job.spec, on_parent_failure=CANCEL)
    assert store.commit(state_machine.edit(job, spec, job.run_at, store.now()))
    assert states(store, "c", "p") == ["cancelled", "pending"]


def test_a_cancelled_child_keeps_what_it_has_been_through_and_may_be_retried(store: Store) -> None:
    added(store, "c", max_retries=2, on_parent_failure=CANCEL)
    settled(store, claimed(store), FAILURE)
    buried(store, "p")
    job = existing(store, "c")
    spec = replace(job.spec, after=("p",))
    assert store.commit(state_machine.edit(job, spec, job.run_at, store.now()))
    found = existing(store, "c")
    assert found.state is State.CANCELLED
    assert found.outcome is not None
    assert (found.outcome.stderr, len(found.history)) == ("no\n", 1)
    assert store.commit(state_machine.retry(found, store.now()))
    assert claimed(store).id == "c"


def test_nothing_keeps_the_parent_of_a_cancelled_child_from_being_let_go(store: Store) -> None:
    store.insert([new_job(store, "p"), child(store, "c", "p")])
    end(store, "p", "dead")
    assert existing(store, "c").blocked_by == ()
    assert store.retention.remove([existing(store, "p")]) == {"p"}


def test_each_cancellation_is_told(store: Store) -> None:
    store.insert([new_job(store, "p"), child(store, "c", "p"), child(store, "d", "c")])
    end(store, "p", "dead")
    told = {(each.job_id, each.outcome) for each in store.stats.pending_events(10).finished}
    cancelled = RunResult.CANCELLED
    assert told == {("p", RunResult.DEAD), ("c", cancelled), ("d", cancelled)}
    counts = store.counts()
    assert (counts.of(State.CANCELLED), counts.of(State.PENDING)) == (2, 0)


def test_a_crowd_of_children_is_cancelled_in_stretches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify_in_stretches(monkeypatch, 5)
    added(store, "p")
    store.insert([child(store, f"c{n}", "p") for n in range(12)])
    store.insert([child(store, f"d{n}", "c3" if n == 0 else f"d{n - 1}") for n in range(20)])
    end(store, "p", "dead")
    assert store.counts().of(State.CANCELLED) < 32
    while store.notify_children():
        pass
    assert store.counts().of(State.CANCELLED) == 32
    assert existing(store, "d19").last_error == "cannot start: p is dead"


def test_children_are_notified_by_a_store_that_is_slower_than_one_sweep_may_take(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify_in_stretches(monkeypatch, 1)
    monkeypatch.setattr(sweeps, "SWEEP_SECONDS", 0.0)
    added(store, "p")
    store.insert([child(store, f"c{n}", "p") for n in range(3)])
    end(store, "p", "dead")
    while store.notify_children():
        pass
    assert states(store, "c0", "c1", "c2") == ["cancelled"] * 3


def test_a_child_of_a_deleted_job_waits_for_no_later_one_of_that_id(store: Store) -> None:
    store.insert([new_job(store, "p"), new_job(store, "c", after=("p",))])
    end(store, "p", "deleted")
    store.insert([new_job(store, "p"), new_job(store, "later", after=("p",))])
    settled(store, claimed(store))
    assert existing(store, "c").blocked_by == ("gone:p",)
    assert claimed(store).id == "later"
    assert store.claim(request()) is None


def test_an_edit_of_something_else_does_not_free_the_child_of_a_deleted_job(store: Store) -> None:
    store.insert([new_job(store, "p"), new_job(store, "q"), new_job(store, "c", after=("p", "q"))])
    end(store, "p", "deleted")
    settled(store, claimed(store))
    job = existing(store, "c")
    assert store.commit(
        state_machine.edit(job, replace(job.spec, priority=5), job.run_at, store.now())
    )
    assert existing(store, "c").blocked_by == ("gone:p",)
    job = existing(store, "c")
    assert store.commit(
        state_machine.edit(job, replace(job.spec, after=()), job.run_at, store.now())
    )
    assert claimed(store).id == "c"


def test_a_deletion_that_is_told_late_spares_the_children_of_a_later_job(opened: OpenStore) -> None:
    store = opened()
    if not isinstance(store, MongoStore):
        return  # elsewhere it is told in the transaction that deletes
    store.insert([new_job(store, "p"), new_job(store, "c", after=("p",))])
    parent = existing(store, "p")
    store.link.deleted.insert_one({"_id": "p", "seq": parent.seq, "announced_at": store.now()})
    store.link.jobs.delete_one({"_id": "p"})
    later = store.now()
    while store.now() == later:
        pass
    store.insert([new_job(store, "p"), new_job(store, "d", after=("p",))])
    while store.notify_children():
        pass
    assert existing(store, "c").blocked_by == ("gone:p",)
    assert existing(store, "d").blocked_by == ("success:p",)


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever ends or deletes a parent tell only a few of its children."""
    notify_in_stretches(monkeypatch, 2)


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[MongoStore]:
    """A store on which a deletion is told in steps; elsewhere it is told in its transaction."""
    with closing(MongoStore.open(mongo_url)) as store:
        yield store


def blockers(store: Store, prefix: str = "c") -> set[tuple[str, ...]]:
    """Return what the jobs whose ids begin so wait for."""
    return {job.blocked_by for job in store.find(Filter(), Page()) if job.id.startswith(prefix)}


@pytest.mark.usefixtures("few_at_once")
def test_the_upkeep_tells_the_many_children_of_a_deleted_job(mongo: MongoStore) -> None:
    mongo.insert([
        new_job(mongo, "p"),
        *(child(mongo, f"c{n}", "p") for n in range(9)),
        *(new_job(mongo, f"f{n}", after_fail=("p",)) for n in range(9)),
    ])  # fmt: skip
    end(mongo, "p", "deleted")
    assert mongo.counts().of(State.PENDING) > 9, "who deletes does not wait for all"
    while mongo.notify_children():
        pass
    assert mongo.counts().of(State.CANCELLED) == 9
    assert {claimed(mongo).id for _ in range(9)} == {f"f{n}" for n in range(9)}
    assert mongo.link.deleted.find_one() is None


@pytest.mark.usefixtures("few_at_once")
def test_children_who_did_not_know_of_a_success_learn_it_after_the_deletion(
    mongo: MongoStore,
) -> None:
    mongo.insert([new_job(mongo, "p"), *(new_job(mongo, f"c{n}", after=("p",)) for n in range(9))])
    assert settled(mongo, claimed(mongo, only="p")).children_pending
    end(mongo, "p", "deleted")
    assert mongo.insert([new_job(mongo, "late", after=("p",))]) == frozenset()
    while mongo.notify_children():
        pass
    assert blockers(mongo) == {()}
    assert blockers(mongo, "late") == {("gone:p",)}
    assert {claimed(mongo).id for _ in range(9)} == {f"c{n}" for n in range(9)}


@pytest.mark.usefixtures("few_at_once")
def test_the_end_of_a_later_job_of_its_id_frees_no_child_of_a_deleted_one(
    mongo: MongoStore,
) -> None:
    mongo.insert([new_job(mongo, "p"), *(new_job(mongo, f"c{n}", after=("p",)) for n in range(9))])
    end(mongo, "p", "deleted")
    later = mongo.now()
    while mongo.now() == later:
        pass
    mongo.insert([new_job(mongo, "p"), new_job(mongo, "late", after=("p",))])
    settled(mongo, claimed(mongo, only="p"))
    while mongo.notify_children():
        pass
    assert blockers(mongo) == {("gone:p",)}
    assert claimed(mongo).id == "late"


@pytest.mark.usefixtures("few_at_once")
def test_a_later_job_is_deleted_once_the_children_of_the_first_know(mongo: MongoStore) -> None:
    mongo.insert([new_job(mongo, "p"), *(new_job(mongo, f"c{n}", after=("p",)) for n in range(9))])
    settled(mongo, claimed(mongo, only="p"))
    end(mongo, "p", "deleted")
    mongo.insert([new_job(mongo, "p"), new_job(mongo, "late", after=("p",))])
    tries = 1
    while not mongo.commit(state_machine.delete(existing(mongo, "p"))):
        tries += 1
    assert tries > 1
    while mongo.notify_children():
        pass
    assert blockers(mongo) == {()}, "of the first, which has succeeded"
    assert blockers(mongo, "late") == {("gone:p",)}
