"""Workers that end when nothing is left make the jobs of batches first."""

from __future__ import annotations

import pytest

from queuectl.domain.job import State
from queuectl.domain.sweep import EAGER
from queuectl.queue import lazy
from tests.worker.fleet import Fleet, eventually


def test_a_worker_that_drains_makes_and_runs_what_is_left_of_a_batch(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "_PIECE", 10)  # here, not in the workers
    total = EAGER + 1
    sweep = fleet.queue.sweep({"command": ["true"], "cwd": "/"}, array=f"1-{total}")
    fleet.queue.enqueue_sweep(sweep, "b")
    record = fleet.queue.store.batches.get("b")
    assert record is not None
    nearly = record.changed(made=total - 5)  # as after all but the last five were made
    assert fleet.queue.store.batches.save(nearly, record)
    before = fleet.queue.store.batches.counts("b")[State.PENDING]
    fleet.start(drain=True)
    eventually(lambda: not fleet.pids())
    assert fleet.queue.store.batches.counts("b") == {State.COMPLETED: before + 5}
