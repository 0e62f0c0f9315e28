"""Moving a store into another one: whole, in order, compared, and a crash is only a pause."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, StoreUnavailable
from queuectl.domain.hooks import Hook, Target
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.domain.schedule import Schedule
from queuectl.queue import Queue
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.rules import ARRIVING, MOVED_TO, require_in_use
from queuectl.system.home import Home
from queuectl.system.processes import this_process
from queuectl.transfer import migration
from queuectl.transfer.format import schedule_to_line
from queuectl.transfer.migration import checksum
from tests.cli.harness import ROOT, environment
from tests.stores.kit import (
    EVERYTHING,
    FAILURE,
    added,
    buried,
    claimed,
    existing,
    faults,
    listed,
    new_job,
    settled,
    worker_record,
)

KILLED = """
import os, signal, sys
from queuectl.stores import open_store
from queuectl.transfer import migration
migration._BATCH = 20
source, target = open_store(sys.argv[1]), open_store(sys.argv[2])
for done in migration.migrate(source, target):
    if done.moved == 60:
        target.restore(list(migration._batches(source, 60).__next__())[:7], keep_numbers=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""Moves three batches of twenty and a part of the fourth, and is killed before it is noted."""


one_way = pytest.mark.parametrize("stores", ["to-mongo"], indirect=True)
"""For what is decided before it matters which store is which."""


@pytest.fixture(params=["to-mongo", "to-sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, mongo_url: str) -> tuple[str, str]:
    """The addresses of a source and of an empty target, in both directions."""
    file = str(tmp_path / "queue.db")
    return (file, mongo_url) if request.param == "to-mongo" else (mongo_url, file)


@pytest.fixture
def source(stores: tuple[str, str]) -> Iterator[Store]:
    """A store with something of everything."""
    with closing(open_store(stores[0])) as store:
        fill(store)
        yield store


@pytest.fixture
def target(stores: tuple[str, str]) -> Iterator[Store]:
    """An empty store of the other kind."""
    with closing(open_store(stores[1])) as store:
        yield store


def fill(store: Store) -> None:
    """Put jobs of every state into a store, a limit, a pause, settings and an environment."""
    store.settings.set("max_retries", 7)
    store.set_queue_limit("gpu", paused=True, limit=3)
    store.resources.set("licence", "4")
    store.environments.save("abc", (("A", "1"),))
    added(store, "done", environment="abc", env=(("API_TOKEN", "hunter2"),))
    settled(store, claimed(store))
    buried(store, "dead", labels=("x",), cwd="/tmp", command=("printf", "ü\n"))
    added(store, "parent", queue="gpu", slots=2, unique="key")
    added(store, "child", after=("parent",), after_any=("dead",))
    added(store, "orphan", after=("dead",))
    added(store, "off")
    cancelled(store, "off")
    assert store.commit(state_machine.pause(added(store, "held"), store.now()))
    added(store, "failed", max_retries=3)
    settled(store, claimed(store), FAILURE)
    added(store, "later", store.now() + timedelta(hours=1))
    while store.notify_children():
        pass
    put_schedule(store, "nightly", env={"API_TOKEN": "hunter2"}, paused=True)
    put_schedule(store, "weekly", catch_up=True, skipped_why="missed")


def put_schedule(store: Store, name: str, env: object = None, **more: object) -> Schedule:
    """Store a schedule that is due some day."""
    now = store.now()
    due = {"next_due": now + timedelta(days=1), "last_due": now, "skipped_at": now}
    fields = {"command": ["printf", "ü\n"], "env": env or {}, "priority": 2}
    schedule = Schedule(name, "0 3 * * *", "Europe/Berlin", fields, created_at=now, **due, **more)  # type: ignore[arg-type]  # fields by name
    assert store.schedules.save(schedule)
    return schedule


def moved(source: Store, target: Store) -> migration.Progress:
    """Move everything; return how it ended."""
    return list(migration.migrate(source, target))[-1]


def test_hooks_come_over_with_their_secrets_and_what_they_have_come_to(
    source: Store, target: Store
) -> None:
    made = Hook("a", Target.WEBHOOK, "https://example.com/x", source.now(), when="dlq-size > 0",
                secret="s", is_crossed=True, changes=1, told=1)  # fmt: skip
    assert source.hooks.save(made)
    assert target.hooks.save(replace(made, secret="older")), "of an attempt that was cut short"
    moved(source, target)
    assert target.hooks.all() == [made]


def test_everything_comes_over_in_order(source: Store, target: Store) -> None:
    before = list(source.find(Filter(), EVERYTHING))
    done = moved(source, target)
    after = list(target.find(Filter(), EVERYTHING))
    assert [checksum(job) for job in after] == [checksum(job) for job in before]
    assert done.compared == len(before)
    assert done.checksum
    assert target.settings.all() == source.settings.all()
    assert target.queue_limits() == source.queue_limits()
    assert target.resources.fleet() == {"licence": "4"}
    assert target.environments.get("abc") == (("A", "1"),)
    assert target.counts() == source.counts()
    assert done.schedules == 2
    assert [schedule_to_line(each) for each in target.schedules.all()] == [
        schedule_to_line(each) for each in source.schedules.all()
    ]
    assert faults(target) == []


def test_the_target_goes_on_where_the_source_was(source: Store, target: Store) -> None:
    moved(source, target)
    highest = max(job.seq for job in target.find(Filter(), EVERYTHING))
    assert added(target, "next").seq > highest
    assert target.unique_key_owner("key") == "parent"
    target.set_queue_limit("gpu", paused=False)
    settled(target, claimed(target, only="parent"))
    while target.notify_children():
        pass
    assert existing(target, "child").blocked_by == ()
    assert target.commit(state_machine.retry(existing(target, "dead"), target.now()))


RELEASE = "queuectl migrate --release"


def refused(act: Callable[[], object], said: str) -> None:
    """Require that something is refused, and that the refusal says how to use the store again."""
    with pytest.raises(Conflict, match=said) as caught:
        act()
    assert RELEASE in f"{caught.value} {caught.value.hint}"


@one_way
def test_a_store_that_was_moved_is_left_as_it_was_and_refuses_to_be_used_or_moved_elsewhere(
    source: Store, target: Store, tmp_path: Path
) -> None:
    before = listed(source)
    moved(source, target)
    assert listed(source) == before
    refused(lambda: require_in_use(source), rf"was moved to {re.escape(target.address)}")
    require_in_use(target)
    with closing(open_store(str(tmp_path / "third.db"))) as third:
        refused(lambda: moved(source, third), rf"was moved to {re.escape(target.address)}")
        assert third.counts().total == 0
        require_in_use(third)
        assert source.meta.get(MOVED_TO) == target.address
        assert migration.release(source)
        require_in_use(source)
        assert not migration.release(source)
        refused(lambda: moved(source, target), r"has been moved to .* before")
        assert moved(source, third).compared == source.counts().total


@one_way
def test_a_move_that_was_killed_before_it_could_tell_tells_when_it_is_repeated(
    source: Store, target: Store
) -> None:
    done = moved(source, target)
    target.meta.set(ARRIVING, "{}")  # as if it had been killed before its last write
    target.workers.register(worker_record(target, "w1"))
    assert moved(source, target) == replace(done, moved=0, is_over=True)
    require_in_use(target)


@one_way
@pytest.mark.parametrize(
    ("fill_target", "what"),
    [(added, "jobs"), (put_schedule, "schedules")],
    ids=["jobs", "schedules"],
)
def test_a_store_with_something_of_its_own_takes_no_other(
    source: Store, target: Store, fill_target: Callable[[Store, str], object], what: str
) -> None:
    fill_target(target, "own")
    with pytest.raises(Conflict, match=f"has {what} of its own"):
        moved(source, target)
    require_in_use(source)
    with pytest.raises(Conflict, match="into itself"):
        moved(source, source)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda store: put_schedule(store, "monthly"), "schedule 'monthly' is not the same"),
        (lambda store: cancelled(store, "later"), "job 'later' is not the same"),
    ],
    ids=["schedule", "job"],
)
def test_a_move_in_which_the_stores_differ_in_the_end_fails_and_leaves_the_source_in_use(
    source: Store, target: Store, change: Callable[[Store], object], said: str
) -> None:
    steps = migration.migrate(source, target)
    next(steps)
    refused(lambda: require_in_use(source), r"is being moved to .*, or was not moved completely")
    change(source)
    with pytest.raises(Conflict, match=said):
        list(steps)
    require_in_use(source)
    assert target.meta.get(ARRIVING)
    refused(lambda: require_in_use(target), "not all of it has come")


def cancelled(store: Store, job_id: str) -> None:
    """Cancel a job."""
    assert store.commit(state_machine.cancel(existing(store, job_id), store.now()))


@one_way
def test_schedules_that_change_between_two_attempts_come_as_they_are_at_last(
    source: Store, target: Store
) -> None:
    next(migration.migrate(source, target))
    before = source.schedules.get("weekly")
    assert before
    assert source.schedules.save(replace(before, cron="5 5 * * *", rev=before.rev + 1), before)
    assert source.schedules.remove("nightly")
    assert moved(source, target).schedules == 1
    assert [(each.name, each.cron) for each in target.schedules.all()] == [("weekly", "5 5 * * *")]


@one_way
def test_nothing_is_moved_while_workers_live_and_with_force_while_they_certainly_do(
    source: Store, target: Store
) -> None:
    for store in (source, target):
        store.workers.register(replace(worker_record(store, "w9"), process=this_process()))
        with pytest.raises(Conflict, match="w9"):
            list(migration.migrate(source, target, force=True))
        store.workers.unregister("w9")
    source.workers.register(worker_record(source, "w9"))
    with pytest.raises(Conflict, match=r"still has 1 worker") as caught:
        moved(source, target)
    assert caught.value.hint == "queuectl worker stop; then again"
    require_in_use(source)
    assert list(migration.migrate(source, target, force=True))[-1].checksum


@one_way
def test_a_worker_that_begins_just_before_the_mark_is_noticed(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_meta = source.meta.set

    def late(name: str, value: str | None) -> None:
        if value == target.address:
            source.workers.register(worker_record(source, "w9"))
        set_meta(name, value)

    monkeypatch.setattr(source.meta, "set", late)
    with pytest.raises(Conflict, match="w9"):
        moved(source, target)
    require_in_use(source)


@one_way
@pytest.mark.parametrize("fault", [StoreUnavailable("away"), KeyboardInterrupt()])
def test_a_move_that_is_cut_short_leaves_the_source_in_use_and_goes_on_later(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    source.insert([new_job(source, f"job{n}") for n in range(30)])
    monkeypatch.setattr(migration, "_BATCH", 10)
    note = migration._note_arrival

    def fail(store: Store, identity: str, seq: int) -> None:
        if seq > 15:
            raise fault
        note(store, identity, seq)

    with monkeypatch.context() as context:
        context.setattr(migration, "_note_arrival", fail)
        with pytest.raises(type(fault)):
            moved(source, target)
    require_in_use(source)
    assert moved(source, target).compared == source.counts().total


@one_way
@pytest.mark.parametrize(
    "change",
    [
        lambda queue: queue.retry("dead"),
        lambda queue: queue.retry_dead("dead"),
        lambda queue: queue.retry_all(Filter()),
        lambda queue: queue.cancel("later"),
        lambda queue: queue.cancel_all(Filter()),
        lambda queue: queue.pause("later"),
        lambda queue: queue.resume("held"),
        lambda queue: queue.move("failed"),
        lambda queue: queue.edit("later", {"priority": 5}),
        lambda queue: queue.schedules.pause("weekly"),
        lambda queue: queue.schedules.resume("nightly"),
    ],
)
def test_a_store_that_was_moved_refuses_changes_as_it_refuses_jobs(
    source: Store, target: Store, tmp_path: Path, change: Callable[[Queue], object]
) -> None:
    moved(source, target)
    queue, before = Queue(source, Home(tmp_path / "home")), list(source.find(Filter(), EVERYTHING))
    refused(lambda: change(queue), "was moved to")
    assert list(source.find(Filter(), EVERYTHING)) == before
    migration.release(source)
    change(queue)


@one_way
def test_a_store_that_was_moved_can_be_emptied(
    source: Store, target: Store, tmp_path: Path
) -> None:
    moved(source, target)
    queue = Queue(source, Home(tmp_path / "home"))
    queue.delete("done")
    assert [told.error for told in queue.delete_all(Filter(frozenset({State.DEAD})))] == [None]
    queue.schedules.remove("weekly")
    assert queue.schedules.all()[0].name == "nightly"


@one_way
def test_a_store_to_which_not_all_has_come_is_not_moved_on_but_can_be_used_as_it_is(
    source: Store, target: Store, tmp_path: Path
) -> None:
    next(migration.migrate(source, target))
    with closing(open_store(str(tmp_path / "third.db"))) as third:
        refused(lambda: moved(target, third), "not all of it has come")
    assert migration.release(target)
    require_in_use(target)
    with pytest.raises(Conflict, match="has jobs of its own"):
        moved(source, target)


def test_after_kill_9_in_the_middle_it_goes_on_where_it_stopped(
    stores: tuple[str, str], source: Store, target: Store
) -> None:
    source.insert([new_job(source, f"job{n}") for n in range(90)])
    for n in range(12):
        buried(source, f"buried{n}")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *stores],
        env=environment(), cwd=ROOT, check=False, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = target.counts().total
    assert 60 < there < source.counts().total
    with pytest.raises(Conflict, match="not all of it has come"):
        require_in_use(target)
    with pytest.raises(
        Conflict, match=r"is being moved to .*, or was not moved completely"
    ) as told:
        require_in_use(source)
    assert told.value.hint == (
        f"run queuectl migrate --to {target.address} again, or queuectl migrate --release"
    )
    done = moved(source, target)
    with pytest.raises(Conflict, match="this store was moved to"):
        require_in_use(source)
    assert done.compared == source.counts().total
    assert done.moved < done.compared, "it began again"
    assert listed(target) == listed(source)
    assert faults(target) == []
    assert target.counts().of(State.DEAD) == 13
