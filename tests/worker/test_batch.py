"""A worker with several short jobs in hand at once: nothing of them is lost, nor held back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from queuectl.domain.job import State
from queuectl.system.processes import is_stopped
from queuectl.worker.options import Timings
from tests.worker.fleet import Fleet, eventually, fleet_in, lives

WARMING = 36
"""Enough jobs for a worker to find out that they are short: first it takes one, then many."""

AFTER = 12


def enqueued(fleet: Fleet, special: str) -> tuple[list[str], str, list[str]]:
    """Short jobs that leave a line each, one that does something else, and short jobs again."""
    noted = {"cwd": str(fleet.root), "max_retries": 2}
    before = [{"id": f"b{n}", "command": f"echo b{n} >> ran", **noted} for n in range(WARMING)]
    after = [{"id": f"a{n}", "command": f"echo a{n} >> ran", **noted} for n in range(AFTER)]
    ids = fleet.enqueue_all([*before, {"id": "special", "command": special, **noted}, *after])
    return ids[:WARMING], ids[WARMING], ids[WARMING + 1 :]


def ran(fleet: Fleet) -> list[str]:
    """The lines that jobs have left."""
    path = Path(fleet.root / "ran")
    return path.read_text().split() if path.exists() else []


def states(fleet: Fleet, ids: list[str]) -> set[State]:
    return {fleet.job(job_id).state for job_id in ids}


def test_while_a_job_takes_long_those_before_it_are_committed_and_those_after_it_free(
    fleet: Fleet,
) -> None:
    before, special, after = enqueued(fleet, "sleep 60")
    fleet.start()
    fleet.running(special)
    assert eventually(lambda: states(fleet, before) == {State.COMPLETED})
    assert eventually(lambda: states(fleet, after) == {State.PENDING})
    assert {fleet.job(job_id).attempts for job_id in after} == {0}
    assert sorted(ran(fleet)) == sorted(before)
    fleet.start()  # another worker goes on with what was given back
    assert {fleet.settled(job_id).state for job_id in after} == {State.COMPLETED}
    assert all(len(fleet.job(job_id).history) == 1 for job_id in [*before, *after])
    fleet.kill()


@pytest.mark.usefixtures("leisurely")
def test_what_had_ended_when_its_worker_was_killed_is_not_run_again(fleet: Fleet) -> None:
    before, special, after = enqueued(fleet, "kill -9 $PPID; sleep 60")
    fleet.set(max_interruptions=1)
    fleet.start()
    for job_id in [*before, *after]:
        assert fleet.settled(job_id).state is State.COMPLETED
    assert fleet.settled(special).state is State.DEAD
    assert sorted(ran(fleet)) == sorted([*before, *after])
    assert {len(fleet.job(job_id).history) for job_id in before} == {1}


@pytest.mark.slow
@pytest.mark.usefixtures("leisurely")
def test_so_it_is_where_the_store_is_far_away(tmp_path: Path, mongo_url: str) -> None:
    with fleet_in(tmp_path, mongo_url) as fleet:
        noted = {"cwd": str(fleet.root)}
        named = {name: f"echo {name} >> ran" for name in ("b1", "b2", "killing", "a1", "a2")}
        named["killing"] = "kill -9 $PPID; sleep 60"
        fleet.enqueue_all([{"id": name, "command": text, **noted} for name, text in named.items()])
        fleet.set(max_interruptions=1)
        fleet.start()
        ends = {name: fleet.settled(name).state for name in named}
        assert ends.pop("killing") is State.DEAD
        assert set(ends.values()) == {State.COMPLETED}
        assert sorted(ran(fleet)) == sorted(ends)
        assert {len(fleet.job(name).history) for name in ends} == {1}
        assert {fleet.job(name).attempts for name in ends} == {1}


@pytest.mark.usefixtures("leisurely")
def test_a_worker_that_is_stopped_gives_back_what_it_had_not_begun(fleet: Fleet) -> None:
    before, special, after = enqueued(fleet, "kill -TERM $PPID; sleep 0.01")
    (pid,) = fleet.start()
    assert eventually(lambda: pid not in fleet.pids())
    ended, left = fleet.job(special), states(fleet, after)
    fleet.stop()
    assert ended.state is State.COMPLETED
    assert states(fleet, before) == {State.COMPLETED}
    assert left <= {State.PENDING, State.COMPLETED}  # another took its place at once
    fleet.start()
    assert all(fleet.settled(job_id).state is State.COMPLETED for job_id in after)
    assert sorted(ran(fleet)) == sorted([*before, *after])


@pytest.mark.usefixtures("leisurely")
def test_what_a_worker_had_not_begun_is_taken_back_while_it_stands_still(fleet: Fleet) -> None:
    fleet.set(lease_seconds=2, poll_interval_sec=0.1)
    _, _, after = enqueued(fleet, "mkdir once && kill -STOP $PPID; sleep 0.01")
    first, second = fleet.start(2)
    (stopped,) = eventually(lambda: [pid for pid in (first, second) if is_stopped(pid)])
    for job_id in after:
        assert fleet.settled(job_id).state is State.COMPLETED
    assert eventually(lambda: not lives(stopped))  # another took its place
    last = fleet.enqueue("true")
    fleet.settled(last)
    fleet.stop()
    again = [line for line in ran(fleet) if line.startswith("a")]
    assert sorted(again) == sorted(after), "begun by both"


def test_what_waits_for_a_free_slot_is_not_given_back_for_a_job_that_takes_long(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fleet, "timings", Timings(together=60.0, stale=60.0, quick=1.0))
    fleet.set(concurrency=2)
    fleet.start()
    fleet.running(fleet.enqueue("touch begun; sleep 60"))
    assert eventually((fleet.root / "begun").exists)
    begun_at = (fleet.root / "begun").stat().st_mtime
    assert eventually(lambda: time.time() - begun_at > 2 * Fleet.timings.quick)
    before, special, after = enqueued(fleet, "true")
    ids = [*before, special, *after]
    assert {fleet.settled(job_id).state for job_id in ids} == {State.COMPLETED}
    assert {fleet.job(job_id).runs for job_id in ids} == {1}
