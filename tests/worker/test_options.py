"""What a worker is started for."""

from __future__ import annotations

from queuectl.domain.settings import Settings
from queuectl.worker.options import WorkerOptions


def test_a_worker_runs_as_many_jobs_at_once_as_it_was_started_with_else_as_the_setting_says() -> (
    None
):
    settings = Settings(concurrency=8)
    assert WorkerOptions().slots(Settings()) == 1
    assert WorkerOptions().slots(settings) == 8
    assert WorkerOptions(concurrency=3).slots(settings) == 3


def test_a_worker_for_one_job_runs_no_other_beside_it() -> None:
    assert WorkerOptions(only="a").slots(Settings(concurrency=8)) == 1
