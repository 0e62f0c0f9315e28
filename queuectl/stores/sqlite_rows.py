"""Documents as rows: instants become whole milliseconds, lists become JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from queuectl.domain.job import Job, Run
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import codec

_JSON = (*codec.LIST_FIELDS, "env")
_DATES = tuple(codec.TIME_FIELDS)
_RUN_DATES = ("started_at", "finished_at")

COLUMNS = (
    "seq", "id", "rev", "state", "queue", "priority", "run_at", "attempts", "runs",
    "interruptions", "cancel_requested", "claim_id", "lease_until", "worker", "created_at",
    "updated_at", "started_at", "finished_at", "failed_at", "command", "argv", "max_retries",
    "backoff_base", "backoff_cap", "timeout", "cwd", "env", "labels", "generated_id", "slots",
    "after", "after_any", "after_fail", "unique_key", "clean_env", "environment", "waits_for",
    "held", "has_children", "unswept",
    "exit_code", "signal", "timed_out", "last_error", "duration", "stdout_cut", "stderr_cut",
)  # fmt: skip
"""Every column that a job is read from, but for its output."""

ALL_COLUMNS = (*COLUMNS, *codec.OUTPUT_FIELDS)
_NOT_NEW = {
    "seq", "claim_id", "lease_until", "worker", "started_at", "finished_at", "failed_at",
    *codec.OUTCOME_FIELDS,
}  # fmt: skip
INSERTED = tuple(name for name in (*ALL_COLUMNS, "ready") if name not in _NOT_NEW)
"""The columns of a job that has never run; the others are NULL."""

INSERT_JOB = f"INSERT INTO jobs ({', '.join(INSERTED)}) VALUES ({', '.join('?' * len(INSERTED))})"
COUNT_IN = (
    "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
)
READY_IN = (
    "INSERT INTO lanes (queue, priority, ready) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET ready = ready + excluded.ready"
)
INSERT_RUN = f"INSERT INTO runs VALUES (?, {', '.join('?' * len(codec.RUN_FIELDS))})"
IS_LIVE = "unique_key IS NOT NULL AND state IN ('pending', 'failed', 'processing')"
"""What the index over unique keys covers, as it is written there."""

FORGET_RUNS = (
    "DELETE FROM runs WHERE seq = ?1 AND n <= "
    "(SELECT n FROM runs WHERE seq = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)"
)
MOVED = ", ".join((*ALL_COLUMNS, "ready"))
SELECTED = ", ".join(COLUMNS)
SELECTED_ALL = ", ".join(ALL_COLUMNS)
SELECTED_RUN = ", ".join(codec.RUN_FIELDS)


def dump_json(value: object) -> str:
    """Return a value as JSON; the module is imported here because few commands need it."""
    import json

    return json.dumps(value)


def load_json(text: str) -> Any:
    """Return the value in a JSON text."""
    import json

    return json.loads(text)


def to_row(document: codec.Document) -> codec.Document:
    """Return a document's values as SQLite keeps them."""
    row = dict(document)
    for name in _DATES:
        if row.get(name) is not None:
            row[name] = to_millis(row[name])
    for name in _JSON:
        if name in row:
            row[name] = dump_json(row[name]) if row[name] else None
    return row


def ready_flag(job: Job, now: datetime) -> int | None:
    """Return 1 for a job that may be claimed, 0 for one that waits for its time, else None."""
    if not job.is_free:
        return None
    return int(job.run_at <= now)


def inserted_values(job: Job, now: datetime) -> list[Any]:
    """Return the values for `INSERT_JOB`."""
    row = to_row(codec.job_to_document(job))
    row["ready"] = ready_flag(job, now)
    return [row[name] for name in INSERTED]


def job_from_row(row: Sequence[Any], history: Iterable[Run] = ()) -> Job:
    """Return the job in a row of `COLUMNS`, or of `ALL_COLUMNS`."""
    document = dict(zip(ALL_COLUMNS, row, strict=False))
    for name in _DATES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    for name in _JSON:
        if document[name] is not None:
            document[name] = load_json(document[name])
    return codec.job_from_document(document, history)


def run_values(seq: int, run: Run) -> list[Any]:
    """Return a row of the table `runs`."""
    row = to_row(codec.run_to_document(run))
    return [seq, *(row[name] for name in codec.RUN_FIELDS)]


def run_from_row(row: Sequence[Any]) -> Run:
    """Return the run in a row of `RUN_FIELDS`."""
    document = dict(zip(codec.RUN_FIELDS, row, strict=True))
    for name in _RUN_DATES:
        document[name] = from_millis(document[name])
    return codec.run_from_document(document)
