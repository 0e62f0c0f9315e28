"""The page of workers: what each runs and what that uses, and who holds which resources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.resources import resource_lines
from queuectl.presentation.run_log import clean
from queuectl.presentation.tables import cpu_time, memory
from queuectl.queue import Queue
from queuectl.system.processes import is_here
from queuectl.system.run_usage import RunUsage, Usage
from queuectl.web.api.endpoint import PATH, Arguments, Param
from queuectl.web.api.schemas import NAME

MOST_RUNS = 8
"""Of how many runs of a worker more is told than their number."""

MOST_MEASURED = 24
"""Of so many runs in all it is measured what they use."""

_USAGE = RunUsage()
MOST_LINES = 1000

LOG_OF = Param("id", PATH, NAME, "the id of a worker", True)

Values = dict[str, Any]


def values(queue: Queue, _arguments: Arguments) -> Values:
    """Return the values of the page: the `workers` with their `runs`, and lines of resources."""
    workers = queue.workers()
    shown = [job_id for worker in workers for job_id in worker.job_ids[:MOST_RUNS]]
    jobs = _running(queue, frozenset(shown))
    here = [worker for worker in workers if is_here(worker.record.process)]
    of_here = [job_id for worker in here for job_id in worker.job_ids[:MOST_RUNS]]
    usages = _usages([jobs[job_id] for job_id in of_here if job_id in jobs][:MOST_MEASURED])

    def runs(worker: LiveWorker) -> list[Values]:
        found = [jobs[job_id] for job_id in worker.job_ids[:MOST_RUNS] if job_id in jobs]
        return [{"job": job, "usage": usages.get(job.id, "")} for job in found]

    return {
        "workers": [{"worker": worker, "runs": runs(worker)} for worker in workers],
        "most": MOST_RUNS,
        "resources": resource_lines(queue.resources.views()),
    }


def log(queue: Queue, arguments: Arguments) -> Values:
    """Return the values of the page of a worker's log: its last `lines`, as text."""
    text = queue.end_of_worker_log(arguments["id"]).decode(errors="replace")
    return {"id": arguments["id"], "lines": clean(text)[-MOST_LINES:]}


def _running(queue: Queue, ids: frozenset[str]) -> dict[str, Job]:
    """Return those of some jobs that run, by their ids."""
    running = queue.find(Filter(frozenset({State.PROCESSING})), Page()) if ids else ()
    return {job.id: job for job in running if job.id in ids}


def _usages(jobs: Iterable[Job]) -> dict[str, str]:
    """Return what the runs of jobs use at the moment in words, of those where that is known."""
    ids = {job.claim.id: job.id for job in jobs if job.claim}
    return {ids[run_id]: _words(usage) for run_id, usage in _USAGE.of(ids).items()}


def _words(usage: Usage) -> str:
    processes = f", {usage.processes} processes" if usage.processes > 1 else ""
    return f"{memory(usage.memory)}, {cpu_time(usage.cpu_seconds)} of processor time{processes}"
