"""Rows to be inserted, many with one statement: new jobs, histories, and what has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, repeat
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

_READINESS = ("state", "run_at", "blocked_by", "paused", "needs")
"""What decides whether a job is ready."""

_WHOLE = (
    "seq", "id", "created_at", "ready", *rows.SPEC, *rows.COURSE, *rows.CLAIM, rows.ALONE,
    rows.HOLDING, *rows.OUTCOME, *serialization.OUTPUT_FIELDS,
)  # fmt: skip
_RUN = ("seq", *serialization.RUN_FIELDS)
_beginning_of = attrgetter(*rows.NEW)
_run_of = attrgetter(*serialization.RUN_FIELDS)
_event_of = attrgetter(*rows.EVENT)
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
    shared, varied = shared_and_varied(_columns(jobs))
    if varied.keys().isdisjoint(_READINESS):
        shared["ready"] = ready_flag(jobs[0], now)
    else:
        varied["ready"] = [ready_flag(job, now) for job in jobs]

    def each(name: str) -> Iterable[object]:
        return varied[name] if name in varied else repeat(shared[name], len(jobs))

    ready_counts = Counter(zip(each("queue"), each("priority"), each("ready"), strict=True))
    return NewRows(
        list(_inserts("jobs", shared, varied)),
        Counter(zip(each("queue"), each("state"), strict=True)),
        Counter(
            {
                (queue, rank): number
                for (queue, rank, ready), number in ready_counts.items()
                if ready == 1
            }
        ),
    )


def shared_and_varied(
    columns: Mapping[str, Sequence[object]],
) -> tuple[dict[str, object], dict[str, Sequence[object]]]:
    """Divide columns of values: what all rows share, and what differs; as SQLite keeps it.

    What is shared is bound once for many rows.
    """
    shared: dict[str, object] = {}
    varied: dict[str, Sequence[object]] = {}
    for name, column in columns.items():
        if column.count(column[0]) == len(column):
            shared[name] = stored(column[0])
        else:
            is_plain = set(map(type, column)) <= _PLAIN
            varied[name] = column if is_plain else [stored(value) for value in column]
    return shared, varied


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
        Counter({(queue, priority): len(jobs)} if shared["ready"] == 1 else {}),
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


def _inserts(
    table: str, shared: Mapping[str, object], varied: Mapping[str, Sequence[object]]
) -> Iterator[Statement]:
    """Yield the statements that insert rows, many with each, in the order of the rows.

    A NULL that all share is left out: Python's module takes a microsecond to find out that None
    means it, as it looks for an adapter of what is not exactly a number or a string.
    """
    common = {name: value for name, value in shared.items() if value is not None}
    values = list(zip(*varied.values(), strict=True)) or [()]  # one row varies in nothing
    for start in range(0, len(values), ROWS_AT_ONCE):
        some = values[start : start + ROWS_AT_ONCE]
        statement = _insert_many(table, tuple(common), tuple(varied), len(some))
        yield statement, [*common.values(), *chain.from_iterable(some)]


@lru_cache(maxsize=256)
def _insert_many(table: str, common: tuple[str, ...], varied: tuple[str, ...], number: int) -> str:
    marks = [*(f"?{n}" for n in range(1, len(common) + 1)), *("?" for _ in varied)]
    row = f"({', '.join(marks)})"
    names = ", ".join((*common, *varied))
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * number)}"


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
        rows.holding_text(claim.holding) if claim else None,
        *rows.outcome_values(job.outcome),
    ]
    (statement,) = _inserts("jobs", dict(zip(_WHOLE, values, strict=True)), {})
    return statement


def inserts_of_runs(runs: Sequence[tuple[int, Run]]) -> Iterator[Statement]:
    """Yield the statements that add runs to the history of jobs, each with the job's `seq`."""
    if not runs:
        return iter(())
    values = ((seq, *_run_of(run)) for seq, run in runs)
    columns = dict(zip(_RUN, zip(*values, strict=True), strict=True))
    return _inserts("runs", *shared_and_varied(columns))


def inserts_of_events(events: Sequence[RunFinished]) -> Iterator[Statement]:
    """Yield the statements that keep events until they are processed."""
    if not events:
        return iter(())
    columns: dict[str, Sequence[Any]] = dict(
        zip(rows.EVENT, zip(*map(_event_of, events), strict=True), strict=True)
    )
    columns["outcome"] = [event.outcome.value for event in events]
    columns["rest"] = list(map(_rest_of, events))
    return _inserts("events", *shared_and_varied(columns))


def _rest_of(event: RunFinished) -> str:
    """Return as JSON what an event of success has no more to say of; empty for such a one."""
    is_plain = event.exit_code == 0 and not (event.error or event.labels or event.timed_out)
    return "" if is_plain else rows.dump_json({name: getattr(event, name) for name in rows.REST})
