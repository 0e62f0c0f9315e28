"""Jobs, runs and workers as people read them: states in words, and the columns of tables."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from queuectl.domain.job import SETTLED, WAITING, Job, Outcome, Run, State
from queuectl.domain.job_fields import DEFAULT_QUEUE, command_text
from queuectl.domain.queue_limits import queue_title
from queuectl.domain.views import reason
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.tables import Clock, Column, cpu_time, duration, memory, rough

STATE_STYLES = {
    State.PENDING: "cyan",
    State.PROCESSING: "blue",
    State.COMPLETED: "green",
    State.FAILED: "yellow",
    State.DEAD: "red",
    State.CANCELLED: "magenta",
}
_WORKER_STYLES = {"busy": "blue", "idle": "green", "stopping": "yellow"}
_LAST, _LATE, _SOON, _FIRST = 1, 2, 3, 4
"""How readily a column gives way on a narrow terminal. What says why a job waits, or what went
wrong, never does.
"""


def state_text(job: Job) -> str:
    """Return a job's state, with the exit code or signal of a run that went wrong."""
    if job.state is State.PROCESSING and job.cancel_requested:
        return "cancelling"
    if job.state is State.PROCESSING and job.paused:
        return f"{job.state} (paused)"
    if job.state not in (State.FAILED, State.DEAD) or job.outcome is None:
        return job.state.value
    how = ending_text(job.outcome)
    return f"{job.state} ({how})" if how else job.state.value


def ending_text(run: Outcome | Run) -> str:
    """Return what a run ended with: `3`, `signal 9`, `timeout`, nothing."""
    if run.timed_out:
        return "timeout"
    if run.signal:
        return f"signal {run.signal}"
    return str(run.exit_code) if run.exit_code else ""


def state_style(job: Job) -> str:
    """Return the colour of a job's state."""
    return STATE_STYLES[job.state]


def attempts_text(job: Job) -> str:
    """Return `1/3`: attempts made, of those allowed."""
    return f"{job.attempts}/{job.spec.max_retries}"


def why(job: Job, clock: Clock) -> str:
    """Return why a job waits, what went wrong with it, or, for a person, how long it has run."""
    is_running = job.state is State.PROCESSING and not job.paused
    if clock.for_person and is_running and job.started_at:
        return f"running for {rough(seconds_between(job.started_at, clock.now))}"
    return reason(job, clock.now, clock.at, clock.wait_context) or job.last_error or ""


def job_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of jobs."""
    return [
        Column("ID", lambda job: job.id),
        Column("STATE", state_text, style=state_style),
        Column("ATTEMPTS", attempts_text, yields=_LATE),
        Column("QUEUE", lambda job: queue_title(job.spec.queue), optional=True,
               usual=DEFAULT_QUEUE, yields=_SOON),
        Column("PRIORITY", lambda job: str(job.spec.priority), optional=True, usual="0",
               yields=_FIRST),
        Column("SLOTS", lambda job: str(job.spec.slots), optional=True, usual="1", yields=_FIRST),
        Column("LABELS", lambda job: ", ".join(job.spec.labels), optional=True, yields=_FIRST),
        Column("WHEN" if clock.for_person else "NEXT RUN", lambda job: _when(job, clock),
               optional=True, yields=_SOON),
        Column("REASON", lambda job: why(job, clock) or _took(job, clock), optional=True),
        Column("COMMAND", lambda job: command_text(job.spec.command), yields=_LAST),
    ]  # fmt: skip


def used_text(run: Run) -> str:
    """Return the processor time and the most memory that a run used, as far as they are known."""
    return ", ".join(filter(None, (cpu_time(run.cpu_seconds), memory(run.peak_memory))))


def usage_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of what the latest run used, which a listing has where they are named.

    Programs get plain numbers: bytes and seconds.
    """

    def used(name: str, words: Callable[[Any], str]) -> Callable[[Job], str]:
        def text(job: Job) -> str:
            value = getattr(job.outcome, name, None)
            return words(value) if clock.for_person or value is None else str(value)

        return text

    return [
        Column("MEMORY", used("peak_memory", memory)),
        Column("CPU", used("cpu_seconds", cpu_time)),
    ]


def _took(job: Job, clock: Clock) -> str:
    """Return how long a job that is completed took, for a person."""
    is_told = clock.for_person and job.state is State.COMPLETED and job.outcome
    return f"took {duration(job.outcome.duration)}" if is_told and job.outcome else ""


def _when(job: Job, clock: Clock) -> str:
    """Return when a waiting job runs next; for a person, also when one ended.

    That one is due a person reads in its reason.
    """
    if clock.for_person and job.state in SETTLED:
        return clock.around(job.finished_at)
    if job.state not in WAITING or (clock.for_person and job.is_due(clock.now)):
        return ""
    return clock.around(job.run_at)


def dead_columns(clock: Clock) -> list[Column[Job]]:
    """Return the columns of a listing of the dead letter queue."""
    return [
        Column("ID", lambda job: job.id),
        Column("ATTEMPTS", attempts_text, yields=_SOON),
        Column("FAILED AT", lambda job: clock.around(job.failed_at), yields=_LATE),
        Column("LAST ERROR", lambda job: job.last_error or "", style=state_style),
        Column("COMMAND", lambda job: command_text(job.spec.command), yields=_LAST),
    ]


def seconds_between(start: datetime, end: datetime) -> float:
    """Return how long it is from one instant to another."""
    return (end - start).total_seconds()


def slots_text(*workers: LiveWorker) -> str:
    """Return how many slots of workers have a job: `3/16`; nothing where each has only one."""
    if all(worker.record.slots == 1 for worker in workers):
        return ""
    used = sum(worker.slots_in_use for worker in workers)
    return f"{used}/{sum(worker.record.slots for worker in workers)}"


def _slots(worker: LiveWorker) -> str:
    return f"{worker.slots_in_use}/{worker.record.slots}"


def in_hand_text(worker: LiveWorker) -> str:
    """Return which job a worker has in hand, and how many more: `job7 +2`."""
    others = worker.slots_in_use - 1
    return (worker.job_id or "") + (f" +{others}" if others > 0 else "")


def worker_columns(clock: Clock, workers: Collection[LiveWorker]) -> list[Column[LiveWorker]]:
    """Return the columns of a listing of some workers. A person is told of other hosts alone.

    Slots are told of where any worker has several.
    """
    here = ""
    if clock.for_person:
        import socket  # takes as long to load as the store does

        here = socket.gethostname()
    return [
        Column("PID", lambda worker: str(worker.record.process.pid)),
        Column("STATE", lambda worker: worker.state, style=lambda w: _WORKER_STYLES[w.state]),
        *([Column("SLOTS", _slots, yields=_LAST)] if slots_text(*workers) else []),
        Column("JOB", lambda worker: in_hand_text(worker) or "-"),
        Column("HOST", lambda worker: worker.record.host, optional=True, usual=here, yields=_LATE),
        Column("STARTED", lambda worker: clock.around(worker.record.started_at), yields=_SOON),
        Column("QUEUES", lambda worker: ", ".join(worker.record.queues), optional=True),
        Column("ID", lambda worker: worker.record.id, yields=_FIRST),
    ]
