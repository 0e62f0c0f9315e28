"""Listings in other orders than that of arrival, from every kind of store."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from queuectl.domain import state_machine
from queuectl.domain.frozen import replace
from queuectl.domain.job import SETTLED, WAITING, State
from queuectl.domain.query import Filter, Order, Page
from queuectl.stores.base import Store
from tests.stores.kit import FAILURE, SUCCESS, added, claimed, existing, listed, new_job, settled


@pytest.fixture
def mixed(store: Store) -> Store:
    """Jobs of every state, of several queues and priorities."""
    now = store.now()
    added(store, "done")
    settled(store, claimed(store), SUCCESS)
    added(store, "dead", priority=3)
    settled(store, claimed(store), FAILURE)
    added(store, "running", priority=1)
    claimed(store)
    added(store, "gone")
    assert store.commit(state_machine.cancel(existing(store, "gone"), store.now()))
    added(store, "low", priority=-1)
    added(store, "later", now + timedelta(hours=2), priority=9)
    added(store, "soon", now + timedelta(hours=1))
    added(store, "shut", queue="shut", priority=5)
    added(store, "child", after=("low",), priority=7)
    added(store, "high", priority=2)
    added(store, "normal")
    store.set_queue_limit("shut", paused=True)
    return store


def test_jobs_that_wait_are_listed_in_the_order_in_which_they_will_run(mixed: Store) -> None:
    turn = ["high", "normal", "low", "soon", "later", "shut", "child"]
    assert listed(mixed, page=Page(order=Order.TURN)) == turn
    for limit in range(len(turn)):
        assert listed(mixed, page=Page(limit, order=Order.TURN)) == turn[:limit]
    chosen = Filter(WAITING, "default")
    assert listed(mixed, chosen, Page(order=Order.TURN)) == [id for id in turn if id != "shut"]
    assert listed(mixed, Filter(texts=("o",)), Page(order=Order.TURN)) == ["normal", "low", "soon"]
    assert listed(mixed, Filter(SETTLED), Page(order=Order.TURN)) == []


def test_the_latest_that_ended_come_first(mixed: Store) -> None:
    page = Page(order=Order.ENDED, newest_first=True)
    assert listed(mixed, Filter(SETTLED), page) == ["gone", "dead", "done"]
    assert listed(mixed, Filter(SETTLED), Page(2, order=Order.ENDED)) == ["done", "dead"]
    every = listed(mixed, page=page)
    assert every[:3] == ["gone", "dead", "done"]
    assert len(every) == 11


def test_an_order_holds_every_job_once_and_a_limit_keeps_its_beginning(mixed: Store) -> None:
    dead = Filter(frozenset({State.DEAD}))
    for order, newest_first in product(set(Order) - {Order.TURN}, (False, True)):
        page = Page(order=order, newest_first=newest_first)
        every = listed(mixed, page=page)
        assert sorted(every) == sorted(listed(mixed)), page
        assert listed(mixed, page=replace(page, limit=4)) == every[:4], page
        assert listed(mixed, dead, page) == ["dead"]


def test_jobs_are_ordered_by_what_is_named(mixed: Store) -> None:
    def first(order: Order, *, newest_first: bool = False) -> str:
        return listed(mixed, page=Page(1, order=order, newest_first=newest_first))[0]

    assert first(Order.PRIORITY, newest_first=True) == "later"
    assert first(Order.PRIORITY) == "low"
    assert first(Order.ID) == "child"
    assert first(Order.STARTED) == "done"
    assert first(Order.STARTED, newest_first=True) == "running"
    assert first(Order.QUEUE, newest_first=True) == "shut"
    states = [
        existing(mixed, job_id).state for job_id in listed(mixed, page=Page(order=Order.STATE))
    ]
    assert states == sorted(states, key=list(State).index)


def test_a_job_that_changes_while_it_is_listed_is_not_shown_as_what_it_is_not(
    store: Store,
) -> None:
    store.insert([new_job(store, f"job{n:03}") for n in range(600)])
    found = store.find(Filter(WAITING), Page(order=Order.TURN))
    seen = [next(found).id]
    assert store.commit(state_machine.cancel(existing(store, "job599"), store.now()))
    seen += [job.id for job in found]
    assert seen == [f"job{n:03}" for n in range(599)]
