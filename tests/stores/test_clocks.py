"""Processes whose clocks disagree: what nobody asked to wait for is not waited for.

On MongoDB the server's clock decides; so most is tested on SQLite, where each process has its own.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.stores.base import Store
from queuectl.system.home import Home
from tests.stores.conftest import OpenStore, on_one_store
from tests.stores.kit import (
    FAILURE,
    added,
    claimed,
    existing,
    new_job,
    request,
    settled,
    shift_clock,
)
from tests.worker.fleet import eventually

AHEAD = timedelta(minutes=10)


@pytest.fixture
def ahead(opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, opened by one whose clock is ahead of all others."""
    store = opened()
    shift_clock(monkeypatch, store, AHEAD)
    return store


def test_a_job_without_a_time_is_due_whatever_the_clock_of_who_enqueued_it(
    opened: OpenStore, ahead: Store
) -> None:
    store = opened()
    added(ahead, "early", priority=5)
    added(store, "other")
    assert claimed(store).id == "early"
    assert claimed(store).id == "other"


@on_one_store
def test_nor_does_it_wait_once_it_was_given_back(opened: OpenStore, ahead: Store) -> None:
    store = opened()
    added(ahead, "a")
    assert claimed(store).run_at <= store.now()
    assert store.commit(state_machine.release(existing(store, "a"), store.now()))
    assert claimed(store).id == "a"


def test_a_named_job_is_due_too(opened: OpenStore, ahead: Store) -> None:
    store = opened()
    added(ahead, "a")
    assert claimed(store, only="a").id == "a"


def test_many_are_claimed_together(opened: OpenStore, ahead: Store) -> None:
    store = opened()
    ahead.insert([new_job(ahead, f"job{n}") for n in range(3)])
    _, jobs = store.commit_and_claim([], [request() for _ in range(3)])
    assert [job.id for job in jobs] == ["job0", "job1", "job2"]


@on_one_store
def test_a_retry_waits_as_long_as_it_shall_and_no_longer(opened: OpenStore, ahead: Store) -> None:
    store = opened()
    added(ahead, "a", max_retries=2, backoff_base=0.2)
    job = settled(ahead, claimed(ahead), FAILURE)
    assert job.state is State.FAILED
    assert store.claim(request()) is None
    eventually(lambda: store.make_due_claimable() == 1)
    assert claimed(store).id == "a"


@on_one_store
def test_a_delay_is_one_by_the_clock_of_who_runs_the_job(
    opened: OpenStore, ahead: Store, tmp_path: Path
) -> None:
    store = opened()
    with Queue(ahead, Home(tmp_path)) as queue:
        at = (store.now() + timedelta(minutes=1)).isoformat()
        wanted = [{"id": "soon", "in": "0.2s"}, {"id": "later", "in": "1h"}, {"id": "at", "at": at}]
        queue.enqueue([queue.request({"command": "true", **fields}) for fields in wanted])
    eventually(lambda: store.make_due_claimable() == 1)
    assert claimed(store).id == "soon"
    assert existing(store, "at").run_at.isoformat()[:19] == at[:19], "that was asked for"
    assert existing(store, "later").run_at < store.now() + timedelta(minutes=61)


@on_one_store
def test_a_child_is_due_when_its_parent_has_ended(opened: OpenStore, ahead: Store) -> None:
    store = opened()
    ahead.insert([new_job(ahead, "p"), new_job(ahead, "c", after=("p",))])
    settled(store, claimed(store))
    assert claimed(store).id == "c"


@on_one_store
def test_what_was_taken_for_due_too_early_waits_on_and_keeps_nobody_waiting(
    opened: OpenStore, ahead: Store
) -> None:
    store = opened()
    added(store, "at", store.now() + timedelta(minutes=5), priority=9)
    added(store, "now")
    assert ahead.make_due_claimable() == 1
    assert claimed(store).id == "now"
    assert store.claim(request()) is None
    assert store.next_due() == existing(store, "at").run_at
