"""After a restore the past does not come twice, unless that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.hooks import Hook, Target, hook_of
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import delivery_queue
from queuectl.domain.schedule import MISSED, Schedule
from queuectl.queue import Queue
from queuectl.queue.events import process_all_events
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.home import Location
from queuectl.transfer.restore import Restoration
from queuectl.transfer.restored_state import Found
from tests.stores.kit import added, buried, claimed, existing, settled
from tests.transfer.kit import backup_of, not_told, place_in, restored


@pytest.fixture
def place(tmp_path: Path) -> Location:
    """A home."""
    return place_in(tmp_path)


@pytest.fixture
def store(place: Location) -> Iterator[SqliteStore]:
    """Its store, open all the while."""
    with closing(SqliteStore(place.home.store_file)) as opened:
        yield opened


def found(place: Location, file: Path) -> Found:
    """Look at a backup, and leave it at that."""
    with Restoration.of(place, file, not_told) as ready:
        return ready.found


def test_jobs_that_ran_are_given_back_uncounted(place: Location, store: SqliteStore) -> None:
    def fill(store: SqliteStore) -> None:
        for name in ("ran", "cancelled", "paused"):
            added(store, name)
            claimed(store, only=name)
        assert store.commit(state_machine.cancel(existing(store, "cancelled"), store.now()))
        assert store.commit(state_machine.pause(existing(store, "paused"), store.now()))

    backup = backup_of(place, fill)
    done = restored(place, backup)
    assert done.settled.given_back == 3
    job = existing(store, "ran")
    assert (job.state, job.attempts, job.interruptions, job.runs) == (State.PENDING, 0, 0, 1)
    assert job.claim is None
    assert [run.error for run in job.history] == [
        "interrupted: the store was restored from a backup"
    ]
    assert existing(store, "cancelled").state is State.CANCELLED
    assert existing(store, "paused").paused
    lost = claimed(store)
    assert lost.id == "ran"
    assert store.check() == []
    restored(place, backup)
    assert not store.commit(state_machine.finish(lost, Outcome(exit_code=0), store.now()))
    assert existing(store, "ran").state is State.PENDING


# how many run again


def test_jobs_that_will_run_and_run_again_are_counted(place: Location, store: SqliteStore) -> None:
    def fill(store: SqliteStore) -> None:
        for name in ("running", "waits", "done", "failed", "dead", "gone", "cancelled", "old"):
            added(store, name, max_retries=1 if name == "dead" else 3)
        claimed(store, only="running")
        settled(store, claimed(store, only="old"))

    file = backup_of(place, fill)
    settled(store, claimed(store, only="done"))
    for name in ("failed", "dead"):
        settled(store, claimed(store, only=name), Outcome(exit_code=1))
    assert store.commit(state_machine.delete(existing(store, "gone")))
    assert store.commit(state_machine.cancel(existing(store, "cancelled"), store.now()))
    seen = found(place, file)
    assert (seen.contents.jobs, seen.waiting, seen.again, seen.over) == (8, 7, 4, 2)
    store.close()
    place.home.store_file.write_bytes(b"garbage" * 1000)
    seen = found(place, file)
    assert (seen.waiting, seen.again, seen.over) == (7, None, None), "nobody can tell"


# run numbers


def log(place: Location, job_id: str, *names: str) -> None:
    """Write log files of a job."""
    directory = place.home.job_logs / job_id
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_text(f"{job_id} {name}")


def test_no_run_gets_the_number_of_one_that_has_logs_or_was_counted(
    place: Location, store: SqliteStore
) -> None:
    def fill(store: SqliteStore) -> None:
        for name in ("logged", "counted", "neither"):
            added(store, name)
        buried(store, "dead")

    file = backup_of(place, fill)
    log(place, "logged", "1.out", "3.err", "x.out", "9.txt")
    log(place, "dead", "4.out")
    for _ in range(2):
        claimed(store, only="counted")
        assert store.commit(state_machine.release(existing(store, "counted"), store.now()))
    restored(place, file)
    runs = {job.id: job.runs for job in store.find(Filter(), Page())}
    assert runs == {"logged": 3, "counted": 2, "neither": 0, "dead": 4}
    assert claimed(store, only="logged").runs == 4
    assert (place.home.job_logs / "logged" / "3.err").read_text() == "logged 3.err"


def test_logs_of_jobs_that_only_the_old_store_knew_are_set_aside(
    place: Location, store: SqliteStore
) -> None:
    file = backup_of(place, lambda store: added(store, "a"))
    added(store, "later")
    for name in ("a", "later", "of-another-store"):
        log(place, name, "1.out")
    done = restored(place, file)
    assert done.kept_logs
    assert (done.kept_logs / "later" / "1.out").read_text() == "later 1.out"
    assert sorted(each.name for each in place.home.job_logs.iterdir()) == ["a", "of-another-store"]


def test_where_the_old_store_cannot_tell_all_logs_without_a_job_are_set_aside(
    place: Location,
) -> None:
    file = backup_of(place, lambda store: added(store, "a"))
    place.home.store_file.write_bytes(b"garbage" * 1000)
    for name in ("a", "later"):
        log(place, name, "2.out")
    done = restored(place, file)
    assert done.kept_logs
    assert [each.name for each in done.kept_logs.iterdir()] == ["later"]
    with closing(SqliteStore(place.home.store_file)) as store:
        assert existing(store, "a").runs == 2


# schedules


def due_since(store: SqliteStore, name: str, hours: int, **more: object) -> Schedule:
    """Store a schedule that has been due each hour for so long."""
    now = store.now()
    schedule = Schedule(
        name, "0 * * * *", "UTC", {"command": "true"}, now - timedelta(hours=hours), now, **more  # type: ignore[arg-type]  # fields by name
    )  # fmt: skip
    assert store.schedules.save(schedule)
    return schedule


@pytest.mark.parametrize("catch_up", [False, True])
def test_runs_that_schedules_missed_are_skipped_unless_told(
    place: Location, store: SqliteStore, catch_up: bool
) -> None:
    def fill(store: SqliteStore) -> None:
        due_since(store, "each", 3, catch_up=True)
        due_since(store, "latest", 3)
        due_since(store, "paused", 3, paused=True)
        due_since(store, "later", -3)
        bad = due_since(store, "not understood", 3)
        assert store.schedules.save(replace(bad, tz="No/Where", rev=2), bad)

    file = backup_of(place, fill)
    before = {each.name: each for each in store.schedules.all()}
    done = restored(place, file, catch_up=catch_up)
    after = {each.name: each for each in store.schedules.all()}
    if catch_up:
        assert after == before
        assert done.settled.skipped == ()
        return
    assert done.settled.skipped == ("each", "latest")
    for name in ("paused", "later", "not understood"):
        assert after[name] == before[name]
    for name in ("each", "latest"):
        schedule, now = after[name], store.now()
        assert schedule.next_due
        assert now < schedule.next_due <= now + timedelta(hours=1)
        assert schedule.last_due
        assert now - timedelta(hours=1) <= schedule.last_due <= now
        assert (schedule.skipped_at, schedule.skipped_why) == (schedule.last_due, MISSED)


# deliveries


def hooked(store: SqliteStore) -> None:
    """Store a hook with a delivery that waits, a pending event, and a change that is to be told."""
    now = store.now()
    tells = Hook("tells", Target.WEBHOOK, "https://example.com/x", now, events=("completed",))
    watches = Hook("watches", Target.WEBHOOK, "https://example.com/y", now, when="dlq-size > 0",
                   is_crossed=True, changes=2, told=1)  # fmt: skip
    for hook in (tells, watches):
        assert store.hooks.save(hook)
    for name in ("told", "pending_events"):
        added(store, name)
        settled(store, claimed(store, only=name))
        if name == "told":
            process_all_events(store)
    added(store, "waits", queue="hooks")


def deliveries(store: SqliteStore) -> list[Job]:
    """Return the deliveries that wait."""
    waiting = Filter(frozenset({State.PENDING, State.FAILED}))
    return [job for job in store.find(waiting, Page()) if hook_of(job.id)]


# pausing


@pytest.mark.parametrize("deliver", [False, True])
def test_old_deliveries_are_made_only_when_that_is_asked_for(
    place: Location, store: SqliteStore, deliver: bool
) -> None:
    file = backup_of(place, hooked)
    done = restored(place, file, deliver=deliver)
    assert done.settled.undelivered == (0 if deliver else 1)
    process_all_events(store)
    assert len(deliveries(store)) == (2 if deliver else 0)
    assert existing(store, "waits").state is State.PENDING
    assert {hook.name: hook.told for hook in store.hooks.all()} == {
        "tells": 0,
        "watches": 1 if deliver else 2,
    }
    assert sum(figures.completed for figures in store.stats.totals().values()) == 2


def test_everything_can_be_left_paused(place: Location, store: SqliteStore) -> None:
    def fill(store: SqliteStore) -> None:
        hooked(store)
        added(store, "hook:gone:1", queue=delivery_queue("gone"))
        added(store, "a", queue="gpu")
        store.set_queue_limit("limited", limit=2)
        schedule = due_since(store, "s", -3)
        after = replace(schedule, fields={"command": "true", "queue": "nightly"}, rev=2)
        assert store.schedules.save(after, schedule)

    done = restored(place, backup_of(place, fill), paused=True, deliver=True)
    assert done.settled.paused == ("default", "gpu", "hooks", "limited", "nightly")
    limits = store.queue_limits()
    assert {*done.settled.paused, *map(delivery_queue, ("gone", "tells"))} <= limits.keys()
    assert all(limit.paused for limit in limits.values())
    assert limits["limited"].limit == 2
    queue = Queue(store, place.home)
    for name in done.settled.paused:
        queue.resume_queue(name)
    assert not any(limit.paused for limit in store.queue_limits().values())


def test_the_time_of_a_backup_is_told(place: Location, store: SqliteStore) -> None:
    before = store.now()
    file = backup_of(place, lambda store: added(store, "a"))
    made_at = found(place, file).made_at
    assert made_at
    at = datetime.fromisoformat(made_at.replace("Z", "+00:00"))
    assert before <= at <= store.now()
    restored(place, file)
    assert store.meta.get("backed_up_at") is None
