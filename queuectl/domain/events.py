"""How one run of a job ended, as small as statistics and notifications need it.

A store keeps each event, written with the change that it tells of, until it is processed:
counted, and turned into what is to be sent.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from queuectl.domain.frozen import frozen
from queuectl.domain.job import WAITING, State
from queuectl.domain.job_fields import command_text

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.state_machine import Transition

LONGEST_COMMAND = 200
LONGEST_ERROR = 300
"""The most characters that an event keeps of a command and of an error."""


class RunResult(str, Enum):
    """What a run came to, in the order that people read them."""

    COMPLETED = "completed"
    FAILED = "failed"  # and is to be tried again
    DEAD = "dead"  # failed for the last time, or lost its worker too often
    CANCELLED = "cancelled"  # while it ran, or while it waited
    INTERRUPTED = "interrupted"  # it costs no attempt, and is to be run again

    def __str__(self) -> str:
        return self.value


_PROCESSING = State.PROCESSING
RUN_RESULT_BY_NAME = {ended.value: ended for ended in RunResult}

_RESULTS = {
    State.COMPLETED: RunResult.COMPLETED,
    State.FAILED: RunResult.FAILED,
    State.DEAD: RunResult.DEAD,
    State.CANCELLED: RunResult.CANCELLED,
    State.PENDING: RunResult.INTERRUPTED,
}


@frozen
class RunFinished:
    """One run that has finished. `seq` and `rev` name it: no two events of a store share both.

    `run` numbers it in the job's history, 0 for a job that was cancelled while it waited, which
    has no `started_at` either. `attempts` are those the job has made. `waited` is how many
    seconds it was due before it was started: None where that says nothing of the workers,
    because it waited for other jobs too or had been started and lost before. `duration` is how
    many seconds it ran, `cpu_seconds` the processor time and `peak_memory` the most bytes that it
    used, None where nobody knows. Command and error may be cut short.
    """

    seq: int
    rev: int
    job_id: str
    run: int
    queue: str
    outcome: RunResult
    finished_at: datetime
    attempts: int
    command: str
    labels: tuple[str, ...] = ()
    started_at: datetime | None = None
    waited: float | None = None
    duration: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    error: str | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None

    @property
    def key(self) -> str:
        """A name of this event that no other has: `42.7`."""
        return f"{self.seq}.{self.rev}"


def event_of(change: Transition) -> RunFinished | None:
    """Return the event that a change makes; None when no run ends with it.

    A claim that is given back before anything was begun leaves none, nor does a run for which
    there is no room in the history.
    """
    before, after = change.before, change.after
    if after is None or after.state is before.state:
        return None
    spec = before.spec
    command = spec.command if isinstance(spec.command, str) else command_text(spec.command)
    command = command[:LONGEST_COMMAND]
    if before.state is _PROCESSING:
        if after.finished_at is None or change.run is None:
            return None
        outcome = after.outcome
        assert outcome is not None
        duration = None if change.event == "expire" else outcome.duration
        error = outcome.error[:LONGEST_ERROR] if outcome.error else None
        return RunFinished(
            before.seq, after.rev, spec.id, before.runs, spec.queue, _RESULTS[after.state],
            after.updated_at, after.attempts, command, spec.labels, before.started_at,
            _waited(before), duration, outcome.exit_code, outcome.signal, outcome.timed_out, error,
            outcome.cpu_seconds, outcome.peak_memory,
        )  # fmt: skip
    if before.state in WAITING and after.state is State.CANCELLED:
        return RunFinished(
            before.seq, after.rev, spec.id, 0, spec.queue, RunResult.CANCELLED,
            after.updated_at, after.attempts, command, spec.labels,
        )  # fmt: skip
    return None


def _waited(job: Job) -> float | None:
    """Return how many seconds a running job had been due when it was started."""
    spec = job.spec
    waits_for_jobs = spec.after or spec.after_any or spec.after_fail
    if job.started_at is None or job.may_end_worker or waits_for_jobs:
        return None
    return max(0.0, (job.started_at - job.run_at).total_seconds())
