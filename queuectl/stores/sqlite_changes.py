"""Changes of jobs as statements: what is inserted and updated, and with which values.

Every job passes through here twice, so values stand in the order of the columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

from queuectl.domain.job import Job, Outcome, Run, Spec, State, command_text
from queuectl.domain.times import to_millis
from queuectl.domain.transitions import MARKS, Fence, Transition
from queuectl.domain.values import frozen
from queuectl.stores import codec
from queuectl.stores import sqlite_rows as rows

_RUN = ("seq", *codec.RUN_FIELDS)
_WHOLE = (
    "seq", "id", "created_at", "ready", *rows.SPEC, *rows.COURSE, *rows.CLAIM, *rows.OUTCOME,
    *codec.OUTPUT_FIELDS,
)  # fmt: skip
_course_of, _marks_of = attrgetter(*rows.COURSE), attrgetter(*MARKS)


def ready_flag(job: Job, now: datetime) -> int | None:
    """Return 1 for a job that may be claimed, 0 for one that waits for its time, else None."""
    if not job.is_free:
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
        zip(
            rows.INSERTED,
            zip(*[_inserted_values(job, now) for job in jobs], strict=True),
            strict=True,
        )
    )
    nulls = bytes([column.count(None) == len(column) for column in by_name.values()])
    given = [column for column, is_null in zip(by_name.values(), nulls, strict=True) if not is_null]
    queues = by_name["queue"]
    lanes = Counter(zip(queues, by_name["priority"], by_name["ready"], strict=True))
    return NewRows(
        _insert("jobs", rows.INSERTED, nulls),
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
        _list_or_none(job.waits_for),
        int(job.held),
        int(job.has_children),
        int(job.unswept),
        *_spec_values(job.spec),
    ]


def insert_of_whole(job: Job, now: datetime, *, keep_number: bool) -> tuple[str, list[object]]:
    """Return the statement that inserts a job with all it has been through, and the values."""
    claim = job.claim
    values = [
        job.seq if keep_number else None,
        job.spec.id,
        to_millis(job.created_at),
        ready_flag(job, now),
        *_spec_values(job.spec),
        *map(_stored, _course_of(job)),
        *((claim.id, to_millis(claim.lease_until)) if claim else (None, None)),
        *_outcome_values(job.outcome),
    ]
    return _insert("jobs", _WHOLE, _nulls(values)), _without_nulls(values)


def update_of(change: Transition, after: Job, now: datetime) -> tuple[str, list[object]]:
    """Return the statement that writes a change under its fence, and the values for it.

    Only what is another is written: others mark a job and renew its lease without touching
    `rev`. An outcome is written whole, as it may have been read without its output.
    """
    before = change.before
    names = ["ready"]
    values: list[object] = [ready_flag(after, now)]
    for name, old, new in zip(rows.COURSE, _course_of(before), _course_of(after), strict=True):
        if new is not old and new != old:
            names.append(name)
            values.append(_stored(new))
    if after.claim is not before.claim:
        claim = after.claim
        names += rows.CLAIM
        values += (claim.id, to_millis(claim.lease_until)) if claim else (None, None)
    if after.outcome is not before.outcome:
        names += (*rows.OUTCOME, *codec.OUTPUT_FIELDS)
        values += _outcome_values(after.outcome)
    if after.spec is not before.spec:
        names += rows.SPEC
        values += _spec_values(after.spec)
    statement = _update(tuple(names), _nulls(values), change.fence)
    return statement, [*_without_nulls(values), before.seq, *fence_values(change)]


def _stored(value: object) -> Any:
    """Return one of the values in `rows.COURSE` as SQLite keeps it."""
    if isinstance(value, datetime):
        return to_millis(value)
    if isinstance(value, State):
        return value.value
    if isinstance(value, tuple):
        return _list_or_none(value)
    return int(value) if isinstance(value, bool) else value


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


_OWN = " AND ".join(f"{name} = ?" for name in ("claim_id", *MARKS))
FENCES = {
    Fence.REV: "rev = ?",
    Fence.CLAIM: _OWN,
    Fence.LEASE: f"{_OWN} AND lease_until = ?",
}
"""The condition under which a transition may be applied."""


def fence_values(change: Transition) -> list[object]:
    """Return the values for the condition in `FENCES`."""
    before = change.before
    if change.fence is Fence.REV:
        return [before.rev]
    assert before.claim is not None
    values = [before.claim.id, *map(int, _marks_of(before))]
    if change.fence is Fence.LEASE:
        values.append(to_millis(before.claim.lease_until))
    return values


def _spec_values(spec: Spec) -> list[object]:
    command = spec.command
    is_line = isinstance(command, str)
    return [
        spec.queue,
        spec.priority,
        command if is_line else command_text(command),
        None if is_line else rows.dump_json(command),
        spec.max_retries,
        spec.backoff_base,
        spec.backoff_cap,
        spec.timeout,
        spec.cwd,
        _list_or_none(spec.env),
        _list_or_none(spec.labels),
        int(spec.generated_id),
        spec.slots,
        _list_or_none(spec.after),
        _list_or_none(spec.after_any),
        _list_or_none(spec.after_fail),
        spec.unique,
        int(spec.clean_env),
        spec.environment,
    ]


def _outcome_values(outcome: Outcome | None) -> list[object]:
    if outcome is None:
        return [None] * (len(rows.OUTCOME) + len(codec.OUTPUT_FIELDS))
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


def _list_or_none(members: tuple[object, ...]) -> str | None:
    return rows.dump_json(members) if members else None
