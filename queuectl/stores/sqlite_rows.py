"""Jobs as rows: instants become whole milliseconds, lists become JSON.

Every job passes through here on its way in and out, so nothing is looked up by name: values
stand in the order of the columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from queuectl.domain.job import WAITING, Claim, Job, Outcome, Run, Spec, State, command_text
from queuectl.domain.times import from_millis, to_millis
from queuectl.domain.transitions import Fence, Transition
from queuectl.domain.values import frozen
from queuectl.stores import codec

_SPEC = (
    "queue", "priority", "command", "argv", "max_retries", "backoff_base", "backoff_cap",
    "timeout", "cwd", "env", "labels", "generated_id",
)  # fmt: skip
_COURSE = (
    "rev", "state", "ready", "run_at", "attempts", "runs", "interruptions", "cancel_requested",
    "worker", "updated_at", "started_at", "finished_at", "failed_at",
)  # fmt: skip
_CLAIM = ("claim_id", "lease_until")
_OUTCOME = (
    "exit_code", "signal", "timed_out", "last_error", "duration", "stdout_cut", "stderr_cut",
)  # fmt: skip

COLUMNS = ("seq", "id", "created_at", *_SPEC, *_COURSE, *_CLAIM, *_OUTCOME)
"""Every column that a job is read from, but for its output."""

ALL_COLUMNS = (*COLUMNS, *codec.OUTPUT_FIELDS)
_INSERTED = (
    "id", "created_at", "updated_at", "rev", "state", "ready", "run_at", "attempts", "runs",
    "interruptions", "cancel_requested", *_SPEC,
)  # fmt: skip
"""The columns of a job that has never run; the others are NULL."""

COUNT_IN = (
    "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
)
READY_IN = (
    "INSERT INTO lanes (queue, priority, ready) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET ready = ready + excluded.ready"
)
MOVED = ", ".join(ALL_COLUMNS)
SELECTED = ", ".join(COLUMNS)
SELECTED_ALL = MOVED
SELECTED_RUN = ", ".join(codec.RUN_FIELDS)

_RUN = ("seq", *codec.RUN_FIELDS)
_STATES = {state.value: state for state in State}


def dump_json(value: object) -> str:
    """Return a value as JSON; the module is imported here because few commands need it."""
    import json

    return json.dumps(value)


def load_json(text: str) -> Any:
    """Return the value in a JSON text."""
    import json

    return json.loads(text)


# jobs into rows


def ready_flag(job: Job, now: datetime) -> int | None:
    """Return 1 for a job that may be claimed, 0 for one that waits for its time, else None."""
    if job.state not in WAITING:
        return None
    return int(job.run_at <= now)


@frozen
class NewRows:
    """New jobs on their way in: a statement with its values, and how many are where.

    `states` counts them by queue and state, `lanes` those that are ready by queue and priority.
    """

    insert: str
    values: list[tuple[object, ...]]
    states: Counter[tuple[object, ...]]
    lanes: Counter[tuple[object, ...]]


def new_rows(jobs: Iterable[Job], now: datetime) -> NewRows:
    """Return the rows of one job or more that have never run."""
    by_name = dict(
        zip(_INSERTED, zip(*[_inserted_values(job, now) for job in jobs], strict=True), strict=True)
    )
    nulls = bytes([column.count(None) == len(column) for column in by_name.values()])
    given = [column for column, is_null in zip(by_name.values(), nulls, strict=True) if not is_null]
    queues = by_name["queue"]
    lanes = Counter(zip(queues, by_name["priority"], by_name["ready"], strict=True))
    return NewRows(
        _insert("jobs", _INSERTED, nulls),
        list(zip(*given, strict=True)),
        Counter(zip(queues, by_name["state"], strict=True)),
        Counter({(queue, rank): number for (queue, rank, ready), number in lanes.items() if ready}),
    )


def _inserted_values(job: Job, now: datetime) -> list[object]:
    created_at = to_millis(job.created_at)
    return [
        job.spec.id,
        created_at,
        created_at if job.updated_at is job.created_at else to_millis(job.updated_at),
        job.rev,
        job.state.value,
        ready_flag(job, now),
        created_at if job.run_at is job.created_at else to_millis(job.run_at),
        job.attempts,
        job.runs,
        job.interruptions,
        int(job.cancel_requested),
        *_spec_values(job.spec),
    ]


def update_of(change: Transition, after: Job, now: datetime) -> tuple[str, list[object]]:
    """Return the statement that writes a change under its fence, and the values for it.

    How a job fares is written whole, the rest only where it is another: a renewal moves
    `lease_until` and leaves `rev` alone, so a writer fenced by `rev` must not touch it, and an
    outcome may have been read without its output.
    """
    before = change.before
    values = _course_values(after, now)
    has_claim = after.claim is not before.claim
    has_outcome = after.outcome is not before.outcome
    has_spec = after.spec is not before.spec
    if has_claim:
        claim = after.claim
        values += (claim.id, to_millis(claim.lease_until)) if claim else (None, None)
    if has_outcome:
        values += _outcome_values(after.outcome)
    if has_spec:
        values += _spec_values(after.spec)
    names = _names(has_claim, has_outcome, has_spec)
    statement = _update(names, _nulls(values), change.fence)
    return statement, [*_without_nulls(values), before.seq, *fence_values(change)]


@cache
def _names(has_claim: bool, has_outcome: bool, has_spec: bool) -> tuple[str, ...]:
    claim, spec = _CLAIM if has_claim else (), _SPEC if has_spec else ()
    outcome = (*_OUTCOME, *codec.OUTPUT_FIELDS) if has_outcome else ()
    return (*_COURSE, *claim, *outcome, *spec)


# A NULL is spelled out, as Python's module takes a microsecond to find out that None means it:
# it looks for an adapter of everything that is not exactly a number or a string.


def _nulls(values: Iterable[object]) -> bytes:
    return bytes([value is None for value in values])


def _without_nulls(values: Iterable[object]) -> list[object]:
    return [value for value in values if value is not None]


@cache
def _update(names: tuple[str, ...], nulls: bytes, fence: Fence) -> str:
    marks = ("NULL" if is_null else "?" for is_null in nulls)
    assignments = ", ".join(f"{name} = {mark}" for name, mark in zip(names, marks, strict=True))
    return f"UPDATE jobs SET {assignments} WHERE seq = ? AND {FENCES[fence]}"


@cache
def _insert(table: str, names: tuple[str, ...], nulls: bytes) -> str:
    given = [name for name, is_null in zip(names, nulls, strict=True) if not is_null]
    return f"INSERT INTO {table} ({', '.join(given)}) VALUES ({', '.join('?' * len(given))})"


FENCES = {
    Fence.REV: "rev = ?",
    Fence.CLAIM: "claim_id = ? AND cancel_requested = ?",
    Fence.LEASE: "claim_id = ? AND cancel_requested = ? AND lease_until = ?",
}
"""The condition under which a transition may be applied."""


def fence_values(change: Transition) -> tuple[object, ...]:
    """Return the values for the condition in `FENCES`."""
    before = change.before
    if change.fence is Fence.REV:
        return (before.rev,)
    assert before.claim is not None
    if change.fence is Fence.LEASE:
        until = to_millis(before.claim.lease_until)
        return (before.claim.id, int(before.cancel_requested), until)
    return (before.claim.id, int(before.cancel_requested))


def _course_values(job: Job, now: datetime) -> list[object]:
    return [
        job.rev,
        job.state.value,
        ready_flag(job, now),
        to_millis(job.run_at),
        job.attempts,
        job.runs,
        job.interruptions,
        int(job.cancel_requested),
        job.worker,
        to_millis(job.updated_at),
        _millis_or_none(job.started_at),
        _millis_or_none(job.finished_at),
        _millis_or_none(job.failed_at),
    ]


def _spec_values(spec: Spec) -> list[object]:
    command = spec.command
    is_line = isinstance(command, str)
    return [
        spec.queue,
        spec.priority,
        command if is_line else command_text(command),
        None if is_line else dump_json(command),
        spec.max_retries,
        spec.backoff_base,
        spec.backoff_cap,
        spec.timeout,
        spec.cwd,
        dump_json(spec.env) if spec.env else None,
        dump_json(spec.labels) if spec.labels else None,
        int(spec.generated_id),
    ]


def _outcome_values(outcome: Outcome | None) -> list[object]:
    if outcome is None:
        return [None] * (len(_OUTCOME) + len(codec.OUTPUT_FIELDS))
    return [
        outcome.exit_code,
        outcome.signal,
        int(outcome.timed_out),
        outcome.error,
        outcome.duration,
        outcome.stdout_cut,
        outcome.stderr_cut,
        outcome.stdout,
        outcome.stderr,
    ]


def insert_of_run(seq: int, run: Run) -> tuple[str, list[object]]:
    """Return the statement that adds a run to the history of a job, and the values for it."""
    values = [
        seq,
        run.n,
        run.claim_id,
        run.worker,
        to_millis(run.started_at),
        to_millis(run.finished_at),
        run.exit_code,
        run.signal,
        int(run.timed_out),
        run.error,
    ]
    return _insert("runs", _RUN, _nulls(values)), _without_nulls(values)


def _millis_or_none(instant: datetime | None) -> int | None:
    return None if instant is None else to_millis(instant)


# rows into jobs


def job_from_row(row: Sequence[Any], history: Iterable[Run] = ()) -> Job:
    """Return the job in a row of `COLUMNS`, or of `ALL_COLUMNS`.

    Raises one of `codec.UNREADABLE` for a row that holds none.
    """
    (
        seq, job_id, created_at,
        queue, priority, command, argv, max_retries, backoff_base, backoff_cap,
        timeout, cwd, env, labels, generated_id,
        rev, state, _ready, run_at, attempts, runs, interruptions, cancel_requested,
        worker, updated_at, started_at, finished_at, failed_at, claim_id, lease_until,
        exit_code, signal, timed_out, error, duration, stdout_cut, stderr_cut, *output,
    ) = row  # fmt: skip
    spec = Spec(
        job_id,
        command if argv is None else tuple(load_json(argv)),
        queue,
        priority,
        max_retries,
        backoff_base,
        backoff_cap,
        timeout,
        cwd,
        tuple((name, value) for name, value in load_json(env)) if env else (),
        tuple(load_json(labels)) if labels else (),
        bool(generated_id),
    )
    outcome = None
    if duration is not None:
        stdout, stderr = output or ("", "")
        outcome = Outcome(
            exit_code,
            signal,
            bool(timed_out),
            error,
            duration,
            stdout or "",
            stderr or "",
            stdout_cut or 0,
            stderr_cut or 0,
        )
    return Job(
        spec,
        _STATES[state],
        from_millis(run_at),
        from_millis(created_at),
        from_millis(updated_at),
        seq,
        rev,
        attempts,
        runs,
        interruptions,
        bool(cancel_requested),
        Claim(claim_id, worker, from_millis(lease_until)) if claim_id else None,
        worker,
        _instant_or_none(started_at),
        _instant_or_none(finished_at),
        _instant_or_none(failed_at),
        outcome,
        tuple(history),
    )


def run_from_row(row: Sequence[Any]) -> Run:
    """Return the run in a row of `RUN_FIELDS`."""
    n, claim_id, worker, started_at, finished_at, exit_code, signal, timed_out, error = row
    return Run(
        n,
        claim_id,
        worker,
        from_millis(started_at),
        from_millis(finished_at),
        exit_code,
        signal,
        bool(timed_out),
        error,
    )


def _instant_or_none(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)
