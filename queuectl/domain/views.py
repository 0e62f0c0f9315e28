"""A job as people and programs see it: the fixed field names, the reason for waiting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from queuectl.domain.dependencies import END, FAILURE, GONE, TURN, parent_of
from queuectl.domain.frozen import frozen
from queuectl.domain.job import (
    COMMAND_NOT_FOUND,
    COULD_NOT_START,
    INTERPRETER_NOT_FOUND,
    PERMISSION_DENIED,
    SETTLED,
    TOO_LONG,
    WAITING,
    Job,
    Outcome,
    Run,
    State,
    attempts_allowed,
)
from queuectl.domain.job_fields import ASKED, Field, Kind, plain
from queuectl.domain.query import SIGNALLED, TIMED_OUT
from queuectl.domain.queue_limits import (
    DELIVERY_QUEUE,
    ONE_JOB,
    OPEN,
    QueueLimits,
    is_of_deliveries,
    queue_words,
)
from queuectl.domain.text import MASK as MASK
from queuectl.domain.times import iso, iso_or_none

if TYPE_CHECKING:
    from queuectl.domain.worker_record import WorkerRecord

_SECRET = (
    r"(?i)pass(wd|word|phrase)?|secret|token|credential|api_?key|private|auth|(^|_)key(_|$)|dsn"
    r"|_(uri|url|pwd|pat)$"
)

_NOT_STARTED = {
    COMMAND_NOT_FOUND: 127, INTERPRETER_NOT_FOUND: 127,
    PERMISSION_DENIED: 126, TOO_LONG: 126, COULD_NOT_START: 126,
}  # fmt: skip
"""The codes by which a shell tells why a command did not start, by how the error begins."""


def looks_secret(name: str) -> bool:
    """Whether an environment variable's name says that its value must not be shown."""
    return re.search(_SECRET, name) is not None


def masked_env(job: Job) -> dict[str, str]:
    """Return a job's own environment with the values of secrets hidden."""
    return _masked(job.spec.env)


def masked_params(job: Job) -> dict[str, str]:
    """Return the values that a sweep gave to a job, those of secrets hidden."""
    return _masked(job.spec.params)


def _masked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: MASK if looks_secret(name) else value for name, value in pairs}


@frozen
class WaitContext:
    """What, beside a job itself, decides why it waits.

    `state_of` tells how a parent stands, None when it is deleted, and `root_of` why it cannot
    start, if it waits for what will not come; `unserved` says which workers a queue lacks, None
    when it has one; `first_of` which job of a limited queue is to start first; `short_of` which
    resources a job waits for, if they are not free.
    """

    queue_limits: QueueLimits
    state_of: Callable[[str], State | None]
    unserved: Callable[[str], str | None] = lambda _queue: None
    first_of: Callable[[str], Job | None] = lambda _queue: None
    root_of: Callable[[str], str | None] = lambda _job_id: None
    short_of: Callable[[Job], str | None] = lambda _job: None


def unserved_by(workers: Iterable[WorkerRecord]) -> Callable[[str], str | None]:
    """Return what tells why nobody takes from a queue, None where one of these workers does."""
    for_many = [each for each in workers if ONE_JOB not in each.queues]
    if not for_many:
        return lambda _queue: NO_WORKER
    found = [each.queues for each in for_many if not each.is_drained]
    if not found:
        hosts = sorted({each.host for each in for_many})
        are = f"s {', '.join(hosts)} are" if len(hosts) > 1 else f" {hosts[0]} is"
        return lambda _queue: f"host{are} {DRAINED}"
    if not all(found):
        return lambda _queue: None  # one takes from all
    served = {queue for queues in found for queue in queues}

    def unserved(queue: str) -> str | None:
        if (DELIVERY_QUEUE if is_of_deliveries(queue) else queue) in served:
            return None
        return f"no worker takes from {queue_words(queue)}"

    return unserved


NO_WORKER = "no worker is running"
"""The reason of every job that is due while no worker lives."""

DRAINED = "drained"
"""How the reason ends of every job that is due while the host of each worker is drained."""

NO_CONTEXT = WaitContext({}, lambda _job_id: State.PENDING)
"""The context of a job of which no others are known."""


def reason(
    job: Job,
    now: datetime,
    show: Callable[[datetime], str] = iso,
    wait_context: WaitContext = NO_CONTEXT,
) -> str | None:
    """Return why a job waits, in a person's words; None for a job that does not wait.

    A running job has a reason while it is paused, and a dead one where it was not tried again
    though attempts were left.
    """
    if job.paused:
        return "paused"
    if job.state not in WAITING:
        return _why_dead(job)
    if job.blocked_by:
        awaited = dict.fromkeys(_awaited(blocker, wait_context) for blocker in job.blocked_by)
        return f"waits for {', '.join(awaited)}"
    is_due = job.is_due(now)
    if is_due:
        held_up = _shut_reason(job, wait_context) or wait_context.unserved(job.spec.queue)
        if job.spec.needs and not held_up:
            held_up = wait_context.short_of(job)
        if held_up:
            return held_up
    if job.put_back:
        return f"waits: {job.put_back}"
    if job.state is State.FAILED:
        which = f"retry {job.attempts + 1}/{attempts_allowed(job.spec.max_retries)}"
        return f"{which} due" if is_due else f"{which} at {show(job.run_at)}"
    return "due" if is_due else f"scheduled for {show(job.run_at)}"


def _why_dead(job: Job) -> str | None:
    """Return why a dead job was not tried again though attempts were left; else None."""
    if job.state is not State.DEAD:
        return None
    if job.not_on:
        error = job.last_error or COULD_NOT_START
        return f"{error} (on {', '.join(job.not_on)}; it is not tried again there)"
    if not (job.spec.retry_on or job.spec.no_retry_on):
        return None
    from queuectl.domain.retry_rules import verdict

    return verdict(job)


def _shut_reason(job: Job, wait_context: WaitContext) -> str | None:
    """Return why a due job's queue does not let it start, or None."""
    queue = job.spec.queue
    queue_limit = wait_context.queue_limits.get(queue, OPEN)
    shut = queue_limit.shut_reason(queue, job.spec.slots)
    if shut or not queue_limit.limit:
        return shut
    first = wait_context.first_of(queue)
    if first is None or first.id == job.id or queue_limit.has_room(first.spec.slots):
        return None
    return f"behind {first.id}, which needs {first.spec.slots} slots"


def _awaited(blocker: str, wait_context: WaitContext) -> str:
    """Return a blocker as people read it: `job7`, `job7 to fail`, `job7 (dead)`.

    Of a job that cannot start itself it names the root: `job7 (job1 is dead)`, and the job to
    edit where that is gone: `job7 (job1 was deleted; edit job5)`.
    """
    if blocker == TURN:
        return "its turn in the batch"
    word, job_id = blocker.split(":", 1)
    wanted = {FAILURE: f"{job_id} to fail", END: f"{job_id} to end"}.get(word, job_id)
    state = None if word == GONE else wait_context.state_of(job_id)
    if state is None:
        return f"{wanted} (deleted)"
    root = wait_context.root_of(job_id) if state in WAITING else None
    how = root or (state if state in SETTLED else None)
    return f"{wanted} ({how})" if how else wanted


def suspicion(job: Job) -> str:
    """Return, in words, why a suspect is run by itself; nothing for any other job."""
    if not job.suspect:
        return ""
    when = "now" if job.state is State.PROCESSING else "next time"
    return f"a suspect: its worker died while it ran beside others; it runs alone {when}"


def exit_code(job: Job) -> int:
    """Return the code that a settled job stands for, as a shell would give it.

    128+N for signal N, 124 when it timed out, 143 when it was cancelled, 127 when its command
    was not found, 126 when that could not be run, 1 when it ended without any code of its own.
    """
    outcome = job.outcome or Outcome()
    if job.state is State.COMPLETED:
        return 0
    if job.state is State.CANCELLED:
        return 143
    if outcome.timed_out:
        return TIMED_OUT
    if outcome.signal:
        return SIGNALLED + outcome.signal
    if outcome.exit_code is None and outcome.error:
        return _NOT_STARTED.get(outcome.error.partition(":")[0], 1)
    return outcome.exit_code or 1


def as_dict(job: Job, now: datetime, wait_context: WaitContext = NO_CONTEXT) -> dict[str, Any]:
    """Return a job as `--json` prints it: times in ISO 8601, durations in seconds."""
    outcome = job.outcome or Outcome()
    asked = asked_as_dict(job)
    return {
        "id": job.id,
        "command": plain(job.spec.command),
        "state": job.state.value,
        "queue": asked["queue"],
        "priority": asked["priority"],
        "attempts": job.attempts,
        "max_retries": asked["max_retries"],
        "runs": job.runs,
        "interruptions": job.interruptions,
        "suspect": job.suspect,
        "reason": reason(job, now, wait_context=wait_context),
        "last_error": outcome.error,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "timed_out": outcome.timed_out,
        "duration": outcome.duration if job.outcome else None,
        "cpu_seconds": outcome.cpu_seconds,
        "peak_memory": outcome.peak_memory,
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "run_at": iso(job.run_at),
        "started_at": iso_or_none(job.started_at),
        "finished_at": iso_or_none(job.finished_at),
        "failed_at": iso_or_none(job.failed_at),
        "worker": job.worker,
        **asked,
        "batch_index": job.spec.batch_index,
        "params": masked_params(job),
        "waits_for": [parent_of(blocker) for blocker in job.blocked_by if blocker != TURN],
        "paused": job.paused,
        "put_back": job.put_back,
        "put_backs": job.put_backs,
        "not_on": list(job.not_on),
        "capture_env": job.spec.environment is not None,
        "snapshot": job.spec.snapshot,
        "signature": job.spec.signature,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "stdout_cut": outcome.stdout_cut,
        "stderr_cut": outcome.stderr_cut,
        "result": None if outcome.result is None else _result_of(outcome.result),
        "note": outcome.note,
        "history": [run_as_dict(run) for run in job.history],
    }


def _result_of(text: str) -> Any:
    from queuectl.domain.run_result import result_of  # few jobs have one

    return result_of(text)


def asked_as_dict(job: Job) -> dict[str, Any]:
    """Return every field that a person may set, but `id` and `command`, as JSON shows it."""
    values = {name: shown_value(field, getattr(job.spec, name)) for name, field in ASKED.items()}
    return {**values, "env": masked_env(job)}


def shown_value(field: Field, value: object) -> Any:
    """Return the value of a field as JSON has it, a secret hidden."""
    if field.kind is Kind.PAIRS:
        return dict(cast("tuple[tuple[str, str], ...]", value))
    return MASK if field.is_secret and value is not None else plain(value)


def run_as_dict(run: Run) -> dict[str, Any]:
    """Return one entry of a job's history as `--json` prints it."""
    return {
        "n": run.n,
        "claim_id": run.claim_id,
        "worker": run.worker,
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "exit_code": run.exit_code,
        "signal": run.signal,
        "timed_out": run.timed_out,
        "duration": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "peak_memory": run.peak_memory,
        "error": run.error,
    }
