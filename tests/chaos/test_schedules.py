"""Real workers run what schedules say: when it is due, each run once, though they are killed."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from queuectl.domain.job import Job, State
from queuectl.domain.schedule import MISSED, Schedule
from queuectl.queue import open_queue
from queuectl.system.zones import tz_data
from tests.stores.conftest import slow_on_mongo
from tests.worker.fleet import Fleet, eventually


def put_due(fleet: Fleet, name: str, seconds: float, **more: Any) -> Schedule:
    """Store a schedule that is due so many seconds from now, and then not for long."""
    store = fleet.queue.store
    fields = {"command": f"echo run >> {name}.txt", "cwd": str(fleet.root), "max_retries": 1}
    schedule = Schedule(
        name, "0 0 1 1 *", "UTC", fields, store.now() + timedelta(seconds=seconds), store.now(),
        tz_version=tz_data().in_use, **more,
    )  # fmt: skip
    assert store.schedules.save(schedule)
    return schedule


def runs_of(fleet: Fleet, name: str) -> list[Job]:
    """Return the jobs of a schedule."""
    return list(fleet.queue.schedules.runs(name, 100))


def has_advanced(fleet: Fleet, name: str) -> bool:
    """Whether a schedule's run has been dealt with to the end."""
    return fleet.queue.schedules.get(name).last_due is not None


@slow_on_mongo
def test_idle_workers_start_a_run_when_it_is_due_and_only_once(chaos: Fleet) -> None:
    put_due(chaos, "long_ago", -3600)
    chaos.start(3)
    soon = [put_due(chaos, f"s{number}", 2.5 + number / 10) for number in range(5)]
    for schedule in soon:
        (job,) = eventually(partial(runs_of, chaos, schedule.name))
        done = chaos.settled(job.id)
        assert done.state is State.COMPLETED
        assert done.started_at is not None
        assert schedule.next_due is not None
        assert done.started_at >= schedule.next_due
        assert (chaos.root / f"{schedule.name}.txt").read_text() == "run\n"
    assert runs_of(chaos, "long_ago") == []
    assert chaos.queue.schedules.get("long_ago").skipped_why == MISSED


def test_a_busy_fleet_enqueues_runs_too(chaos: Fleet) -> None:
    chaos.start(1)
    busy = chaos.enqueue("sleep 60")
    chaos.running(busy)
    put_due(chaos, "meanwhile", 0.5)
    eventually(lambda: runs_of(chaos, "meanwhile"))
    assert chaos.job(busy).state is State.PROCESSING


@slow_on_mongo
def test_workers_that_are_killed_and_replaced_run_each_once(chaos: Fleet) -> None:
    names = [f"s{number}" for number in range(8)]
    chaos.start(2)
    for number, name in enumerate(names):
        put_due(chaos, name, 1 + number / 4, catch_up=True)
    for pid in chaos.pids():
        eventually(lambda: any(runs_of(chaos, name) for name in names))
        os.kill(pid, signal.SIGKILL)
    for name in names:
        (job,) = eventually(partial(runs_of, chaos, name))
        assert chaos.settled(job.id).state is State.COMPLETED
        eventually(partial(has_advanced, chaos, name))
        assert len(runs_of(chaos, name)) == 1


def test_a_paused_schedule_survives_a_restart_and_stays_paused(chaos: Fleet) -> None:
    schedule = put_due(chaos, "p", 0.2)
    chaos.queue.schedules.pause("p")
    other = put_due(chaos, "q", 0.3, catch_up=True)
    chaos.start(1)
    eventually(lambda: runs_of(chaos, other.name))
    assert runs_of(chaos, "p") == []
    chaos.stop()
    with closing(open_queue(str(chaos.home.root), chaos.location.store_url)) as again:
        kept_still = again.schedules.get("p")
    assert kept_still == replace(schedule, paused=True, rev=2)


def test_draining_workers_take_a_run_that_is_due(chaos: Fleet) -> None:
    put_due(chaos, "now", 0, catch_up=True)
    chaos.start(1, drain=True)
    (job,) = eventually(lambda: runs_of(chaos, "now"))
    assert chaos.settled(job.id).state is State.COMPLETED
