"""Rows as jobs: instants are whole milliseconds there, lists are JSON.

Every job passes through here, so nothing is looked up by name: values stand in the order of the
columns. `row_values` has the way in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from queuectl.domain.job import Claim, Job, Outcome, Run, State
from queuectl.domain.job_fields import FIELDS, Field, Kind, Spec
from queuectl.domain.times import from_millis
from queuectl.stores import serialization
from queuectl.stores.serialization import sound
from queuectl.stores.sqlite.schema import is_nullable

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished

SPEC = ("command", "argv", *(field.column for field in FIELDS.values()))
COURSE = (
    "rev", "state", "run_at", "attempts", "runs", "interruptions", "cancel_requested",
    "blocked_by", "paused", "has_dependents", "children_pending", "worker", "updated_at",
    "started_at", "finished_at", "failed_at", "delayed",
)  # fmt: skip
"""How a job fares: columns that are named as the fields of `Job`."""

CLAIM = ("claim_id", "lease_until")
OUTCOME = (
    "exit_code", "signal", "timed_out", "last_error", "duration", "stdout_cut", "stderr_cut",
)  # fmt: skip

COLUMNS = ("seq", "id", "created_at", *SPEC, *COURSE, *CLAIM, *OUTCOME)
"""Every column that a job is read from, but for its output."""

ALL_COLUMNS = (*COLUMNS, *serialization.OUTPUT_FIELDS)
NEW = (
    "created_at", "updated_at", "rev", "state", "run_at", "attempts", "runs", "interruptions",
    "cancel_requested", "blocked_by", "paused", "has_dependents", "children_pending", "delayed",
)  # fmt: skip
"""What is said of a job that has never run, besides its specification; the rest is NULL."""

MINUTE = 60_000
"""Milliseconds; figures are kept by the number of the minute."""

COUNT_IN = (
    "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
)
ARRIVED = (
    "INSERT INTO arrivals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
)
READY_IN = (
    "INSERT INTO queue_priority_counters (queue, priority, ready) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET ready = ready + excluded.ready"
)
EVENT = (
    "seq", "rev", "job_id", "run", "queue", "outcome", "finished_at", "attempts", "command",
    "started_at", "waited", "duration",
)  # fmt: skip
REST = ("labels", "exit_code", "signal", "timed_out", "error")
BLOCKED_IN = (
    "INSERT OR IGNORE INTO blockers "
    "SELECT value, seq FROM jobs, json_each(blocked_by) WHERE jobs.id = ?"
)
IS_LIVE = "unique_key IS NOT NULL AND state IN ('pending', 'failed', 'processing')"
"""What the index over unique keys covers, as it is written there."""

FORGET_RUNS = (
    "DELETE FROM runs WHERE seq = ?1 AND n <= "
    "(SELECT n FROM runs WHERE seq = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)"
)
SELECTED = ", ".join(COLUMNS)
SELECTED_ALL = ", ".join(ALL_COLUMNS)
SELECTED_RUN = ", ".join(serialization.RUN_FIELDS)

_STATES = {state.value: state for state in State}
_ASKED_END = 3 + len(SPEC)
"""Where in a row the columns of the specification end."""


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
    seq, job_id, created_at, command, argv, *asked = row[:_ASKED_END]
    (
        rev, state, run_at, attempts, runs, interruptions, cancel_requested,
        blocked_by, paused, has_dependents, children_pending, worker, updated_at, started_at,
        finished_at, failed_at, delayed,
        claim_id, lease_until,
        exit_code, signal, timed_out, error, duration, stdout_cut, stderr_cut, *output,
    ) = row[_ASKED_END:]  # fmt: skip
    for place, read in _READ:
        asked[place] = read(asked[place])
    spec = Spec(job_id, command if argv is None else tuple(load_json(argv)), *asked)
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
        Claim(claim_id, worker, from_millis(lease_until)) if claim_id else None,
        worker,
        _instant_or_none(started_at),
        _instant_or_none(finished_at),
        _instant_or_none(failed_at),
        outcome,
        tuple(history),
        bool(delayed),
    )
    return sound(job)


def run_from_row(row: Sequence[Any]) -> Run:
    """Return the run in a row of `RUN_FIELDS`."""
    (
        n, claim_id, worker, started_at, finished_at, exit_code, signal, timed_out, error, duration,
    ) = row  # fmt: skip
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
        duration,
    )


def event_from_row(row: Sequence[Any]) -> RunFinished:
    """Return the event in a row of `EVENT` and `rest`; one of success has no more to say."""
    from queuectl.domain.events import RUN_RESULT_BY_NAME, RunFinished

    (
        seq, rev, job_id, run, queue, outcome, finished_at, attempts, command,
        started_at, waited, duration, rest,
    ) = row  # fmt: skip
    if rest:
        more = load_json(rest)
        labels, others = tuple(more["labels"]), [more[name] for name in REST[1:]]
    else:
        labels, others = (), [0]
    return RunFinished(
        seq,
        rev,
        job_id,
        run,
        queue,
        RUN_RESULT_BY_NAME[outcome],
        from_millis(finished_at),
        attempts,
        command,
        labels,
        None if started_at is None else from_millis(started_at),
        waited,
        duration,
        *others,
    )


def _instant_or_none(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(load_json(text)) if text else ()


def _pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in load_json(text)) if text else ()


def _reader_of(field: Field) -> Callable[[Any], Any] | None:
    """Return what turns the value in a column into that of a field, where they differ."""
    if field.kind is Kind.TEXT and is_nullable(field):
        return lambda text: field.default if text is None else text
    readers: dict[Kind, Callable[[Any], Any]] = {
        Kind.WORDS: _listed, Kind.PAIRS: _pairs, Kind.FLAG: bool,
    }  # fmt: skip
    return readers.get(field.kind)


_READ = [
    (place, read) for place, field in enumerate(FIELDS.values()) if (read := _reader_of(field))
]
