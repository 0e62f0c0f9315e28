"""Settled jobs and logs that get too old or too large are let go, and nothing else is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import State
from queuectl.domain.schedule import Schedule, run_id
from queuectl.domain.settings import Settings
from queuectl.maintenance import pruner
from queuectl.maintenance.pruner import LogKeeper, Pruner
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.home import Home
from tests.stores.kit import FAILURE, added, claimed, existing, faults, listed, new_job, settled
from tests.worker.fleet import Fleet, eventually

SOON = Settings(retention_completed=0.001)
LONG_AGO = 1_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a place for logs."""
    home = Home(tmp_path / "home")
    home.make()
    home.job_logs.mkdir(parents=True)
    return home


@pytest.fixture
def store(home: Home) -> Iterator[SqliteStore]:
    """The store of that home."""
    store = SqliteStore(home.store_file)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every tick look, whoever looked before it."""
    monkeypatch.setattr(pruner, "_IDLE_SECONDS", 0)
    monkeypatch.setattr(pruner, "_TURN_SECONDS", 0)


def logged(home: Home, job_id: str, size: int, written: float = LONG_AGO) -> Path:
    """Write a log of a job, and say when that was."""
    directory = home.job_logs / job_id
    directory.mkdir()
    file = directory / "1.out"
    file.write_bytes(b"x" * size)
    os.utime(file, (written, written))
    return directory


def before(store: SqliteStore) -> datetime:
    """Return the instant before which `SOON` lets jobs go."""
    return store.now() - timedelta(seconds=SOON.retention_completed)


def finish(store: SqliteStore, number: int) -> None:
    """Let jobs be completed, and a moment pass."""
    store.insert([new_job(store, f"job{n}") for n in range(number)])
    for _ in range(number):
        settled(store, claimed(store))
    # by the store's clock they must have ended longer ago than `SOON` says
    eventually(lambda: len(store.retention.ended(State.COMPLETED, before(store), number)) == number)


def test_completed_jobs_that_are_too_old_go_with_their_logs(store: SqliteStore, home: Home) -> None:
    finish(store, 3)
    logs = logged(home, "job0", 5)
    added(store, "waiting")
    assert store.commit(state_machine.retry(existing(store, "job2"), store.now()))
    Pruner(store, home).tick(SOON)
    assert listed(store) == ["job2", "waiting"]
    assert not logs.exists()
    assert faults(store) == []


@pytest.mark.parametrize("settings", [Settings(), Settings(retention_completed=3600)])
def test_jobs_stay_that_are_young_enough_or_for_which_no_age_is_set(
    store: SqliteStore, home: Home, settings: Settings
) -> None:
    finish(store, 2)
    logs = logged(home, "job0", 5)
    Pruner(store, home).tick(settings)
    assert listed(store) == ["job0", "job1"]
    assert logs.exists()


def test_parents_that_are_still_waited_for_do_not_hide_the_jobs_behind_them(
    store: SqliteStore, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "_BATCH", 4)
    monkeypatch.setattr(pruner, "_BUDGET_SECONDS", 0)
    for n in range(8):
        added(store, f"parent{n}")
        added(store, f"child{n}", after=(f"parent{n}",))
        settled(store, claimed(store, only=f"parent{n}"), FAILURE)
    for n in range(5):
        added(store, f"dead{n}")
        settled(store, claimed(store, only=f"dead{n}"), FAILURE)
    keeper = Pruner(store, home)
    settings = Settings(retention_dead=0.001)

    def are_gone() -> bool:
        keeper.tick(settings)
        return not any(job_id.startswith("dead") for job_id in listed(store))

    eventually(are_gone)
    assert [job_id for job_id in listed(store) if job_id.startswith("parent")] == [
        f"parent{n}" for n in range(8)
    ]


def test_one_turn_takes_no_longer_than_its_share(
    store: SqliteStore, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "_BUDGET_SECONDS", 0)
    monkeypatch.setattr(pruner, "_BATCH", 2)
    finish(store, 5)
    keeper = Pruner(store, home)
    keeper.tick(SOON)
    assert len(listed(store)) == 3
    keeper.tick(SOON)
    keeper.tick(SOON)
    assert listed(store) == []


def test_the_oldest_logs_of_settled_jobs_go_until_the_rest_is_small_enough(
    store: SqliteStore, home: Home
) -> None:
    store.insert([new_job(store, name) for name in ("old", "new", "running", "waiting")])
    for name in ("old", "new"):
        settled(store, claimed(store, only=name))
    claimed(store, only="running")
    kept = [logged(home, "running", 100), logged(home, "waiting", 100)]
    old = logged(home, "old", 100, LONG_AGO + 1)
    new = logged(home, "new", 100, LONG_AGO + 2)
    list(LogKeeper(store, home).keep(Settings(max_log_bytes=300)))
    assert not old.exists()
    assert new.exists()
    assert all(path.exists() for path in kept)
    list(LogKeeper(store, home).keep(Settings(max_log_bytes=1)))
    assert not new.exists()
    assert all(path.exists() for path in kept)


def test_old_logs_of_jobs_that_are_gone_are_removed_where_retention_is_on(
    store: SqliteStore, home: Home
) -> None:
    added(store, "here")
    gone, fresh = logged(home, "gone", 5), logged(home, "fresh", 5, time.time())
    here = logged(home, "here", 5)
    list(LogKeeper(store, home).keep(Settings()))
    assert gone.exists()
    list(LogKeeper(store, home).keep(Settings(retention_completed=60)))
    assert not gone.exists()
    assert fresh.exists()
    assert here.exists()


def test_logs_behind_a_symbolic_link_are_left_alone(
    store: SqliteStore, home: Home, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "gone").mkdir(parents=True)
    home.job_logs.rmdir()
    home.job_logs.symlink_to(elsewhere)
    list(LogKeeper(store, home).keep(Settings(retention_completed=60, max_log_bytes=1)))
    assert (elsewhere / "gone").exists()


def test_a_worker_ages_jobs_out_while_it_works(fleet: Fleet) -> None:
    fleet.set(retention_completed=0.01)
    fleet.start()
    ids = fleet.enqueue_all({"command": "true", "cwd": "/"} for _ in range(20))
    eventually(lambda: not list(fleet.queue.find()))
    eventually(lambda: not any((fleet.home.job_logs / job_id).exists() for job_id in ids))


def test_old_runs_go_with_their_logs_while_a_worker_runs_the_job_again(fleet: Fleet) -> None:
    fleet.set(retention_history=0.001, backoff_base=0.01, max_log_bytes=2**30)
    job_id = fleet.enqueue("echo $QUEUECTL_RUN_ID; exit 1", max_retries=3)
    logs = fleet.home.job_logs / job_id
    fleet.start()

    def is_trimmed() -> bool:
        job = fleet.job(job_id)
        return job.state is State.DEAD and [run.n for run in job.history] == [3]

    eventually(is_trimmed)
    assert fleet.job(job_id).attempts == 3
    eventually(lambda: sorted(path.name for path in logs.iterdir()) == ["3.err", "3.out"])


def test_logs_of_runs_that_another_host_forgot_go_but_not_those_that_are_left(
    store: SqliteStore, home: Home
) -> None:
    added(store, "job")
    for _ in range(3):
        settled(store, claimed(store), FAILURE)
        assert store.commit(state_machine.retry(existing(store, "job"), store.now()))
    dead = existing(store, "job")
    assert store.retention.forget_runs(dead.history[1].finished_at, 100)[0] == [("job", 1)]
    directory = logged(home, "job", 5)
    for run, written in ((2, LONG_AGO), (3, LONG_AGO)):
        (directory / f"{run}.out").touch()
        os.utime(directory / f"{run}.out", (written, written))
    list(LogKeeper(store, home).keep(Settings(retention_completed=60)))
    assert len(list(directory.iterdir())) == 3
    list(LogKeeper(store, home).keep(Settings(retention_history=60)))
    assert sorted(path.name for path in directory.iterdir()) == ["2.out", "3.out"]


def test_runs_that_their_schedule_has_not_advanced_past_stay(
    store: SqliteStore, home: Home
) -> None:
    now = store.now()
    old, due = now - timedelta(days=2), now - timedelta(days=1)
    fields = {"command": "true"}
    assert store.schedules.save(Schedule("s", "@daily", "UTC", fields, due, old, last_due=old))
    for name in (run_id("s", old), run_id("s", due), run_id("gone", due)):
        added(store, name)
        settled(store, claimed(store, only=name))
    eventually(lambda: len(store.retention.ended(State.COMPLETED, before(store), 3)) == 3)
    Pruner(store, home).tick(SOON)
    assert listed(store) == [run_id("s", due)]
    schedule = store.schedules.get("s")
    assert schedule
    assert store.schedules.save(replace(schedule, last_due=due, rev=schedule.rev + 1), schedule)
    Pruner(store, home).tick(SOON)
    assert listed(store) == []
