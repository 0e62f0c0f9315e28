"""Edits that let jobs wait for others: at the same instant, and cut short by a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import Circle
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import Store
from queuectl.stores.mongo import dependencies
from queuectl.stores.mongo.store import MongoStore
from queuectl.stores.mongo.writes import Writes
from tests.stores.conftest import OpenStore
from tests.stores.faults import Crash, failing
from tests.stores.kit import added, buried, claimed, existing, new_job, settled


def waiting_for(store: Store, job_id: str, *parents: str) -> Transition:
    """Return the edit that lets a job, as it is now, wait for others."""
    job = existing(store, job_id)
    return state_machine.edit(job, replace(job.spec, after=parents), job.run_at, store.now())


def replaced_after(store: Store, job_id: str, parent: str) -> Transition:
    """Return the replacement of a job by one that waits for another."""
    job = existing(store, job_id)
    spec = replace(job.spec, after=(parent,))
    return state_machine.replace_job(job, spec, None, store.now())


@pytest.mark.parametrize("is_dead", [False, True])
def test_of_two_edits_that_would_close_a_circle_the_second_is_refused(
    opened: OpenStore, is_dead: bool
) -> None:
    one, other = opened(), opened()
    added(one, "a")
    before = buried(one, "b") if is_dead else added(one, "b")
    there = waiting_for(one, "a", "b")
    back = replaced_after(other, "b", "a")
    assert one.commit(there)
    before = existing(one, "b")
    with pytest.raises(Circle, match="b -> a -> b"):
        other.commit(replace(back, before=before))
    assert existing(one, "b") == before
    assert existing(one, "a").blocked_by == ("success:b",)


def test_a_long_circle_is_refused_too_and_what_is_none_is_not(opened: OpenStore) -> None:
    store = opened()
    for name in "abcd":
        added(store, name)
    for child, parent in ("ab", "bc", "ac"):
        assert store.commit(waiting_for(store, child, *{parent, *_parents(store, child)}))
    with pytest.raises(Circle):
        store.commit(waiting_for(store, "c", "d", "a"))
    assert store.commit(waiting_for(store, "c", "d"))


def _parents(store: Store, job_id: str) -> tuple[str, ...]:
    return existing(store, job_id).spec.after


def test_an_edit_that_is_about_to_be_written_is_seen_by_the_one_that_comes_between(
    watched_store: MongoStore, opened_mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = watched_store, opened_mongo
    for name in "ab":
        added(store, name)
    added(store, "child", after=("a", "b"))  # that they are parents is no news then
    back = waiting_for(other, "b", "a")
    real = Writes._apply

    def apply(self: Writes, *change: Any) -> bool:
        if self is store._writes:
            with pytest.raises(Circle):
                other.commit(replace(back, before=existing(other, "b")))
        return real(self, *change)

    monkeypatch.setattr(Writes, "_apply", apply)
    assert store.commit(waiting_for(store, "a", "b"))
    assert (existing(store, "a").blocked_by, existing(store, "b").blocked_by) == (
        ("success:b",),
        (),
    )


def test_what_a_crash_has_left_announced_stands_in_nobodys_way_for_long(
    watched_store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = watched_store
    for name in "ab":
        added(store, name)
    change = waiting_for(store, "a", "b")
    with failing(store, "jobs", "update_one", Crash(), is_applied=True), pytest.raises(Crash):
        store.commit(change)
    assert existing(store, "a").blocked_by == ()
    with pytest.raises(Circle):
        store.commit(waiting_for(store, "b", "a"))
    monkeypatch.setattr(dependencies, "STALE_SECONDS", -1.0)
    assert store.commit(waiting_for(store, "b", "a"))
    assert claimed(store).id == "a"


def test_an_edit_whose_announcement_was_taken_away_is_not_written(
    watched_store: MongoStore, opened_mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = watched_store, opened_mongo
    for name in "ab":
        added(store, name)
    real = Writes._apply

    def apply(self: Writes, *change: Any) -> bool:
        monkeypatch.setattr(dependencies, "STALE_SECONDS", -1.0)
        assert other.repair() == 1
        return real(self, *change)

    monkeypatch.setattr(Writes, "_apply", apply)
    assert not store.commit(waiting_for(store, "a", "b"))
    assert existing(store, "a").blocked_by == ()


@pytest.mark.parametrize("what", ["edit", "add", "atomic"])
def test_upkeep_settles_what_a_crash_has_left_between_a_write_and_its_parents(
    watched_store: MongoStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = watched_store
    added(store, "p")
    settled(store, claimed(store))
    write: Callable[[], object]
    if what == "edit":
        added(store, "c")
        write = partial(store.commit, waiting_for(store, "c", "p"))
    else:
        others = [new_job(store, "d", queue="other")] if what == "atomic" else []
        jobs = [new_job(store, "c", after=("p",)), *others]
        write = partial(store.insert, jobs, atomic=what == "atomic")
    with failing(store, "jobs", "find", Crash(), is_applied=False), pytest.raises(Crash):
        write()
    assert existing(store, "c").blocked_by == ("success:p",)
    store.repair()
    assert existing(store, "c").blocked_by == ("success:p",), "its writer may be at it still"
    monkeypatch.setattr(dependencies, "STALE_SECONDS", -1.0)
    assert store.repair() == 1
    assert store.repair() == 0
    assert claimed(store, "default").id == "c"
