"""Suspects: which workers are given them, and that they keep nobody else from anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, State
from queuectl.stores.base import Store
from queuectl.stores.sqlite import store as sqlite_store
from tests.stores.conftest import OpenStore, on_one_store
from tests.stores.kit import FAILURE, added, claimed, existing, faults, request, settled


def suspect(store: Store, job_id: str, **spec: Any) -> Job:
    """Add a job, and lose the worker that runs it beside others."""
    queue = str(spec.get("queue", "default"))
    added(store, job_id, **spec)
    lost = claimed(store, queue, alone=False)
    assert lost.id == job_id
    assert store.commit(state_machine.expire(lost, store.now(), 5))
    return existing(store, job_id)


def beside_others(store: Store, *queues: str) -> str | None:
    """Return the id of the job that a worker of several slots is given."""
    job = store.claim(request(*queues, alone=False))
    return job.id if job else None


def of_suspects(store: Store, *queues: str) -> str | None:
    """Return the id of the job that a worker for suspects is given."""
    job = store.claim(request(*queues, suspects=True))
    return job.id if job else None


def test_a_suspect_is_for_who_runs_nothing_beside_it(store: Store) -> None:
    suspect(store, "a")
    added(store, "b")
    added(store, "c")
    assert beside_others(store) == "b"
    assert claimed(store).id == "a"
    assert beside_others(store) == "c"
    assert beside_others(store) is None
    assert faults(store) == []


def test_who_asks_for_suspects_gets_no_other_job(store: Store) -> None:
    added(store, "b", priority=9)
    assert of_suspects(store) is None
    store.claim(request(only="b"))
    suspect(store, "a")
    added(store, "c")
    assert of_suspects(store, "elsewhere") is None
    assert of_suspects(store, "default") == "a"
    assert of_suspects(store) is None
    job = existing(store, "a")
    assert (job.state, job.suspect, job.runs_alone) == (State.PROCESSING, True, True)


def test_suspects_are_counted_as_far_as_they_are_asked_for(store: Store) -> None:
    assert store.ready_suspects((), 9) == 0
    for name in "abc":
        suspect(store, name, queue="q" if name == "c" else "default")
    added(store, "d")
    assert [store.ready_suspects((), most) for most in (1, 2, 9)] == [1, 2, 3]
    assert store.ready_suspects(("q", "r"), 9) == 1
    assert store.ready_suspects(("r",), 9) == 0
    claimed(store, "q")
    assert store.ready_suspects((), 9) == 2


def test_a_suspect_has_its_place_among_the_jobs_of_who_runs_any(store: Store) -> None:
    suspect(store, "low", priority=1)
    added(store, "b", priority=1)
    added(store, "high", priority=2)
    added(store, "c")
    assert [claimed(store).id for _ in range(4)] == ["high", "low", "b", "c"]


def test_a_queue_whose_only_ready_jobs_are_suspects_keeps_nobody_from_the_others(
    store: Store,
) -> None:
    for number in range(3):
        suspect(store, f"s{number}", queue="full of them", priority=9)
    added(store, "b", queue="another")
    _, jobs = store.commit_and_claim([], [request(alone=False) for _ in range(4)])
    assert [job.id for job in jobs] == ["b"]
    assert store.ready_suspects((), 9) == 3


def test_a_paused_queue_keeps_its_suspects(store: Store, opened: OpenStore) -> None:
    suspect(store, "a", queue="q")
    store.set_queue_limit("q", paused=True)
    other = opened()
    assert other.ready_suspects((), 9) == 0
    assert of_suspects(other) is None
    assert other.claim(request()) is None
    store.set_queue_limit("q", paused=False)
    assert of_suspects(opened()) == "a"


def test_suspects_take_slots_of_their_queue(store: Store, opened: OpenStore) -> None:
    for name in "ab":
        suspect(store, name, queue="q")
    store.set_queue_limit("q", limit=1)
    other = opened()
    assert other.ready_suspects((), 9) == 1
    assert of_suspects(other) == "a"
    assert other.ready_suspects((), 9) == 0
    assert of_suspects(other) is None
    settled(other, existing(other, "a"))
    assert of_suspects(other) == "b"


def test_in_a_queue_with_a_limit_no_later_job_takes_the_room_of_a_suspect(
    store: Store, opened: OpenStore
) -> None:
    suspect(store, "a", queue="q")
    added(store, "b", queue="q")
    added(store, "c", queue="another")
    store.set_queue_limit("q", limit=1)
    other = opened()
    assert [beside_others(other), beside_others(other)] == ["c", None]
    assert store.commit(state_machine.cancel(existing(store, "a"), store.now()))
    assert beside_others(opened()) == "b"


def test_a_suspect_that_waits_is_none_to_claim_until_its_time_has_come(store: Store) -> None:
    held = suspect(store, "a")
    later = store.now() + timedelta(hours=1)
    assert store.commit(state_machine.edit(held, held.spec, later, store.now()))
    assert store.ready_suspects((), 9) == 0
    now = store.now()
    assert store.commit(state_machine.edit(existing(store, "a"), held.spec, now, now))
    assert store.ready_suspects((), 9) == 1


def test_a_suspect_that_waits_for_another_is_released_as_one(store: Store) -> None:
    held = suspect(store, "a")
    added(store, "parent")
    assert beside_others(store) == "parent"
    spec = replace(held.spec, after=("parent",))
    change = state_machine.edit(held, spec, store.now(), store.now())
    assert store.commit(change)
    assert store.ready_suspects((), 9) == 0
    settled(store, existing(store, "parent"))
    assert store.ready_suspects((), 9) == 1
    assert beside_others(store) is None
    assert of_suspects(store) == "a"


def test_a_run_that_has_ended_leaves_an_ordinary_job(store: Store) -> None:
    suspect(store, "a", max_retries=3)
    settled(store, claimed(store), FAILURE)
    retried = state_machine.retry(existing(store, "a"), store.now())
    assert store.commit(retried)
    assert store.ready_suspects((), 9) == 0
    assert beside_others(store) == "a"


def test_a_suspect_is_among_what_is_ready_in_its_queue(store: Store) -> None:
    job = suspect(store, "a")
    first, last = store.first_ready("default"), store.last_ready("default")
    assert (first, last) == (existing_head(store, "a"), existing_head(store, "a"))
    assert store.oldest_due() == {"default": job.run_at}
    added(store, "b")
    ends = store.first_ready("default"), store.last_ready("default")
    assert [each.id if each else None for each in ends] == ["a", "b"]


def existing_head(store: Store, job_id: str) -> Job:
    """Return a job without its history."""
    return replace(existing(store, job_id), history=())


@on_one_store
def test_a_worker_of_several_slots_takes_no_lock_for_suspects(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store, sqlite_store.SqliteStore)
    suspect(store, "a")
    monkeypatch.setattr(store._db, "claiming", None)
    assert beside_others(store) is None


@on_one_store
def test_a_full_queue_in_which_a_suspect_waits_costs_no_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store, sqlite_store.SqliteStore)
    suspect(store, "a", queue="q")
    suspect(store, "b", queue="q")
    added(store, "c", queue="q")
    store.set_queue_limit("q", limit=1)
    assert of_suspects(store) == "a"
    assert (beside_others(store), store.claim(request())) == (None, None)
    monkeypatch.setattr(store._db, "claiming", None)
    assert (beside_others(store), store.claim(request())) == (None, None)
    assert of_suspects(store) is None
