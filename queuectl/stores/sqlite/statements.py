"""Rows to be inserted, many with one statement: new jobs, histories, and what has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain, groupby, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Run
from queuectl.domain.job_fields import FIELDS, command_text
from queuectl.domain.times import to_millis
from queuectl.stores import serialization
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.rows import none_if_usual, ready_flag, stored

if TYPE_CHECKING:
    from queuectl.domain.alike import AlikeJobs
    from queuectl.domain.events import RunFinished

Statement = tuple[str, list[object]]
"""SQL, and the values for it."""

ROWS_AT_ONCE = 100
"""A statement for that many rows costs SQLite half of what it costs to run one as often."""

_PLAIN = {str, int, float, type(None)}
"""The types that SQLite keeps as they are."""

_READINESS = ("state", "run_at", "blocked_by", "paused")
"""What decides whether a job is ready."""

_WHOLE = (
    "seq", "id", "created_at", "ready", *rows.SPEC, *rows.COURSE, *rows.CLAIM, rows.ALONE,
    *rows.OUTCOME, *serialization.OUTPUT_FIELDS,
)  # fmt: skip
_RUN = ("seq", *serialization.RUN_FIELDS)
_beginning_of = attrgetter(*rows.NEW)
_fields_of = attrgetter("id", "command", "command", *FIELDS)  # `argv` has the command too


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
        list(_inserts_of_new(shared, varied)),
        Counter(zip(each("queue"), each("state"), strict=True)),
        Counter(
            {
                (queue, rank): number
                for (queue, rank, ready), number in ready_counts.items()
                if ready == 1
            }
        ),
    )


def alike_rows(jobs: AlikeJobs, own: str, now: datetime) -> NewRows:
    """Return the rows of jobs that are alike but for ids and commands.

    These are in `own`, a JSON object of each job's id and command in the order of arrival. Where
    an id is taken the whole transaction is rolled back. What all have in common is bound once, and
    SQLite reads rows out of JSON in half of the time that a statement with as many takes.
    """
    model = jobs.model
    shared = {
        name: stored(column[0])
        for name, column in _columns([model]).items()
        if name not in ("id", "command")
    }
    shared["ready"] = ready_flag(model, now)
    common = {name: value for name, value in shared.items() if value is not None}
    queue, state, priority = shared["queue"], shared["state"], shared["priority"]
    return NewRows(
        [(_insert_alike(tuple(common)), [own, *common.values()])],
        Counter({(queue, state): len(jobs)}),
        Counter({(queue, priority): len(jobs)} if shared["ready"] else {}),
    )


@lru_cache(maxsize=8)
def _insert_alike(common: tuple[str, ...]) -> str:
    marks = ", ".join(f"?{n}" for n in range(2, len(common) + 2))
    return (
        f"INSERT OR ROLLBACK INTO jobs (id, command, {', '.join(common)}) "
        f"SELECT key, value, {marks} FROM json_each(?1)"
    )


def _columns(jobs: Sequence[Job]) -> dict[str, Sequence[Any]]:
    """Return every column of new jobs that may be other than NULL."""
    specs = [job.spec for job in jobs]
    columns: dict[str, Sequence[Any]] = {
        **dict(zip(rows.NEW, zip(*map(_beginning_of, jobs), strict=True), strict=True)),
        **dict(zip(("id", *rows.SPEC), zip(*map(_fields_of, specs), strict=True), strict=True)),
    }
    commands = columns["command"]
    if set(map(type, commands)) == {str}:
        columns["argv"] = [None]
    else:
        columns["command"] = [command_text(command) for command in commands]
        columns["argv"] = [None if isinstance(each, str) else each for each in commands]
    for name, usual in rows.USUAL.items():
        values = columns[name]
        is_usual = values.count(usual) == len(values)
        columns[name] = [None] if is_usual else [none_if_usual(value, usual) for value in values]
    return columns


def _inserts_of_new(
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
        *rows.spec_values(job.spec),
        *map(stored, rows.course_of(job)),
        *((claim.id, to_millis(claim.lease_until)) if claim else (None, None)),
        None if claim is None or claim.alone else 0,
        *rows.outcome_values(job.outcome),
    ]
    return insert_into("jobs", _WHOLE, nulls_of(values)), without_nulls(values)


def inserts_of_runs(runs: Iterable[tuple[int, Run]]) -> Iterator[Statement]:
    """Yield the statements that add runs to the history of jobs, each with the job's `seq`."""
    return _inserts_into(
        "runs",
        _RUN,
        (
            [
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
                run.duration,
            ]
            for seq, run in runs
        ),
    )


def inserts_of_events(events: Iterable[RunFinished]) -> Iterator[Statement]:
    """Yield the statements that keep events until they are processed."""
    return _inserts_into("events", (*rows.EVENT, "rest"), map(_event_values, events))


def _event_values(event: RunFinished) -> list[object]:
    started_at = event.started_at
    is_plain = event.exit_code == 0 and not (event.error or event.labels or event.timed_out)
    rest = "" if is_plain else rows.dump_json({name: getattr(event, name) for name in rows.REST})
    return [
        event.seq,
        event.rev,
        event.job_id,
        event.run,
        event.queue,
        event.outcome.value,
        to_millis(event.finished_at),
        event.attempts,
        event.command,
        None if started_at is None else to_millis(started_at),
        event.waited,
        event.duration,
        rest,
    ]


def _inserts_into(
    table: str, names: tuple[str, ...], found: Iterable[list[object]]
) -> Iterator[Statement]:
    """Yield the statements that insert rows in their order, as many with each as are alike."""
    for nulls, alike in groupby(found, nulls_of):
        some = list(map(without_nulls, alike))
        for start in range(0, len(some), ROWS_AT_ONCE):
            part = some[start : start + ROWS_AT_ONCE]
            yield insert_into(table, names, nulls, len(part)), [*chain.from_iterable(part)]


@cache
def insert_into(table: str, names: tuple[str, ...], nulls: bytes, number: int = 1) -> str:
    """Return the statement for a number of rows whose nulls are in the same places."""
    present = [name for name, is_null in zip(names, nulls, strict=True) if not is_null]
    row = f"({', '.join('?' * len(present))})"
    return f"INSERT INTO {table} ({', '.join(present)}) VALUES {', '.join([row] * number)}"


# A NULL is spelled out, as Python's module takes a microsecond to find out that None means it:
# it looks for an adapter of everything that is not exactly a number or a string.


def nulls_of(values: Iterable[object]) -> bytes:
    """Return where values are None, a byte for each."""
    return bytes([value is None for value in values])


def without_nulls(values: Iterable[object]) -> list[object]:
    """Return the values that are not None: those that a statement is given."""
    return [value for value in values if value is not None]
