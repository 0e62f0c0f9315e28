"""Hooks on every store: kept, and changed by compare-and-set."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from queuectl.domain import hooks
from queuectl.domain.hooks import Format, Hook, Target
from queuectl.domain.times import UTC
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.mongo.store import MongoStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def new_hook(name: str, **more: Any) -> Hook:
    """Return a hook to be stored."""
    wanted = {"target": Target.WEBHOOK, "address": "https://127.0.0.1/$x", "events": ("dead",)}
    return Hook(name, **{"created_at": NOON, **wanted, **more})


def kept(store: Store, name: str, **more: Any) -> Hook:
    """Store a hook and return it."""
    hook = new_hook(name, **more)
    assert store.hooks.save(hook)
    return hook


def test_a_hook_comes_back_as_it_was_stored(store: Store) -> None:
    assert store.hooks.all() == []
    plain = kept(store, "b")
    full = kept(
        store, "a", target=Target.MAIL, address="me@example.com", events=(),
        when="dlq-size > 3", queue="gpu", labels=("x", "y.$"), format=Format.SLACK, secret="{$s}",
        smtp="smtp://localhost", sender="q@example.com", paused=True, is_crossed=True, changes=3,
        told=2, changed_at=NOON + MINUTE, value=4.0, alone_since=NOON, rev=7,
    )  # fmt: skip
    assert store.hooks.all() == [full, plain]


def test_a_name_is_taken_once(store: Store) -> None:
    first = kept(store, "a")
    assert not store.hooks.save(new_hook("a", queue="other"))
    assert store.hooks.all() == [first]


def test_a_hook_is_changed_only_as_it_was_read(store: Store) -> None:
    first = kept(store, "a")
    second = replace(first, is_crossed=True, rev=2)
    assert store.hooks.save(second, first)
    assert not store.hooks.save(replace(first, paused=True, rev=2), first)
    assert store.hooks.all() == [second]


def test_a_hook_that_was_removed_is_not_changed_any_more(store: Store) -> None:
    first = kept(store, "a")
    assert store.hooks.remove("a")
    assert not store.hooks.remove("a")
    assert not store.hooks.save(replace(first, rev=2), first)
    other = kept(store, "a", created_at=NOON + MINUTE)
    assert not store.hooks.save(replace(first, rev=2), first), "another one of the name is there"
    assert store.hooks.all() == [other]


def test_a_hook_that_cannot_be_read_hides_no_other(store: Store) -> None:
    kept(store, "good")
    kept(store, "bad")
    if isinstance(store, MongoStore):
        store.link.hooks.update_one({"_id": "bad"}, {"$set": {"record": "{"}})
    else:
        store._db.connection.execute("UPDATE hooks SET record = '{' WHERE name = 'bad'")  # type: ignore[attr-defined]
    assert [hook.name for hook in store.hooks.all()] == ["good"]


def test_of_racing_watchers_one_notes_that_a_threshold_is_crossed(store_url: str) -> None:
    racers = 4
    with closing(open_store(store_url)) as store:
        kept(store, "a", events=(), when="dlq-size > 3")
    start, won = threading.Barrier(racers), list[Hook]()

    def race() -> None:
        with closing(open_store(store_url)) as store:
            (before,) = store.hooks.all()
            start.wait()
            after = hooks.judged(before, 4, NOON)
            if store.hooks.save(after, before):
                won.append(after)

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(open_store(store_url)) as store:
        assert store.hooks.all() == won
