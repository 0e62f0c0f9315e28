"""Jobs as rows: the statements that insert them, and the values of their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.job_fields import FIELDS, Spec, command_text
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.insert_statements import (
    ROWS_AT_ONCE,
    Statement,
    insert_into,
    nulls_of,
    without_nulls,
)
from queuectl.stores.sqlite.schema import is_nullable

_PLAIN = {str, int, float, type(None)}
"""The types that SQLite keeps as they are."""

_USUAL: dict[str, object] = {
    "delayed": False,
    **{
        field.column: field.default
        for field in FIELDS.values()
        if is_nullable(field) and field.default is not None
    },
}
"""The columns that are NULL for nearly all jobs, and what that means."""

_USUAL_ASKED = [_USUAL.get(field.column) for field in FIELDS.values()]

_READINESS = ("state", "run_at", "blocked_by", "paused")
"""What decides whether a job is ready."""


_WHOLE = (
    "seq", "id", "created_at", "ready", *rows.SPEC, *rows.COURSE, *rows.CLAIM, *rows.OUTCOME,
    *serialization.OUTPUT_FIELDS,
)  # fmt: skip
course_of = attrgetter(*rows.COURSE)
_beginning_of = attrgetter(*rows.NEW)
_asked_of = attrgetter(*FIELDS)
_new_asked_of = attrgetter("id", "command", "command", *FIELDS)  # `argv` has the command too


def ready_flag(job: Job, now: datetime) -> int | None:
    """Return 1 for a job that may be claimed, 0 for one that waits for its time, else None."""
    if not job.is_free:
        return None
    return int(job.is_due(now))


@frozen
class NewRows:
    """New jobs on their way in: statements with their values, and how many are where.

    `states` counts them by queue and state, `ready_counts` those that are ready by queue and
    priority.
    """

    inserts: list[Statement]
    states: Counter[tuple[object, ...]]
    ready_counts: Counter[tuple[object, ...]]


def new_rows(jobs: Sequence[Job], now: datetime) -> NewRows:
    """Return the rows of one job or more that have never run.

    The jobs of a batch are alike in most columns. So each is looked at as a whole: what all jobs
    share is bound once for many rows.
    """
    shared: dict[str, object] = {}
    varied: dict[str, Sequence[object]] = {}
    for name, column in _columns(jobs).items():
        if column.count(column[0]) == len(column):
            shared[name] = stored(column[0])
        else:
            is_plain = set(map(type, column)) <= _PLAIN
            varied[name] = column if is_plain else [stored(value) for value in column]
    if varied.keys().isdisjoint(_READINESS):
        shared["ready"] = ready_flag(jobs[0], now)
    else:
        varied["ready"] = [ready_flag(job, now) for job in jobs]

    def each(name: str) -> Iterable[object]:
        return varied[name] if name in varied else repeat(shared[name], len(jobs))

    ready_counts = Counter(zip(each("queue"), each("priority"), each("ready"), strict=True))
    return NewRows(
        list(_inserts(shared, varied)),
        Counter(zip(each("queue"), each("state"), strict=True)),
        Counter(
            {
                (queue, rank): number
                for (queue, rank, ready), number in ready_counts.items()
                if ready
            }
        ),
    )


def _columns(jobs: Sequence[Job]) -> dict[str, Sequence[Any]]:
    """Return every column of new jobs that may be other than NULL."""
    specs = [job.spec for job in jobs]
    columns: dict[str, Sequence[Any]] = {
        **dict(zip(rows.NEW, zip(*map(_beginning_of, jobs), strict=True), strict=True)),
        **dict(zip(("id", *rows.SPEC), zip(*map(_new_asked_of, specs), strict=True), strict=True)),
    }
    commands = columns["command"]
    if set(map(type, commands)) == {str}:
        columns["argv"] = [None]
    else:
        columns["command"] = [command_text(command) for command in commands]
        columns["argv"] = [None if isinstance(each, str) else each for each in commands]
    for name, usual in _USUAL.items():
        values = columns[name]
        is_usual = values.count(usual) == len(values)
        columns[name] = [None] if is_usual else [_or_none(value, usual) for value in values]
    return columns


def _or_none(value: object, usual: object) -> object:
    """Return a value as its column has it, where NULL is the usual one."""
    return None if value == usual else value


def _inserts(
    shared: Mapping[str, object], varied: Mapping[str, Sequence[object]]
) -> Iterator[Statement]:
    """Yield the statements that insert rows, many with each, in the order of the rows."""
    common = {name: value for name, value in shared.items() if value is not None}
    values = list(zip(*varied.values(), strict=True)) or [()]  # one job varies in nothing
    for start in range(0, len(values), ROWS_AT_ONCE):
        some = values[start : start + ROWS_AT_ONCE]
        statement = _insert_many(tuple(common), tuple(varied), len(some))
        yield statement, [*common.values(), *chain.from_iterable(some)]


@lru_cache(maxsize=64)
def _insert_many(common: tuple[str, ...], varied: tuple[str, ...], number: int) -> str:
    marks = [*(f"?{n}" for n in range(1, len(common) + 1)), *("?" for _ in varied)]
    row = f"({', '.join(marks)})"
    names = ", ".join((*common, *varied))
    return f"INSERT INTO jobs ({names}) VALUES {', '.join([row] * number)}"


def insert_of_whole(job: Job, now: datetime, *, keep_number: bool) -> Statement:
    """Return the statement that inserts a job with all it has been through, and the values."""
    claim = job.claim
    values = [
        job.seq if keep_number else None,
        job.spec.id,
        to_millis(job.created_at),
        ready_flag(job, now),
        *spec_values(job.spec),
        *map(stored, course_of(job)),
        *((claim.id, to_millis(claim.lease_until)) if claim else (None, None)),
        *outcome_values(job.outcome),
    ]
    return insert_into("jobs", _WHOLE, nulls_of(values)), without_nulls(values)


def stored(value: object) -> Any:
    """Return one of the values in `rows.COURSE` as SQLite keeps it."""
    convert = _CONVERSIONS.get(type(value))
    return value if convert is None else convert(value)


def spec_values(spec: Spec) -> list[object]:
    """Return the values for the columns in `rows.SPEC`."""
    command = spec.command
    is_line = isinstance(command, str)
    return [
        command if is_line else command_text(command),
        None if is_line else rows.dump_json(command),
        *[
            stored(_or_none(value, usual))
            for value, usual in zip(_asked_of(spec), _USUAL_ASKED, strict=True)
        ],
    ]


def outcome_values(outcome: Outcome | None) -> list[object]:
    """Return the values for the columns in `rows.OUTCOME` and `serialization.OUTPUT_FIELDS`."""
    if outcome is None:
        return [None] * (len(rows.OUTCOME) + len(serialization.OUTPUT_FIELDS))
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


def _list_or_none(members: tuple[object, ...]) -> str | None:
    return rows.dump_json(members) if members else None


_CONVERSIONS: dict[type, Callable[[Any], object]] = {
    datetime: to_millis,
    State: {state: state.value for state in State}.__getitem__,
    tuple: _list_or_none,
    bool: int,
}
"""How values of other types than SQLite's own are kept."""
