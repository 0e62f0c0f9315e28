"""Thresholds are told once when they are crossed and once when they are cleared."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from queuectl.domain import hooks
from queuectl.domain.errors import InvalidInput
from queuectl.domain.hooks import Hook, parse_threshold
from queuectl.domain.queue_limits import DELIVERY_QUEUE, delivery_queue
from queuectl.maintenance.thresholds import Thresholds, watched
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.system.processes import this_process
from tests.hooks.kit import deliveries, events, kept
from tests.stores.conftest import OpenStore
from tests.stores.kit import added, buried, claimed, existing, settled, worker_record


def look(store: Store) -> int:
    """Look at every threshold now."""
    return Thresholds(store).look(watched(store.hooks.all()))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dlq-size > 100", "dlq-size > 100"), ("DLQ-size>0", "dlq-size > 0"),
        ("oldest-due-age > 10m", "oldest-due-age > 600s"), ("no-worker > 1.5", "no-worker > 1.5s"),
        ("", None), ("dlq-size", None), ("dlq-size < 3", None), ("dlq-size > x", None),
        ("dlq-size > 1.5", None), ("dlq > 3", None), ("dlq-size > -1", None),
        ("no-worker > soon", None),
    ],
)  # fmt: skip
def test_a_threshold_is_read_or_refused(text: str, meant: str | None) -> None:
    if meant is None:
        with pytest.raises(InvalidInput):
            parse_threshold(text)
    else:
        assert str(parse_threshold(text)) == str(parse_threshold(meant)) == meant


def test_a_dlq_that_grows_too_large_is_told_once_and_once_when_it_is_cleared(store: Store) -> None:
    kept(store, when="dlq-size > 1")
    first = buried(store, "a")
    assert look(store) == 0
    buried(store, "b", queue="other")
    assert (look(store), look(store)) == (1, 0)
    assert events(store) == ["crossed"]
    store.retention.remove([first])
    assert (look(store), look(store)) == (1, 0)
    buried(store, "c")
    assert look(store) == 1
    assert events(store) == ["crossed", "cleared", "crossed"]


def test_deliveries_that_are_dead_do_not_count_and_of_one_queue_only_its_own(store: Store) -> None:
    kept(store, "all", when="dlq-size > 0")
    kept(store, "gpu", when="dlq-size > 0", queue="gpu")
    buried(store, "a", queue=delivery_queue("all"))
    assert look(store) == 0
    buried(store, "b")
    assert look(store) == 1
    buried(store, "c", queue="gpu")
    assert look(store) == 1
    assert [hook.is_crossed for hook in store.hooks.all()] == [True, True]


def test_a_job_that_has_been_due_for_long_is_told_of(store: Store) -> None:
    kept(store, when="oldest-due-age > 10m")
    long_ago = store.now() - timedelta(minutes=11)
    added(store, "urgent", priority=10)
    added(store, "later", store.now() + timedelta(hours=1))
    assert look(store) == 0
    added(store, "old", long_ago, queue="paused")
    store.set_queue_limit("paused", paused=True)
    assert look(store) == 0, "that it waits is meant"
    added(store, "stuck", long_ago)
    assert look(store) == 1
    settled(store, claimed(store, only="stuck"))
    assert look(store) == 1
    assert events(store) == ["crossed", "cleared"]


def test_that_no_worker_lives_is_told_when_it_has_lasted(store: Store) -> None:
    hook = kept(store, when="no-worker > 60s")
    me = replace(worker_record(store, "w1"), process=this_process(), queues=())
    store.workers.register(me)
    assert look(store) == 0
    store.workers.unregister("w1")
    assert look(store) == 0, "it has not lasted"
    (alone,) = store.hooks.all()
    assert alone.alone_since is not None
    ago = replace(alone, alone_since=alone.alone_since - timedelta(minutes=2), rev=alone.rev + 1)
    assert store.hooks.save(ago, alone)
    assert look(store) == 1
    store.workers.register(replace(me, id="w2", queues=(DELIVERY_QUEUE,)))
    assert look(store) == 0, "one that only delivers does not count"
    store.workers.register(replace(me, id="w3"))
    assert look(store) == 1
    assert events(store) == ["crossed", "cleared"]
    assert store.hooks.all()[0].created_at == hook.created_at


def test_what_a_crash_left_untold_is_told_by_whoever_looks_next(opened: OpenStore) -> None:
    store = opened()
    hook = kept(store, when="dlq-size > 0")
    noted = hooks.judged(hook, 1, store.now())
    assert store.hooks.save(noted, hook)
    other = opened()
    assert look(other) == 2, "that it was crossed, and then that it is cleared"
    assert events(store) == ["crossed", "cleared"]


def test_a_crash_after_the_delivery_was_added_tells_nothing_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, when="dlq-size > 0")
    buried(store, "a")
    put = store.hooks.save

    def dies_before_noting(after: Hook, before: Hook | None = None) -> bool:
        if after.told == after.changes:
            raise SystemExit
        return put(after, before)

    with monkeypatch.context() as patch:
        patch.setattr(store.hooks, "save", dies_before_noting)
        with pytest.raises(SystemExit):
            look(store)
    (first,) = deliveries(store)
    assert look(store) == 1
    assert [job.id for job in deliveries(store)] == [first.id]


def test_of_racing_watchers_a_fleet_tells_each_change_once(store_url: str) -> None:
    racers, rounds = 2, 4
    with closing(open_store(store_url)) as store:
        kept(store, when="dlq-size > 0")
        for number in range(rounds):
            if number % 2 == 0:
                buried(store, "job1")
            else:
                store.retention.remove([existing(store, "job1")])
            start = threading.Barrier(racers)

            def race(start: threading.Barrier = start) -> None:
                with closing(open_store(store_url)) as own:
                    start.wait()
                    look(own)

            with ThreadPoolExecutor(racers) as pool:
                for each in [pool.submit(race) for _ in range(racers)]:
                    each.result()
        assert events(store) == ["crossed", "cleared"] * (rounds // 2)
