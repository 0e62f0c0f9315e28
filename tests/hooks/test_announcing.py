"""Endings become deliveries: those that a hook wants, each once, and none of deliveries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queuectl.domain.events import RunResult
from queuectl.domain.hooks import hook_of
from queuectl.queue.hook_deliveries import enqueue_deliveries
from queuectl.stores.base import Store
from tests.hooks.kit import deliveries, ending, events, kept
from tests.stores.kit import added, claimed, settled


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (("completed",), ["completed c"]),
        (("dead",), ["dead d"]),
        (("failed",), ["failed f", "failed d"]),
        (("failed", "dead"), ["failed f", "dead d"]),
        (("cancelled",), ["cancelled x"]),
    ],
)
def test_a_hook_is_told_of_the_events_that_it_wants(
    store: Store, wanted: tuple[str, ...], told: list[str]
) -> None:
    kept(store, events=wanted)
    now = store.now()
    outcomes = {
        "c": RunResult.COMPLETED, "f": RunResult.FAILED, "d": RunResult.DEAD,
        "x": RunResult.CANCELLED, "i": RunResult.INTERRUPTED,
    }  # fmt: skip
    ends = [ending(now, outcome, job_id=name) for name, outcome in outcomes.items()]
    assert enqueue_deliveries(store, ends) == len(told)
    assert events(store) == told


def test_of_other_queues_and_labels_of_before_and_while_it_is_paused_a_hook_is_told_nothing(
    store: Store,
) -> None:
    now = store.now()
    kept(store, "q", events=("dead",), queue="gpu")
    kept(store, "l", events=("dead",), labels=("x", "y"))
    kept(store, "new", events=("dead",), labels=("n",), created_at=now)
    kept(store, "paused", events=("dead",), paused=True)
    ends = [
        ending(now, job_id="plain"),
        ending(now, job_id="gpu", queue="gpu", labels=("y",)),
        ending(now, job_id="both", labels=("y", "z", "x")),
        ending(now - timedelta(milliseconds=1), labels=("n",)),
        ending(now, job_id="new", labels=("n",)),
    ]
    assert enqueue_deliveries(store, ends) == 3
    assert sorted(events(store)) == ["dead both", "dead gpu", "dead new"]


def test_what_is_told_twice_is_delivered_once_for_each_hook(store: Store) -> None:
    kept(store, "a", events=("dead",))
    kept(store, "b", events=("dead",))
    ends = [ending(store.now()), ending(store.now())]
    enqueue_deliveries(store, ends)
    ids = sorted(job.id for job in deliveries(store))
    assert [hook_of(job_id) for job_id in ids] == ["a", "a", "b", "b"]
    settled(store, claimed(store, deliveries=True))
    enqueue_deliveries(store, ends)
    assert sorted(job.id for job in deliveries(store)) == ids


def test_deliveries_fire_no_hooks(store: Store) -> None:
    kept(store, events=("dead", "completed", "failed", "queue-empty"))
    enqueue_deliveries(store, [ending(store.now(), job_id="other", queue="busy")])
    (delivery,) = (job for job in deliveries(store) if "dead" in dict(job.spec.env).popitem()[1])
    before = len(deliveries(store))
    enqueue_deliveries(store, [ending(store.now(), job_id=delivery.id, queue="hooks")])
    assert len(deliveries(store)) == before


def test_a_queue_is_told_to_be_empty_once_when_its_last_job_has_ended(store: Store) -> None:
    kept(store, events=("queue-empty",))
    for job_id in ("a", "b", "c"):
        added(store, job_id)
    first, second, third = claimed(store), claimed(store), claimed(store)
    settled(store, first)
    a = ending(store.now(), RunResult.COMPLETED, job_id="a")
    enqueue_deliveries(store, [a])
    assert events(store) == [], "two still run"
    settled(store, second)
    settled(store, third)
    b, c = (ending(store.now(), RunResult.COMPLETED, job_id=name) for name in "bc")
    enqueue_deliveries(store, [b])
    enqueue_deliveries(store, [b, c])
    enqueue_deliveries(store, [c])
    assert events(store) == ["queue-empty default"]


def test_a_queue_that_becomes_empty_again_is_told_again(store: Store) -> None:
    kept(store, events=("queue-empty",))
    for job_id in ("a", "b"):
        added(store, job_id)
        settled(store, claimed(store, "default"))
        at = store.now() + timedelta(milliseconds=5)
        enqueue_deliveries(store, [ending(at, RunResult.COMPLETED, job_id=job_id)])
        while store.now() <= at:
            pass  # the clock has whole milliseconds
    assert events(store) == ["queue-empty default"] * 2


def test_a_queue_with_jobs_that_wait_is_not_empty(store: Store) -> None:
    kept(store, events=("queue-empty",), queue="default")
    added(store, "later", store.now() + timedelta(hours=1))
    enqueue_deliveries(store, [ending(store.now()), ending(store.now(), queue="else")])
    assert events(store) == []
