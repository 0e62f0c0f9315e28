"""Jobs <-> rows: instants are whole milliseconds there, lists are JSON.

Every job passes through here, so nothing is looked up by name: values stand in the order of the
columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from queuectl.domain.job import Claim, Holding, Job, Outcome, Run, State
from queuectl.domain.job_fields import FIELDS, Field, Kind, Spec, command_text
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import serialization
from queuectl.stores.serialization import sound_but_for_fields, sound_fields
from queuectl.stores.sqlite.schema import is_nullable

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished
SPEC = ("command", "argv", *(field.column for field in FIELDS.values()))
COURSE = (
    "rev", "state", "run_at", "attempts", "runs", "interruptions", "cancel_requested",
    "blocked_by", "paused", "has_dependents", "children_pending", "worker", "updated_at",
    "started_at", "finished_at", "failed_at", "delayed", "suspect", "put_back", "put_backs",
    "not_on",
)  # fmt: skip
"""How a job fares: columns that are named as the fields of `Job`."""

CLAIM = ("claim_id", "lease_until")
ALONE = "claim_alone"
"""0 where the worker runs others beside the job, else NULL; written only where that changes."""

OUTCOME = (
    "exit_code", "signal", "timed_out", "last_error", "duration", "stdout_cut", "stderr_cut",
    "cpu_seconds", "peak_memory", "note",
)  # fmt: skip

HOLDING = "holding"
"""What the claim holds of resources, as JSON; written only where a job needs any."""

COLUMNS = ("seq", "id", "created_at", *SPEC, *COURSE, *CLAIM, ALONE, HOLDING, *OUTCOME)
"""Every column that a job is read from, but for its output."""

READY = "(CASE WHEN suspect IS 1 THEN 2 WHEN needs IS NULL THEN 1 ELSE 3 END)"
"""What `ready` is of a job that may be claimed; see `ready_flag`."""

ALL_COLUMNS = (*COLUMNS, *serialization.OUTPUT_FIELDS)
NEW = (
    "created_at", "updated_at", "rev", "state", "run_at", "attempts", "runs", "interruptions",
    "cancel_requested", "blocked_by", "paused", "has_dependents", "children_pending", "delayed",
)  # fmt: skip
"""What is said of a job that has never run, besides its specification; the rest is NULL."""

MINUTE = 60_000
"""Milliseconds; figures are kept by the number of the minute."""

EVENT = (
    "seq", "rev", "job_id", "run", "queue", "outcome", "finished_at", "attempts", "command",
    "started_at", "waited", "duration", "cpu_seconds", "peak_memory",
)  # fmt: skip
REST = ("labels", "exit_code", "signal", "timed_out", "error")
_OF_SUCCESS = [0, None, False, None]
"""What an event of success has in place of `REST`, but for labels: there are none."""

IS_LIVE = "unique_key IS NOT NULL AND state IN ('pending', 'failed', 'processing')"
"""What the index over unique keys covers, as it is written there."""

SELECTED = ", ".join(COLUMNS)
SELECTED_ALL = ", ".join(ALL_COLUMNS)
SELECTED_RUN = ", ".join(serialization.RUN_FIELDS)

_STATES = {state.value: state for state in State}
_FIELDS_START = 5
_FIELDS_END = 3 + len(SPEC)
"""Where in a row the columns of the specification end; what comes before `FIELDS` is each job's."""

_latest_fields: tuple[Sequence[Any], Sequence[Any]] = ((), ())


def dump_json(value: object) -> str:
    """Return a value as JSON; the module is imported here because few commands need it."""
    import json

    return json.dumps(value)


def load_json(text: str) -> Any:
    """Return the value in a JSON text."""
    import json

    return json.loads(text)


def job_from_row(row: Sequence[Any], history: Iterable[Run] = ()) -> Job:
    """Return the job in a row of `COLUMNS`, or of `ALL_COLUMNS`.

    Raises one of `serialization.UNREADABLE` for a row that holds none.
    """
    seq, job_id, created_at, command, argv = row[:_FIELDS_START]
    (
        rev, state, run_at, attempts, runs, interruptions, cancel_requested,
        blocked_by, paused, has_dependents, children_pending, worker, updated_at, started_at,
        finished_at, failed_at, delayed, suspect, put_back, put_backs, not_on,
        claim_id, lease_until, alone, holding,
        exit_code, signal, timed_out, error, duration, stdout_cut, stderr_cut,
        cpu_seconds, peak_memory, note, *output,
    ) = row[_FIELDS_END:]  # fmt: skip
    fields = _fields_in(row[_FIELDS_START:_FIELDS_END])
    spec = Spec(job_id, command if argv is None else tuple(load_json(argv)), *fields)
    outcome = None
    if duration is not None:
        stdout, stderr, result = output or ("", "", None)
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
            cpu_seconds=cpu_seconds,
            peak_memory=peak_memory,
            result=result,
            note=note,
        )
    job = Job(
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
        _listed(blocked_by),
        bool(paused),
        bool(has_dependents),
        bool(children_pending),
        _claim(claim_id, worker, lease_until, alone, holding) if claim_id else None,
        worker,
        _instant_or_none(started_at),
        _instant_or_none(finished_at),
        _instant_or_none(failed_at),
        outcome,
        tuple(history),
        bool(delayed),
        bool(suspect),
        put_back,
        put_backs or 0,
        _listed(not_on),
    )
    return sound_but_for_fields(job)


def _fields_in(columns: Sequence[Any]) -> Sequence[Any]:
    """Return the values of `FIELDS` in their columns, once they have been looked at."""
    global _latest_fields
    before, fields = _latest_fields  # of another job: neighbours are alike, so it is a short cut
    if columns != before:
        fields = list(columns)
        for place, read, nothing in _READ:
            value = fields[place]
            fields[place] = read(value) if value else nothing
        sound_fields(Spec("", "", *fields))
        _latest_fields = columns, fields
    return fields


def _claim(
    claim_id: str, worker: str, lease_until: int, alone: int | None, holding: str | None
) -> Claim:
    until = from_millis(lease_until)
    return Claim(
        claim_id, worker, until, alone != 0, holding_from_text(holding) if holding else None
    )


def holding_from_text(text: str) -> Holding:
    """Return what a claim holds of resources, of the JSON that is kept."""
    host, units = load_json(text)
    return Holding(host, tuple((name, held) for name, held in units))


def holding_text(holding: Holding | None) -> str | None:
    """Return what a claim holds of resources as JSON."""
    return dump_json([holding.host, holding.units]) if holding else None


def run_from_row(row: Sequence[Any]) -> Run:
    """Return the run in a row of `RUN_FIELDS`."""
    (
        n, claim_id, worker, started_at, finished_at, exit_code, signal, timed_out, error, *used,
    ) = row  # fmt: skip
    times = from_millis(started_at), from_millis(finished_at)
    return Run(n, claim_id, worker, *times, exit_code, signal, bool(timed_out), error, *used)


def event_from_row(row: Sequence[Any]) -> RunFinished:
    """Return the event in a row of `EVENT` and `rest`; one of success has no more to say."""
    from queuectl.domain.events import RUN_RESULT_BY_NAME, RunFinished

    (
        seq, rev, job_id, run, queue, outcome, finished_at, attempts, command,
        started_at, waited, duration, cpu_seconds, peak_memory, rest,
    ) = row  # fmt: skip
    if rest:
        more = load_json(rest)
        labels, others = tuple(more["labels"]), [more[name] for name in REST[1:]]
    else:
        labels, others = (), _OF_SUCCESS
    began = _instant_or_none(started_at)
    which = seq, rev, job_id, run, queue, RUN_RESULT_BY_NAME[outcome], from_millis(finished_at)
    others = [*others, cpu_seconds, peak_memory]
    return RunFinished(*which, attempts, command, labels, began, waited, duration, *others)


def _instant_or_none(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(load_json(text)) if text else ()


def pairs_from_text(text: str | None) -> tuple[tuple[str, str], ...]:
    """Return the pairs in a JSON text."""
    return tuple((name, value) for name, value in load_json(text)) if text else ()


def _reader_of(field: Field) -> Callable[[Any], Any] | None:
    """Return what turns the value in a column into that of a field, where they differ."""
    if field.kind is Kind.TEXT and is_nullable(field):
        return lambda text: field.default if text is None else text
    readers: dict[Kind, Callable[[Any], Any]] = {
        Kind.WORDS: _listed, Kind.PAIRS: pairs_from_text, Kind.FLAG: bool,
    }  # fmt: skip
    return readers.get(field.kind)


_READ = [
    (place, read, read(None))
    for place, field in enumerate(FIELDS.values())
    if (read := _reader_of(field))
]
"""Which values are turned, by what, and into what where there is none, as of nearly all jobs."""


# the way in

USUAL: dict[str, object] = {
    "delayed": False,
    **{
        field.column: field.default
        for field in FIELDS.values()
        if is_nullable(field) and field.default is not None
    },
}
"""The columns that are NULL for nearly all jobs, and what that means."""

_USUAL_OF_FIELDS = [USUAL.get(field.column) for field in FIELDS.values()]

course_of = attrgetter(*COURSE)
_fields_of = attrgetter(*FIELDS)


def ready_flag(job: Job, now: datetime) -> int | None:
    """Return 1 for a job that may be claimed, 0 for one that waits for its time.

    2 is for a suspect, 3 for another that needs resources; None is for one that may not.
    """
    if not job.is_free:
        return None
    if job.spec.needs and not job.suspect:
        return 3 * job.is_due(now)
    return int(job.is_due(now)) << job.suspect


def none_if_usual(value: object, usual: object) -> object:
    """Return a value as its column has it, where NULL is the usual one."""
    return None if value == usual else value


def stored(value: object) -> Any:
    """Return one of the values in `COURSE` as SQLite keeps it."""
    convert = _CONVERSIONS.get(type(value))
    return value if convert is None else convert(value)


def spec_values(spec: Spec) -> list[object]:
    """Return the values for the columns in `SPEC`."""
    command = spec.command
    is_line = isinstance(command, str)
    return [
        command if is_line else command_text(command),
        None if is_line else dump_json(command),
        *[
            stored(none_if_usual(value, usual))
            for value, usual in zip(_fields_of(spec), _USUAL_OF_FIELDS, strict=True)
        ],
    ]


def outcome_values(outcome: Outcome | None) -> list[object]:
    """Return the values for the columns in `OUTCOME` and `serialization.OUTPUT_FIELDS`."""
    if outcome is None:
        return [None] * (len(OUTCOME) + len(serialization.OUTPUT_FIELDS))
    return [
        outcome.exit_code,
        outcome.signal,
        int(outcome.timed_out),
        outcome.error,
        outcome.duration,
        outcome.stdout_cut,
        outcome.stderr_cut,
        outcome.cpu_seconds,
        outcome.peak_memory,
        outcome.note,
        outcome.stdout,
        outcome.stderr,
        outcome.result,
    ]


def _list_or_none(members: tuple[object, ...]) -> str | None:
    return dump_json(members) if members else None


_CONVERSIONS: dict[type, Callable[[Any], object]] = {
    datetime: to_millis,
    State: {state: state.value for state in State}.__getitem__,
    tuple: _list_or_none,
    bool: int,
}
"""How values of other types than SQLite's own are kept."""
