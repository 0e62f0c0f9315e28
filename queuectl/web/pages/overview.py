"""What the first page shows: how much there is, how fast it goes, what is stuck, what failed."""

from __future__ import annotations

from typing import Any

from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Page
from queuectl.presentation.status import totals
from queuectl.queue import Queue
from queuectl.web.api.endpoint import Arguments
from queuectl.web.pages.charts import charts
from queuectl.web.pages.reasons import stuck, why
from queuectl.web.pages.svg import states_bar

_RECENT = 6
_RUNNING = 8


def overview(queue: Queue, _asked: Arguments) -> dict[str, Any]:
    """Return the values of the overview."""
    counts, workers = totals(queue.counts()), queue.workers()
    return {
        "counts": counts,
        "workers": workers,
        "busy": sum(worker.state == "busy" for worker in workers),
        "states": states_bar(counts),
        "charts": charts(queue),
        "stuck": stuck(queue),
        "failures": _failures(queue),
        "running": _newest(queue, State.PROCESSING, _RUNNING),
        "why": why(queue),
    }


def _newest(queue: Queue, state: State, number: int) -> list[Job]:
    return list(queue.find(Filter(frozenset({state})), Page(limit=number, newest_first=True)))


def _failures(queue: Queue) -> list[Job]:
    """Return the jobs that failed last, whether they will be tried again or not."""
    found = [job for state in (State.FAILED, State.DEAD) for job in _newest(queue, state, 50)]
    return sorted(found, key=lambda job: job.updated_at, reverse=True)[:_RECENT]
