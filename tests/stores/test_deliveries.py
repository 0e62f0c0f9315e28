"""Deliveries of hooks among the jobs of a store: claimed apart, limited by hook, found apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queuectl.domain.hooks import delivery_id
from queuectl.domain.job import State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import delivery_queue
from queuectl.stores.base import Store
from tests.stores.kit import FAILURE, INTERRUPTED, SUCCESS, added, buried, claimed, request, settled
from tests.worker.fleet import eventually


def delivery(store: Store, hook: str, number: int = 0) -> str:
    """Add a delivery of a hook and return its id."""
    job_id = delivery_id(hook, f"{number:032}")
    return added(store, job_id, queue=delivery_queue(hook)).id


def found(store: Store, chosen: Filter) -> list[str]:
    return [job.id for job in store.find(chosen, Page())]


def test_who_asks_for_a_job_is_never_given_a_delivery(store: Store) -> None:
    delivery(store, "a")
    assert store.claim(request()) is None
    assert store.claim(request("default", "hooks")) is None
    assert store.commit_and_claim([], [request(), request()]) == ([], [])
    added(store, "job1")
    assert claimed(store).id == "job1"
    added(store, "job2")
    assert [job.id for job in store.commit_and_claim([], [request(), request()])[1]] == ["job2"]


def test_who_asks_for_a_delivery_is_never_given_a_job(store: Store) -> None:
    added(store, "job1")
    assert not store.has_ready_deliveries()
    assert store.claim(request(deliveries=True)) is None
    told = delivery(store, "a")
    assert store.has_ready_deliveries()
    assert claimed(store, deliveries=True).id == told
    assert store.claim(request(deliveries=True)) is None
    assert claimed(store).id == "job1"


def test_jobs_and_deliveries_are_claimed_in_turn_by_one_store(store: Store) -> None:
    for number in range(2):
        added(store, f"job{number}")
        delivery(store, "a", number)
    order = [claimed(store, deliveries=bool(number % 2)).spec.queue for number in range(4)]
    assert order == ["default", delivery_queue("a")] * 2


def test_a_claim_whose_answer_was_lost_finds_its_delivery_again(store: Store) -> None:
    told = delivery(store, "a")
    asked = request(deliveries=True, claim_id="x")
    assert claimed(store, deliveries=True, claim_id="x").id == told
    again = request(deliveries=True, claim_id="x", repeated=True)
    repeated = store.claim(again)
    assert asked.claim_id == again.claim_id
    assert repeated is not None
    assert repeated.id == told


def test_the_limit_of_a_hook_leaves_room_for_the_others(store: Store) -> None:
    store.set_queue_limit(delivery_queue("a"), limit=2)
    for number in range(4):
        delivery(store, "a", number)
    other = delivery(store, "b")
    taken = {claimed(store, deliveries=True).id for _ in range(3)}
    assert other in taken
    assert store.claim(request(deliveries=True)) is None
    assert {job.state for job in store.find(Filter(queue=delivery_queue("a")), Page())} == {
        State.PENDING,
        State.PROCESSING,
    }


def test_a_hook_that_was_full_has_something_ready_again_when_a_delivery_has_ended(
    store: Store,
) -> None:
    store.set_queue_limit(delivery_queue("a"), limit=2)
    for number in range(4):
        delivery(store, "a", number)
    under_way = [claimed(store, deliveries=True) for _ in range(2)]
    assert store.claim(request(deliveries=True)) is None
    for job in under_way:
        settled(store, job, SUCCESS)
    assert store.has_ready_deliveries()
    assert claimed(store, deliveries=True).id not in {job.id for job in under_way}


def test_a_hook_that_was_full_has_something_ready_again_when_others_have_ended_theirs(
    store: Store, opened: Callable[[], Store]
) -> None:
    elsewhere = opened()
    store.set_queue_limit(delivery_queue("a"), limit=1)
    for number in range(2):
        delivery(store, "a", number)
    theirs = claimed(elsewhere, deliveries=True)
    assert store.claim(request(deliveries=True)) is None
    settled(elsewhere, theirs, SUCCESS)
    eventually(store.has_ready_deliveries)


def test_who_asks_for_what_is_untried_is_never_given_a_retry(store: Store) -> None:
    asked: Any = {"deliveries": True, "untried": True}
    retries = [
        added(store, delivery_id("a", f"{number:032}"), queue=delivery_queue("a"),
              max_retries=3, backoff_base=1.0, backoff_cap=0.001).id
        for number in range(2)
    ]  # fmt: skip
    for _ in retries:
        settled(store, claimed(store, **asked), FAILURE)
    eventually(lambda: store.make_due_claimable() or store.has_ready_deliveries())
    assert not store.has_ready_deliveries(untried=True)
    assert store.claim(request(**asked)) is None
    new = [delivery(store, "a", 3), delivery(store, "b")]
    assert store.has_ready_deliveries(untried=True)
    assert {claimed(store, **asked).id for _ in new} == set(new)
    assert store.claim(request(**asked)) is None
    assert claimed(store, deliveries=True).id in retries


def test_what_was_given_back_counts_as_untried(store: Store) -> None:
    told = delivery(store, "a")
    settled(store, claimed(store, deliveries=True), INTERRUPTED)
    assert store.has_ready_deliveries(untried=True)
    assert claimed(store, deliveries=True, untried=True).id == told


def test_hooks_are_served_in_turn(store: Store) -> None:
    for number in range(3):
        delivery(store, "a", number)
    delivery(store, "b")
    order = [claimed(store, deliveries=True).spec.queue for _ in range(4)]
    assert delivery_queue("b") in order[:2]


def test_deliveries_can_be_claimed_of_some_hooks_alone(store: Store) -> None:
    delivery(store, "a")
    told = delivery(store, "b")
    added(store, "job1")
    assert claimed(store, delivery_queue("b"), deliveries=True).id == told
    assert store.claim(request(delivery_queue("b"), deliveries=True)) is None
    assert claimed(store).id == "job1"


def test_a_hook_that_is_paused_has_nothing_ready(store: Store) -> None:
    delivery(store, "a")
    store.set_queue_limit(delivery_queue("a"), paused=True)
    assert not store.has_ready_deliveries()
    assert store.claim(request(deliveries=True)) is None
    delivery(store, "b")
    assert store.has_ready_deliveries()


def test_deliveries_and_jobs_are_found_and_counted_apart(store: Store) -> None:
    told, dead = delivery(store, "a"), delivery(store, "b")
    added(store, "job1", queue="hooks")
    buried(store, "job2")
    settled(store, claimed(store, only=dead), FAILURE)
    assert found(store, Filter(deliveries=True)) == [told, dead]
    assert found(store, Filter(deliveries=False)) == ["job1", "job2"]
    assert found(store, Filter(frozenset({State.DEAD}), deliveries=False)) == ["job2"]
    counts = store.counts()
    assert counts.total == 4
    assert counts.only(deliveries=True).total == 2
    assert counts.matching(Filter(deliveries=False)) == 2
    assert set(counts.only(deliveries=False).by_queue) == {"hooks", "default"}
