"""Which workers are too many."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from queuectl.domain.times import UTC
from queuectl.domain.worker_record import LiveWorker, ProcessIdentity, WorkerRecord
from queuectl.worker.supervision.scale import spare

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def worker(name: str, *, minutes: int, jobs: int = 0, slots: int = 1) -> LiveWorker:
    """Return a worker that started so long ago."""
    begun = NOW - timedelta(minutes=minutes)
    record = WorkerRecord(name, ProcessIdentity(1, "", ""), "host", "home", (), begun, NOW)
    return LiveWorker(replace(record, slots=slots), tuple(f"{name}{n}" for n in range(jobs)))


A = worker("a", minutes=9)
B = worker("b", minutes=5, jobs=1)
C = worker("c", minutes=2)
BIG = worker("big", minutes=1, jobs=3, slots=8)


@pytest.mark.parametrize(
    ("workers", "slots", "count", "gone"),
    [
        ([A, B, C], None, 3, []),
        ([A, B, C], None, 5, []),
        ([A, B, C], None, 2, ["c"]),
        ([A, B, C], None, 1, ["c", "a"]),
        ([A, B, C], None, 0, ["c", "a", "b"]),
        ([A, B, C], 2, 3, ["c"]),
        ([A, BIG], 9, 2, []),
        ([A, BIG], 8, 2, ["a"]),
        ([A, BIG], 3, 2, ["a", "big"]),
    ],
)
def test_those_without_a_job_and_the_latest_are_too_many_first(
    workers: list[LiveWorker], slots: int | None, count: int, gone: list[str]
) -> None:
    assert [each.record.id for each in spare(workers, slots, count)] == gone
