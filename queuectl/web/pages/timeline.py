"""The attempts of a job in the order of time, each with its place on a line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Run, State
from queuectl.presentation.columns import ending_text, seconds_between

WIDTH = 1000.0
_NARROWEST = 6.0
_MOST = 100
"""How many of the latest runs are shown."""


@frozen
class Attempt:
    """One run as the page shows it: `left` and `width` are thousandths of the whole line."""

    n: int
    state: str
    label: str
    worker: str
    started_at: datetime
    finished_at: datetime | None
    seconds: float
    left: float
    width: float


def timeline(job: Job, now: datetime) -> list[Attempt]:
    """Return the runs of a job, the one that goes on included, the earliest first."""
    runs = job.history[-_MOST:]
    is_running = job.state is State.PROCESSING and job.started_at is not None
    start = runs[0].started_at if runs else job.started_at or now
    end = now if is_running else (runs[-1].finished_at if runs else now)
    whole = max(seconds_between(start, end), 0.001)

    def placed(started: datetime, finished: datetime) -> tuple[float, float]:
        left = WIDTH * seconds_between(start, started) / whole
        width = max(_NARROWEST, WIDTH * seconds_between(started, finished) / whole)
        left = max(0.0, min(left, WIDTH - _NARROWEST))
        return round(left, 1), round(min(width, WIDTH - left), 1)

    found = [_ended(run, *placed(run.started_at, run.finished_at)) for run in runs]
    if is_running and job.started_at:
        left, width = placed(job.started_at, now)
        label = "paused" if job.paused else "running"
        seconds = seconds_between(job.started_at, now)
        found.append(
            Attempt(job.runs, "processing", label, job.worker or "", job.started_at, None,
                    seconds, left, width)
        )  # fmt: skip
    return found


def _ended(run: Run, left: float, width: float) -> Attempt:
    how = ending_text(run)
    label = run.error or ("completed" if not how else f"ended with {how}")
    state = "completed" if not run.error and not how else "failed"
    return Attempt(
        run.n, state, label, run.worker, run.started_at, run.finished_at, run.seconds, left, width
    )


def ticks(attempts: Sequence[Attempt]) -> float:
    """Return how many seconds the whole line stands for."""
    if not attempts:
        return 0.0
    last = attempts[-1]
    return seconds_between(attempts[0].started_at, last.started_at) + last.seconds
