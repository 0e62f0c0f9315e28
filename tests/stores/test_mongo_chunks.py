"""What is done to many documents at once is cut into pieces that a slow server answers in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import groupby, pairwise
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job
from queuectl.domain.settings import CANCEL
from queuectl.stores.mongo import chunks, dependents
from queuectl.stores.mongo.batches import mend
from queuectl.stores.mongo.chunks import Pieces
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Commands
from tests.stores.kit import FAILURE, added, buried, claimed, existing, new_job, settled

MOST = 4
MANY = 9


@pytest.fixture
def store(watched_store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> MongoStore:
    """A store of which no command may take more than a few documents."""
    monkeypatch.setattr(chunks, "QUICK_SECONDS", 0)
    monkeypatch.setattr(chunks, "SLOW_SECONDS", float("inf"))
    link = watched_store.link
    for pieces in (link.inserts, link.changes, link.reads, link.children):
        pieces.size = MOST
    return watched_store


def at_once(name: str, command: Mapping[str, Any]) -> int:
    """Return how many documents a command may change, at most."""
    if name == "insert":
        return len(command["documents"])
    found = 0
    for statement in command.get("updates", command.get("deletes", ())):
        is_single = statement.get("limit") == 1 or not (statement.get("multi") or name == "delete")
        ids = statement["q"].get("_id")
        if is_single or isinstance(ids, str):
            found += 1
        else:
            assert isinstance(ids, Mapping), f"no end to it: {statement['q']}"
            found += len(ids["$in"])
    return found


def children(store: MongoStore, parent: str, prefix: str = "child") -> list[Job]:
    """Return many jobs to be added that wait for one."""
    return [new_job(store, f"{prefix}{n}", after=(parent,)) for n in range(MANY)]


def adds_children(store: MongoStore) -> None:
    added(store, "parent")
    store.insert(children(store, "parent"))


def adds_children_of_one_that_has_ended(store: MongoStore) -> None:
    added(store, "parent")
    settled(store, claimed(store))
    store.insert(children(store, "parent"))
    assert all(not existing(store, f"child{n}").blocked_by for n in range(MANY))


def adds_one_child_of_many(store: MongoStore) -> None:
    parents = [new_job(store, f"parent{n}") for n in range(MANY)]
    store.insert([*parents, new_job(store, "child", after=tuple(job.id for job in parents))])
    assert all(existing(store, job.id).has_dependents for job in parents)


def adds_a_whole_batch(store: MongoStore) -> None:
    later = store.now() + timedelta(hours=1)
    plain = [new_job(store, f"job{n}", later if n % 2 else None) for n in range(MANY)]
    store.insert([new_job(store, "parent"), *plain, *children(store, "parent")], atomic=True)
    ready = {found["_id"] for found in store.link.jobs.find({"ready": True})}
    assert ready == {"parent", *(f"job{n}" for n in range(0, MANY, 2))}
    assert store.link.jobs.count_documents({"batch": {"$exists": True}}) == 0


def takes_a_batch_back(store: MongoStore) -> None:
    added(store, "taken")
    jobs = [new_job(store, f"job{n}") for n in range(MANY)]
    assert store.insert([*jobs, new_job(store, "taken")], atomic=True) == {"taken"}
    assert store.link.jobs.count_documents({}) == 1


def mends_a_batch_that_was_given_up(store: MongoStore) -> None:
    long_ago = store.now() - timedelta(hours=2)
    store.link.batches.insert_one({"_id": "b", "state": "open", "created_at": long_ago})
    staged = [{"_id": f"job{n}", "batch": "b", "seq": n} for n in range(MANY)]
    for document in staged:
        store.link.jobs.insert_one(document)
    assert mend(store.link) == 1
    assert store.link.jobs.count_documents({}) == 0


def tells_many_children(store: MongoStore) -> None:
    adds_children(store)
    settled(store, claimed(store))
    while dependents.notify_children(store.link):
        pass
    assert store.link.jobs.count_documents({"ready": True}) == MANY


def promotes_many(store: MongoStore) -> None:
    soon = store.now() + timedelta(milliseconds=1)
    store.insert([new_job(store, f"job{n}", soon) for n in range(MANY)])
    assert store.now() > soon
    assert store.make_due_claimable() + store.link.jobs.count_documents({"ready": True}) >= MANY


def cancels_and_deletes_many(store: MongoStore) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(MANY)])
    now = store.now()
    waiting = [existing(store, f"job{n}") for n in range(MANY)]
    assert all(store.commit_all([state_machine.cancel(job, now) for job in waiting]))
    cancelled = [existing(store, f"job{n}") for n in range(MANY)]
    assert all(store.commit_all([state_machine.delete(job) for job in cancelled]))


def removes_many(store: MongoStore) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(MANY)])
    done = [settled(store, claimed(store)) for _ in range(MANY)]
    dead = [buried(store, f"dead{n}") for n in range(2)]
    assert len(store.retention.remove([*done, *dead])) == MANY + 2
    assert store.link.dlq.count_documents({}) == 0


def restores_many(store: MongoStore) -> None:
    parents = tuple(f"parent{n}" for n in range(MANY))
    for job_id in parents:
        added(store, job_id)
    child = state_machine.enqueue(new_job(store, "child", after=parents).spec, None, store.now())
    assert store.restore([child]) == frozenset()
    assert store.link.jobs.count_documents({"has_dependents": True}) == MANY


def forgets_many_figures(store: MongoStore) -> None:
    for n in range(MANY):
        minute = store.now() - timedelta(days=1, minutes=n)
        store.link.figures.insert_one({"_id": f"{n}", "minute": minute, "queue": "q"})
    assert store.stats.forget(store.now()) == MANY


def forgets_many_runs(store: MongoStore) -> None:
    for n in range(MANY):
        added(store, f"job{n}", max_retries=2, backoff_base=0)
        settled(store, claimed(store), FAILURE)
        store.make_due_claimable()
        settled(store, claimed(store))
    gone, is_more = store.retention.forget_runs(store.now() + timedelta(hours=1), 1000)
    assert (len(gone), is_more) == (MANY, False)


@pytest.mark.parametrize(
    "act",
    [
        adds_children,
        adds_children_of_one_that_has_ended,
        adds_one_child_of_many,
        adds_a_whole_batch,
        takes_a_batch_back,
        mends_a_batch_that_was_given_up,
        tells_many_children,
        promotes_many,
        cancels_and_deletes_many,
        removes_many,
        restores_many,
        forgets_many_figures,
        forgets_many_runs,
    ],
    ids=lambda act: act.__name__,
)
def test_no_command_is_for_more_documents_than_one_piece(
    store: MongoStore, commands: Commands, act: Callable[[MongoStore], None]
) -> None:
    commands.entries.clear()
    act(store)
    written = [
        (name, at_once(name, command))
        for name, command in commands.entries
        if name in ("insert", "update", "delete")
    ]
    assert written
    assert max(number for _, number in written) <= MOST


class Clock:
    """Time of which each look takes a little."""

    def __init__(self, step: float) -> None:
        self._now = 0.0
        self._step = step

    def monotonic(self) -> float:
        """Return the time, and let some pass."""
        self._now += self._step
        return self._now


@pytest.mark.parametrize(
    "spec", [{"after_any": ("parent",)}, {"after": ("parent",), "on_parent_failure": CANCEL}]
)
@pytest.mark.parametrize("how", ["dead", "deleted"])
def test_one_sweep_goes_on_for_a_while_and_the_next_one_with_the_rest(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], how: str
) -> None:
    added(store, "parent")
    store.insert([new_job(store, f"child{n}", **spec) for n in range(60)])
    monkeypatch.setattr(chunks, "time", Clock(0.1))
    monkeypatch.setattr(dependents, "AT_ONCE_SECONDS", 1.0)
    if how == "dead":
        assert settled(store, claimed(store), FAILURE).children_pending, (
            "who ends a parent stops too"
        )
    else:
        assert store.commit(state_machine.delete(existing(store, "parent")))

    def left() -> int:
        waiting = {"blocked_by": {"$exists": True}, "state": "pending"}
        return store.link.jobs.count_documents(waiting)

    seen = [60, left()]
    while store.notify_children():
        seen.append(left())
    told = [before - after for before, after in pairwise(seen)]
    assert max(told) <= 6 * MOST, told
    assert seen[-1] == 0


@pytest.mark.parametrize(
    "act",
    [
        mends_a_batch_that_was_given_up,
        tells_many_children,
        promotes_many,
        removes_many,
        forgets_many_figures,
        forgets_many_runs,
    ],
    ids=lambda act: act.__name__,
)
def test_what_cannot_wait_is_done_between_the_commands_of_a_long_call(
    store: MongoStore, commands: Commands, act: Callable[[MongoStore], None]
) -> None:
    store.between = lambda: commands.entries.append(("between", {}))
    commands.entries.clear()
    act(store)
    for name, some in groupby(commands.entries, key=lambda entry: entry[0] == "between"):
        assert name or sum(at_once(*each) for each in some if each[0] == "update") <= 3 * MOST
    assert ("between", {}) in commands.entries


def test_pieces_grow_while_they_are_quick_and_shrink_to_what_the_server_does() -> None:
    pieces = Pieces(first=50, most=300)
    for seconds, then in ((0.01, 100), (0.01, 200), (0.01, 300), (0.01, 300), (0.3, 300)):
        pieces.learn(pieces.size, seconds)
        assert pieces.size == then
    pieces.learn(300, 3.0)
    assert pieces.size == 25  # a hundred a second, in a quarter of one
    pieces.learn(25, 60.0)
    assert pieces.size == 10  # no fewer: it does not answer sooner for that
    pieces.learn(3, 0.01)
    assert pieces.size == 10  # what is not full says nothing


def test_pieces_that_can_wait_are_cut_sooner() -> None:
    pieces = Pieces(first=50, most=200, share=0.4)
    pieces.learn(50, 0.3)
    assert pieces.size == 16
    pieces.learn(16, 0.15)
    assert pieces.size == 16
    pieces.learn(16, 0.05)
    assert pieces.size == 32


def test_all_items_are_in_the_pieces_once_and_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "QUICK_SECONDS", float("inf"))
    monkeypatch.setattr(chunks, "SLOW_SECONDS", float("inf"))
    pieces = Pieces(first=2, most=5)
    assert list(pieces.of([])) == []
    found = [list(piece) for piece in pieces.of(range(12))]
    assert [number for piece in found for number in piece] == list(range(12))
    assert [len(piece) for piece in found] == [2, 4, 5, 1]
