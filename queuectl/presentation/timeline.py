"""What a job has been through, run by run: when, how long, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import zip_longest

from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, Job, Run, State
from queuectl.domain.state_machine import INTERRUPTED, WORKER_LOST
from queuectl.presentation.columns import STATE_STYLES, seconds_between, state_text, why
from queuectl.presentation.tables import Clock, Column, duration, rough


@frozen
class Step:
    """One run of a job, in words."""

    run: int
    started_at: datetime
    took: str
    worker: str
    result: str
    then: str
    state: State


def timeline(job: Job, clock: Clock) -> Iterator[Step]:
    """Yield the runs of a job from the first that is kept, and the one that is under way."""
    running = _running(job, clock)
    starts = [run.started_at for run in (*job.history, running) if run is not None]
    for run, next_start in zip_longest(job.history, starts[1:]):
        took = duration(run.seconds)
        then = _afterwards(run, next_start) if next_start else _at_last(job, run, clock)
        parts = [*_given_back(run), *([then] if then else [])]
        state = State.FAILED if run.error else State.COMPLETED
        result = run.error or State.COMPLETED.value
        yield Step(run.n, run.started_at, took, run.worker, result, ", ".join(parts), state)
    if running is not None:
        yield running


def _running(job: Job, clock: Clock) -> Step | None:
    if job.state is not State.PROCESSING or job.started_at is None:
        return None
    took = duration(max(0.0, seconds_between(job.started_at, clock.now)))
    return Step(
        job.runs, job.started_at, took, job.worker or "", state_text(job), "", State.PROCESSING
    )


def _given_back(run: Run) -> list[str]:
    """Say of an attempt that it does not count, where it was no fault of the job's."""
    error = run.error or ""
    is_given_back = error == INTERRUPTED or error.startswith(WORKER_LOST)
    return ["not counted"] if is_given_back else []


def _afterwards(run: Run, next_start: datetime) -> str:
    return f"again after {rough(max(0.0, seconds_between(run.finished_at, next_start)))}"


def _at_last(job: Job, run: Run, clock: Clock) -> str:
    """Return what became of a job after its last run."""
    if job.state in SETTLED:
        return "" if not run.error and job.state is State.COMPLETED else job.state.value
    return why(job, clock)


def step_columns(clock: Clock) -> list[Column[Step]]:
    """Return the columns of a timeline."""
    return [
        Column("RUN", lambda step: str(step.run)),
        Column("STARTED", lambda step: clock.at(step.started_at)),
        Column("TOOK", lambda step: step.took, yields=1),
        Column("WORKER", lambda step: step.worker, yields=2),
        Column("RESULT", lambda step: step.result, style=lambda step: STATE_STYLES[step.state]),
        Column("THEN", lambda step: step.then, optional=True),
    ]
