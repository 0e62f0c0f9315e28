"""A job: where it stands (`Job`), and how its runs ended. What was asked for is its `Spec`."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import Spec

TAIL_BYTES = 64 * 1024
HISTORY_RUNS = 1000
"""The most runs that a job's history keeps, the latest: so no job outgrows its store."""

COMMAND_NOT_FOUND = "Command not found"
"""The error of a run whose program, or whose shell's program, does not exist."""

PERMISSION_DENIED = "Permission denied"
INTERPRETER_NOT_FOUND = "Interpreter not found"
TOO_LONG = "Arguments and environment are too long"
COULD_NOT_START = "Command could not be started"
"""How the errors of runs begin whose program is there, and cannot be run."""


class State(str, Enum):
    """Where a job stands, in the order that people read them."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value


WAITING = frozenset({State.PENDING, State.FAILED})
SETTLED = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})


@frozen
class Holding:
    """What one run holds while it runs: on which host, and how much of what, or which devices.

    `host` is empty where it holds nothing but what belongs to the fleet.
    """

    host: str
    units: tuple[tuple[str, str], ...]


@frozen
class Claim:
    """A worker's right to run one job until `lease_until`, by the store's clock.

    `alone` says that the worker runs nothing beside it. `holding` is what it holds of resources,
    as long as it stands.
    """

    id: str
    worker: str
    lease_until: datetime
    alone: bool = True
    holding: Holding | None = None


@frozen
class Outcome:
    """How one run ended.

    `exit_code` is None when the command was killed by `signal` or never started; `duration`
    is in seconds; `stdout` and `stderr` are the last 64 KiB of each stream and the `_cut`
    fields count the bytes before them. `interrupted` says that the worker stopped the run for
    a reason that is not the job's own, so that it costs no attempt; `is_final` that another
    attempt would end the same; `postponed` that the run was not begun, and may be in so many
    seconds, and `error` why; `unfit_host` names the host on which the command could not be started;
    `retry_after` is how many seconds pass at least before it is tried again.

    `cpu_seconds` is the processor time and `peak_memory` the most bytes that its processes used;
    None where nobody knows. `result` is the JSON text that it left as its result, and `note` what
    is to be said of the run that is no failure.
    """

    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    error: str | None = None
    duration: float = 0.0
    stdout: str = ""
    stderr: str = ""
    stdout_cut: int = 0
    stderr_cut: int = 0
    interrupted: bool = False
    is_final: bool = False
    postponed: float = 0.0
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    result: str | None = None
    note: str | None = None
    unfit_host: str | None = None
    retry_after: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the command ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out and self.error is None


@frozen
class Run:
    """One settled run in a job's history; `n` numbers runs from 1 and names their log files.

    `duration` is that of its outcome, as are `cpu_seconds` and `peak_memory`; None where it was
    stored before that was noted.
    """

    n: int
    claim_id: str
    worker: str
    started_at: datetime
    finished_at: datetime
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    error: str | None = None
    duration: float | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None

    @property
    def seconds(self) -> float:
        """How long it ran, as its outcome has it; else from its claim to its commit."""
        if self.duration is not None:
            return self.duration
        return (self.finished_at - self.started_at).total_seconds()


@frozen
class Job:
    """A job as one reader saw it. Values are replaced, never changed.

    `seq` orders jobs by arrival (0 until a store has taken the job) and `rev` counts its
    changes. `worker`, `started_at`, `finished_at` and `outcome` are those of the latest run.
    `blocked_by` holds the blockers that are left (see `dependencies`), `paused` says that somebody
    paused the job, `has_dependents` that jobs were enqueued to follow it, and `children_pending`
    that it has ended and not all of them have been notified.
    `history`, the latest `HISTORY_RUNS` runs, is filled by `Store.get` and by a `find` that asks
    for it; elsewhere it is empty. `delayed` says that `run_at` was asked for as a length of time
    from then on; only a store without a clock of its own keeps that. A `suspect` was being run
    beside others when their worker was lost, and may be what ended it: it runs alone next time.
    `put_back` is why a worker put the job back before it ran, the last of `put_backs` times in a
    row. `not_on` names the hosts on which its command could not be started.
    """

    spec: Spec
    state: State
    run_at: datetime
    created_at: datetime
    updated_at: datetime
    seq: int = 0
    rev: int = 1
    attempts: int = 0
    runs: int = 0
    interruptions: int = 0
    cancel_requested: bool = False
    blocked_by: tuple[str, ...] = ()
    paused: bool = False
    has_dependents: bool = False
    children_pending: bool = False
    claim: Claim | None = None
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failed_at: datetime | None = None
    outcome: Outcome | None = None
    history: tuple[Run, ...] = ()
    delayed: bool = False
    suspect: bool = False
    put_back: str | None = None
    put_backs: int = 0
    not_on: tuple[str, ...] = ()

    def changed(self, now: datetime, **changed: Any) -> Job:
        """Return the job in its next revision, which `now` has made, with other values.

        As `dataclasses.replace` would, in a quarter of the time.
        """
        values = list(_values_of(self))
        values[_AT["rev"]], values[_AT["updated_at"]] = self.rev + 1, now
        for name, value in changed.items():
            values[_AT[name]] = value
        return Job(*values)

    @property
    def id(self) -> str:
        """The job's id, unique over jobs and DLQ."""
        return self.spec.id

    @property
    def last_error(self) -> str | None:
        """Why the latest run did not succeed, or None."""
        return self.outcome.error if self.outcome else None

    @property
    def is_free(self) -> bool:
        """Whether the job waits for nothing but its time, and for room in its queue."""
        return self.state in WAITING and not self.blocked_by and not self.paused

    @property
    def runs_alone(self) -> bool:
        """Whether its worker, while it runs, runs nothing beside it; of a suspect that is sure."""
        return self.suspect or self.claim is None or self.claim.alone

    @property
    def may_end_worker(self) -> bool:
        """Whether it may be what ended a worker before, so that it is claimed by itself."""
        return self.suspect or self.interruptions > 0

    @property
    def has_attempts_left(self) -> bool:
        """Whether it is tried again once its latest attempt has failed."""
        return self.attempts < attempts_allowed(self.spec.max_retries)

    @property
    def claim_id(self) -> str:
        """The id of its claim; only for a job that is claimed."""
        assert self.claim is not None
        return self.claim.id

    def is_claimed_by(self, claim_id: str) -> bool:
        """Whether that very claim is on the job."""
        return self.claim is not None and self.claim.id == claim_id

    def is_ready(self, now: datetime) -> bool:
        """Whether a worker may claim the job at `now`, if its queue is open."""
        return self.is_free and self.is_due(now)

    def is_due(self, now: datetime) -> bool:
        """Whether the job's time has come.

        It had when the job was last changed, if that is not before `run_at`: then it was due at
        once by the clock of whoever changed it, and does not wait where that was ahead of ours.
        """
        return self.run_at <= now or self.run_at <= self.updated_at


_AT = {name: at for at, name in enumerate(Job.__match_args__)}
_values_of = attrgetter(*_AT)


def attempts_allowed(max_retries: int) -> int:
    """Return how many attempts a job has in all: `max_retries`, and never fewer than one."""
    return max(1, max_retries)
