"""Jobs that wait for jobs, on every store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.stores.base import Store
from queuectl.stores.exchange import Renewal
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
    renewal,
    request,
    settled,
)

Change = Callable[[Job], state_machine.Transition]


def waits(store: Store, job_id: str) -> list[str]:
    """Return what a job still waits for."""
    return sorted(existing(store, job_id).blocked_by)


def apply(store: Store, job_id: str, decide: Change) -> None:
    """Change a job as it is now."""
    assert store.commit(decide(existing(store, job_id)))


def cancelled(store: Store, job_id: str) -> None:
    """Cancel a waiting job."""
    apply(store, job_id, lambda job: state_machine.cancel(job, store.now()))


def test_a_child_starts_after_its_parent_has_succeeded(store: Store) -> None:
    store.insert([new_job(store, "parent"), new_job(store, "child", after=("parent",))])
    parent = claimed(store)
    assert parent.id == "parent"
    assert store.claim(request()) is None
    settled(store, parent)
    assert waits(store, "child") == []
    assert claimed(store).id == "child"


def test_settling_the_parent_and_claiming_its_child_is_one_step(store: Store) -> None:
    store.insert([new_job(store, "parent"), new_job(store, "child", after=("parent",))])
    parent = claimed(store)
    change = state_machine.finish(parent, SUCCESS, store.now())
    applied, claimed_now = store.commit_and_claim([change], [request()])
    assert applied == [True]
    assert [job.id for job in claimed_now] == ["child"]


@pytest.mark.parametrize(
    ("condition", "outcome", "is_released"),
    [
        ("after", SUCCESS, True), ("after", FAILURE, False),
        ("after_fail", SUCCESS, False), ("after_fail", FAILURE, True),
        ("after_any", SUCCESS, True), ("after_any", FAILURE, True),
    ],
)  # fmt: skip
def test_how_a_parent_ends_decides_which_children_start(
    store: Store, condition: str, outcome: Outcome, is_released: bool
) -> None:
    spec: dict[str, Any] = {condition: ("p",)}
    store.insert([new_job(store, "p"), new_job(store, "c", **spec)])
    settled(store, claimed(store), outcome)
    assert (waits(store, "c") == []) is is_released
    assert (store.claim(request()) is not None) is is_released


def test_a_cancelled_parent_has_failed(store: Store) -> None:
    store.insert([
        new_job(store, "p"),
        new_job(store, "good", after=("p",)),
        new_job(store, "bad", after_fail=("p",)),
    ])  # fmt: skip
    cancelled(store, "p")
    assert waits(store, "good") == ["success:p"]
    assert claimed(store).id == "bad"


@pytest.mark.parametrize("state", ["pending", "completed", "dead"])
def test_a_deleted_parent_counts_as_cancelled(store: Store, state: str) -> None:
    added(store, "p")
    if state != "pending":
        settled(store, claimed(store), SUCCESS if state == "completed" else FAILURE)
    store.insert([new_job(store, "ok", after=("p",)), new_job(store, "fail", after_fail=("p",))])
    apply(store, "p", state_machine.delete)
    assert waits(store, "fail") == []
    assert waits(store, "ok") == ([] if state == "completed" else ["gone:p"])


def test_a_retry_that_fails_once_more_leaves_the_child_waiting(store: Store) -> None:
    store.insert([new_job(store, "p", max_retries=2), new_job(store, "c", after=("p",))])
    settled(store, claimed(store), FAILURE)
    assert existing(store, "p").state is State.FAILED
    assert waits(store, "c") == ["success:p"]


def test_a_parent_retried_out_of_the_dlq_revives_its_children(store: Store) -> None:
    buried(store, "p")
    added(store, "c", after=("p",))
    assert waits(store, "c") == ["success:p"]
    apply(store, "p", lambda job: state_machine.retry(job, store.now()))
    settled(store, claimed(store, only="p"))
    assert claimed(store).id == "c"


def test_a_parent_that_ended_before_is_known_when_the_child_is_added(store: Store) -> None:
    added(store, "p")
    settled(store, claimed(store))
    added(store, "c", after=("p",))
    assert waits(store, "c") == []
    assert claimed(store).id == "c"


def test_a_parent_that_is_gone_counts_as_deleted(store: Store) -> None:
    store.insert([new_job(store, "c", after=("gone",)), new_job(store, "d", after_any=("gone",))])
    assert waits(store, "c") == ["gone:gone"]
    assert waits(store, "d") == []


def test_a_child_added_while_its_parent_runs_is_told(opened: OpenStore) -> None:
    worker, boss = opened(), opened()
    added(boss, "p")
    held = claimed(worker)
    added(boss, "c", after=("p",))
    change = state_machine.finish(held, SUCCESS, worker.now())
    assert not worker.commit(change), "the verdict was made without knowing of the child"
    settled(worker, existing(worker, "p"))
    assert claimed(worker).id == "c"


def test_a_cancellation_decided_before_a_child_was_added_is_decided_again(store: Store) -> None:
    parent = added(store, "p")
    added(store, "c", after_fail=("p",))
    assert not store.commit(state_machine.cancel(parent, store.now()))
    cancelled(store, "p")
    assert claimed(store).id == "c"


def test_a_diamond_waits_for_both_sides(store: Store) -> None:
    store.insert([
        new_job(store, "top"),
        new_job(store, "left", after=("top",)),
        new_job(store, "right", after=("top",)),
        new_job(store, "bottom", after=("left", "right")),
    ])  # fmt: skip
    settled(store, claimed(store))
    settled(store, claimed(store))
    assert waits(store, "bottom") == ["success:right"]
    settled(store, claimed(store))
    assert claimed(store).id == "bottom"


def test_a_released_child_stays_released(store: Store) -> None:
    store.insert([new_job(store, "p"), new_job(store, "c", after=("p",))])
    settled(store, claimed(store))
    apply(store, "p", lambda job: state_machine.retry(job, store.now()))
    assert waits(store, "c") == []


def test_a_blocked_job_is_not_promoted_when_its_time_comes(store: Store) -> None:
    added(store, "p", queue="other")
    added(store, "c", store.now(), after=("p",), queue="mine")
    store.make_due_claimable()
    assert store.claim(request("mine")) is None


def test_many_children_are_told_in_stretches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    notify_in_stretches(monkeypatch, 10)
    added(store, "p")
    store.insert([new_job(store, f"c{n}", after=("p",)) for n in range(35)])
    assert settled(store, claimed(store)).children_pending, "the first ten know"
    assert sum(not job.blocked_by for job in store.find(Filter(), Page())) == 11
    while store.notify_children():
        pass
    assert not existing(store, "p").children_pending
    assert not any(job.blocked_by for job in store.find(Filter(), Page()))


def test_an_atomic_batch_holds_parents_and_children(store: Store) -> None:
    batch = [new_job(store, "p"), new_job(store, "c", after=("p",)), new_job(store, "free")]
    assert store.insert(batch, atomic=True) == frozenset()
    parent = claimed(store)
    assert claimed(store).id == "free"
    assert store.claim(request()) is None
    settled(store, existing(store, parent.id))
    assert claimed(store).id == "c"


def test_an_edit_keeps_what_is_gone_and_takes_what_is_new(store: Store) -> None:
    store.insert([new_job(store, name) for name in ("p", "q", "r")])
    added(store, "c", after=("p", "q"))
    settled(store, claimed(store, only="p"))
    child = existing(store, "c")
    spec = replace(child.spec, after=("p", "r"))
    assert store.commit(state_machine.edit(child, spec, child.run_at, store.now()))
    assert waits(store, "c") == ["success:r"]


def test_only_one_live_job_has_a_unique_key(store: Store) -> None:
    added(store, "a", unique="k")
    assert store.insert([new_job(store, "b", unique="k")]) == {"b"}
    assert store.unique_key_owner("k") == "a"
    job = claimed(store)
    assert store.unique_key_owner("k") == "a"
    settled(store, job)
    assert store.unique_key_owner("k") is None
    added(store, "b", unique="k")
    assert store.unique_key_owner("k") == "b"


def test_of_two_in_one_batch_with_a_unique_key_the_first_is_stored(store: Store) -> None:
    jobs = [new_job(store, name, unique="k") for name in ("a", "b")]
    assert store.insert(jobs) == {"b"}


def test_a_job_is_not_retried_while_another_holds_its_unique_key(store: Store) -> None:
    buried(store, "a", unique="k")
    added(store, "b", unique="k")
    with pytest.raises(Conflict, match="unique key"):
        store.commit(state_machine.retry(existing(store, "a"), store.now()))
    assert existing(store, "a").state is State.DEAD
    apply(store, "b", state_machine.delete)
    apply(store, "a", lambda job: state_machine.retry(job, store.now()))
    assert store.unique_key_owner("k") == "a"


def test_a_paused_job_is_passed_over_until_it_is_resumed(store: Store) -> None:
    added(store, "a")
    added(store, "b")
    apply(store, "a", lambda job: state_machine.pause(job, store.now()))
    assert claimed(store).id == "b"
    assert store.claim(request()) is None
    apply(store, "a", lambda job: state_machine.resume(job, store.now()))
    assert claimed(store).id == "a"


def test_a_pause_of_a_running_job_is_heard_with_the_renewal(store: Store) -> None:
    added(store, "a", max_retries=3)
    job = claimed(store)
    assert job.claim is not None
    apply(store, "a", lambda running: state_machine.pause(running, store.now()))
    assert renewal(store, "a", job.claim.id, 30) is Renewal.PAUSED
    assert not store.commit(state_machine.finish(job, FAILURE, store.now()))
    failed = settled(store, existing(store, "a"), FAILURE)
    assert failed.paused, "it stays paused for its retry"
    assert store.next_due() is None
