"""MongoDB: the process ends between any two calls of a move, and the server under load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter
from queuectl.domain.state_machine import Transition
from queuectl.queue.events import process_all_events
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Crash
from tests.stores.kit import (
    FAILURE,
    added,
    buried,
    claimed,
    existing,
    faults,
    listed,
    new_job,
    request,
)
from tests.stores.server import mongod_in
from tests.worker.fleet import eventually

PLACES = ("jobs", "dlq", "meta", "batches", "events", "figures", "totals")
CALLS = frozenset(
    "find find_one find_one_and_update update_one update_many replace_one delete_one delete_many "
    "insert_one insert_many aggregate count_documents bulk_write".split()
)
MOST_STEPS = 40
DEAD = Filter(states=frozenset({State.DEAD}))


@pytest.fixture
def store(mongo_url: str) -> Iterator[MongoStore]:
    """An empty store."""
    with closing(MongoStore.open(mongo_url)) as store:
        yield store


@pytest.fixture
def mender(mongo_url: str) -> Iterator[MongoStore]:
    """The same store, as another process has it open."""
    with closing(MongoStore.open(mongo_url)) as store:
        yield store


class Countdown:
    """Lets the process end before one chosen call to the server.

    What is there after a call was applied is what is there before the next one.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.calls = 0

    def run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls != self.step:
            return call(*args, **kwargs)
        raise Crash


class Watched:
    """A collection whose every call goes through a countdown."""

    def __init__(self, target: Any, countdown: Countdown) -> None:
        self._target = target
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._target, name)
        if name == "with_options":
            return lambda **how: Watched(real(**how), self._countdown)
        if name not in CALLS:
            return real
        return lambda *args, **kwargs: self._countdown.run(real, *args, **kwargs)


def crash_at(store: MongoStore, step: int, act: Callable[[MongoStore], object]) -> bool:
    """Do something that ends before one call, as a process does; tell whether it came so far."""
    countdown = Countdown(step)
    real = {place: getattr(store.link, place) for place in PLACES}
    for place, target in real.items():
        setattr(store.link, place, Watched(target, countdown))
    try:
        with suppress(Crash):
            act(store)
    finally:
        for place, target in real.items():
            setattr(store.link, place, target)
    return countdown.calls >= step


def is_whole(store: MongoStore, expected: list[Job | None]) -> Job | None:
    """See that every reader has a job once, as one of those expected; return which."""
    found = store.get("a")
    assert found in expected, f"neither before nor after: {found}"
    assert listed(store) == (["a"] if found else [])
    assert listed(store, DEAD) == (["a"] if found and found.state is State.DEAD else [])
    assert store.counts().total == (1 if found else 0)
    if found:
        assert store.counts().of(found.state) == 1
        assert store.insert([new_job(store, "a")]) == {"a"}
    return found


def dead(store: MongoStore) -> Job:
    return buried(store, "a")


def running(store: MongoStore) -> Job:
    added(store, "a")
    return claimed(store)


def waiting(store: MongoStore) -> Job:
    return added(store, "a")


def replaced(job: Job, now: datetime) -> Transition:
    return state_machine.replace_job(job, replace(job.spec, command="echo other"), None, now)


MOVES: dict[str, tuple[Callable[[MongoStore], Job], Callable[[Job, datetime], Transition]]] = {
    "burial": (running, lambda job, now: state_machine.finish(job, FAILURE, now)),
    "burial by interruptions": (running, lambda job, now: state_machine.expire(job, now, 1)),
    "retry": (dead, state_machine.retry),
    "replacement": (dead, replaced),
    "deletion": (dead, lambda job, _now: state_machine.delete(job)),
    "deletion of a waiting job": (waiting, lambda job, _now: state_machine.delete(job)),
}
TYPICAL = ("burial", "retry")
"""One move into the dead letter queue and one out of it."""


@pytest.mark.parametrize(
    "name",
    [name if name in TYPICAL else pytest.param(name, marks=pytest.mark.slow) for name in MOVES],
)
def test_a_move_cut_short_at_any_call_is_done_or_not_begun(
    store: MongoStore, mender: MongoStore, name: str
) -> None:
    prepare, decide = MOVES[name]
    for step in range(1, MOST_STEPS):
        prepare(store)
        before = existing(store, "a")
        change = decide(before, store.now())
        was_cut = crash_at(store, step, partial(_commit, change))
        found = is_whole(store, [before, change.after])
        # the process that mends it may end as well, at any call
        for mending in range(1, MOST_STEPS):
            if not crash_at(mender, mending, MongoStore.repair):
                break
            is_whole(mender, [found])
        assert faults(store) == []
        is_whole(store, [found])
        is_dead = found is not None and found.state is State.DEAD
        assert store.link.dlq.count_documents({}) == is_dead
        assert store.link.jobs.count_documents({"stub": True}) == is_dead
        if found == before != change.after:
            assert store.commit(change), "it can be done again"
        is_whole(store, [change.after])
        _clear(store)
        if not was_cut:
            # at least the fenced write, the copy, the stub and the read between them
            assert step > (4 if name == "burial" else 1)
            return
    pytest.fail("it never ended")


def test_what_a_deleted_job_has_been_through_is_counted_once_wherever_a_crash_comes(
    store: MongoStore, mender: MongoStore
) -> None:
    for step in range(1, MOST_STEPS):
        job = dead(store)
        was_cut = crash_at(store, step, partial(_commit, state_machine.delete(job)))
        # who records it, or finishes the deletion, may end as well
        crash_at(mender, step, process_all_events)
        if (left := is_whole(store, [job, None])) is not None:
            assert store.commit(state_machine.delete(left))
        process_all_events(store)
        assert store.stats.totals()["default"].dead == step
        assert store.stats.pending_events().is_empty
        assert store.repair() in (0, 1)
        if not was_cut:
            assert step > 8
            return
    pytest.fail("it never ended")


def _commit(change: Transition, store: MongoStore) -> bool:
    return store.commit(change)


def _clear(store: MongoStore) -> None:
    for place in (store.link.jobs, store.link.dlq):
        place.delete_many({})


def test_an_atomic_batch_cut_short_at_any_call_is_there_whole_or_not_at_all(
    store: MongoStore,
) -> None:
    names = ["a", "b", "c"]
    for step in range(1, MOST_STEPS):
        batch = [new_job(store, name) for name in names]
        was_cut = crash_at(store, step, partial(_add_whole, batch))
        there = listed(store)
        assert there in ([], names)
        assert store.counts().total == len(there)
        store.repair()
        assert listed(store) == there
        assert {job.id for _ in names if (job := store.claim(request()))} == set(there)
        store.link.batches.delete_many({})
        _clear(store)
        if not was_cut:
            return
    pytest.fail("it never ended")


def _add_whole(batch: list[Job], store: MongoStore) -> frozenset[str]:
    return store.insert(batch, atomic=True)


# the server itself


def _enqueue_on(url: str, prefix: str, acknowledged: list[str], over: threading.Event) -> None:
    with closing(MongoStore.open(url)) as store, suppress(StoreUnavailable):
        number = 0
        while not over.is_set():
            names = [f"{prefix}{number}-{n}" for n in range(3)]
            refused = store.insert([new_job(store, name) for name in names])
            assert not refused
            acknowledged += names
            number += 1


@pytest.mark.slow
def test_no_acknowledged_enqueue_is_lost_when_the_server_is_killed_under_load(
    tmp_path: Path,
) -> None:
    acknowledged: list[str] = []
    over = threading.Event()
    with mongod_in(tmp_path / "mongod") as mongod:
        url = f"mongodb://{mongod.address}/queuectl"
        MongoStore.open(url).close()
        writers = [
            threading.Thread(target=_enqueue_on, args=(url, f"w{n}-", acknowledged, over))
            for n in range(2)
        ]
        for writer in writers:
            writer.start()
        eventually(lambda: len(acknowledged) >= 30)
        mongod.kill()
        for writer in writers:
            writer.join()
        mongod.start()
        with closing(MongoStore.open(url)) as store:
            there = listed(store)
            assert set(acknowledged) <= set(there)
            assert len(there) == len(set(there)) == store.counts().total
            assert faults(store) == []
