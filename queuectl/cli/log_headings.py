"""What stands in the place of output that there is none of: why a job has not written anything."""

from __future__ import annotations

from queuectl.cli.listing import clock_of
from queuectl.cli.run_output import Choice
from queuectl.domain.job import SETTLED, WAITING, Job
from queuectl.domain.views import reason
from queuectl.presentation import tables
from queuectl.queue import Queue
from queuectl.system.run_reader import STREAMS, RunReader


def not_begun(queue: Queue, job: Job) -> str:
    """Return the heading of a job that has not run: what it waits for, or why it never will."""
    if job.state in SETTLED:
        return f"job '{job.id}' never began: {job.last_error or job.state}"
    clock = clock_of(queue)
    why = reason(job, clock.now, clock.at, clock.wait_context) if job.state in WAITING else None
    return f"job '{job.id}' has not run yet: {why or job.state}"


def nothing_written(queue: Queue, job: Job, run: int, choice: Choice) -> str:
    """Return the heading of a run that has written nothing into the streams that are wanted."""
    (only,) = choice.streams if len(choice.streams) == 1 else ("",)
    if only == "stderr" and job.spec.merge_output:
        return f"job '{job.id}' has one file for both streams: leave out --stderr"
    where = f" to {only}" if only else ""
    which = f"run {run} of job '{job.id}'" if run < job.runs else f"job '{job.id}'"
    return f"{which} {_how(queue, job, run, where)}{_elsewhere(queue, job, run, only)}"


def _how(queue: Queue, job: Job, run: int, where: str) -> str:
    if run == job.runs and job.state not in (*SETTLED, *WAITING):
        seconds = (queue.now() - job.started_at).total_seconds() if job.started_at else 0.0
        return f"has written nothing{where} yet, and runs for {tables.duration(max(0.0, seconds))}"
    ended = next((entry for entry in job.history if entry.n == run), None)
    error = ended.error if ended else job.last_error if run == job.runs else None
    return f"wrote nothing{where}: {error or 'completed'}"


def _elsewhere(queue: Queue, job: Job, run: int, only: str) -> str:
    """Tell of the other stream, if one alone was wanted and that has something."""
    if not only:
        return ""
    other = next(name for name in STREAMS if name != only)
    reader = RunReader(queue.logs_of(job, run), job.id, run)
    size = reader.sizes[STREAMS.index(other)]
    reader.close()
    if not size and run == job.runs and job.outcome:
        size = len(getattr(job.outcome, other))
    return f"; {other} has {size:,} bytes: --{other}" if size else ""
