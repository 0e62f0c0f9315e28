"""Batches while workers are killed: no more at once than was said, and one end of each."""

from __future__ import annotations

import os
import random
import shutil
import signal
from contextlib import suppress
from typing import Any

import pytest

from queuectl.domain.job import SETTLED, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.sweep import EAGER
from tests.stores.conftest import slow_on_mongo
from tests.worker.fleet import Fleet, eventually

AT_ONCE = 3
JOBS = 40
KILLS = 4

ONE_OF_THREE = (
    "for n in 1 2 3; do exec 9>>slot.$n; flock -n 9 && break; exec 9>&-; done; "
    "flock -n 9 || { echo $QUEUECTL_JOB_ID >> exceeded; exit 0; }; "
    "echo $QUEUECTL_JOB_ID >> ran; sleep 0.05"
)
"""Holds one of three locks while it runs, which go with its processes, whoever kills them."""


def kill_a_worker(fleet: Fleet) -> None:
    workers = fleet.pids()
    if workers:
        with suppress(ProcessLookupError):
            os.kill(random.choice(workers), signal.SIGKILL)


def ended(fleet: Fleet, name: str) -> int:
    counts = fleet.queue.batch(name).counts
    return sum(counts.get(state, 0) for state in SETTLED)


@slow_on_mongo
@pytest.mark.skipif(shutil.which("flock") is None, reason="the jobs need flock")
def test_no_more_of_a_batch_run_at_once_than_was_said_while_workers_are_killed(
    chaos: Fleet,
) -> None:
    chaos.set(lease_seconds=4, max_interruptions=100)
    fields: dict[str, Any] = {"cwd": str(chaos.root), "batch": "b", "at_once": AT_ONCE}
    chaos.queue.enqueue([{"command": ONE_OF_THREE}] * JOBS, **fields)
    chaos.start(2 * AT_ONCE)
    for number in range(1, KILLS + 1):
        part = number * JOBS // (KILLS + 1)
        eventually(lambda part=part: ended(chaos, "b") >= part)  # type: ignore[misc]
        kill_a_worker(chaos)
    eventually(lambda: ended(chaos, "b") == JOBS)
    exceeded = chaos.root / "exceeded"
    assert not exceeded.exists(), exceeded.read_text()
    assert chaos.queue.batch("b").counts == {State.COMPLETED: JOBS}
    assert set((chaos.root / "ran").read_text().split()) == {
        job.id for job in chaos.queue.find(Filter(batch="b"))
    }
    eventually(lambda: not chaos.queue.store.batches.open())
    record = chaos.queue.store.batches.get("b")
    assert record is not None
    assert (record.ends, record.told) == (1, 1)


def test_of_a_batch_that_is_made_while_it_runs_nothing_is_lost_or_made_twice(
    fleet: Fleet,
) -> None:
    total = EAGER + 1
    sweep = fleet.queue.sweep({"command": ["true"], "cwd": "/"}, array=f"1-{total}")
    fleet.queue.enqueue_sweep(sweep, "b")
    fleet.start(2)
    for least in (100, 300):
        eventually(lambda least=least: ended(fleet, "b") >= least)  # type: ignore[misc]
        kill_a_worker(fleet)
    eventually(lambda: ended(fleet, "b") >= 500)
    fleet.stop(now=True)
    record = fleet.queue.store.batches.get("b")
    assert record is not None
    assert fleet.queue.batch("b").total == total
    made = [job.spec.batch_index for job in fleet.queue.store.find(Filter(batch="b"), Page())]
    assert made == list(range(1, record.made + 1))
