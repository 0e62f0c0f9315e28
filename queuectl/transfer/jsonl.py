"""A job, or a schedule, as one line of JSON with all that a store knows of it, and back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import check_text
from queuectl.domain.job import SETTLED, Job, Run, State
from queuectl.domain.job_fields import ASKED, FIELDS, Field, Kind, Spec
from queuectl.domain.request import build_request
from queuectl.domain.schedule import (
    MISSED,
    OVERLAPPED,
    Schedule,
    as_dict,
    check_schedule_name,
    refuse_own_fields,
)
from queuectl.domain.settings import Settings
from queuectl.domain.times import iso
from queuectl.domain.views import MASK, looks_secret
from queuectl.stores import records, serialization
from queuectl.system.cron import Cron
from queuectl.transfer.format import Taker, parse_instant, refuse_unknown

_RUN_TIMES = ("started_at", "finished_at")
_FRACTIONS = (
    *(field.column for field in FIELDS.values() if field.kind is Kind.NUMBER), "duration",
)  # fmt: skip
_SPEC = ("id", "command", "argv", *(field.column for field in FIELDS.values()))
_COURSE = (
    "seq rev state run_at attempts runs interruptions cancel_requested waits_for held has_children "
    "unswept claim_id lease_until worker created_at updated_at started_at finished_at failed_at "
    "history".split()
)
_SPELLED = {
    "paused": "held", "blocked_by": "waits_for", "has_dependents": "has_children",
    "children_pending": "unswept",
}  # fmt: skip
"""The fields that lines have under other names than stores."""

_FIELDS = frozenset([*_SPEC, *_COURSE, *serialization.OUTCOME_FIELDS])


def job_to_line(job: Job, *, masked: bool = False) -> dict[str, Any]:
    """Return a job as JSON has it, with everything; what is empty is left out."""
    document = serialization.job_to_document(job)
    for name in _FRACTIONS:
        if document[name] is not None:
            document[name] = float(document[name])
    if masked:
        document["env"] = masked_pairs(job.spec.env)
    document["history"] = [_run_to_line(run) for run in job.history]
    spelled = {_SPELLED.get(name, name): value for name, value in document.items()}
    line = json_times(spelled, serialization.TIME_FIELDS)
    return {name: value for name, value in line.items() if value not in (None, [])}


def _run_to_line(run: Run) -> dict[str, Any]:
    line = json_times(serialization.run_to_document(run), _RUN_TIMES)
    if run.duration is None:  # as it is in files and checksums of before
        return {name: value for name, value in line.items() if name != "duration"}
    return {**line, "duration": float(run.duration)}


def masked_pairs(pairs: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """Return variables with the values of secrets hidden."""
    return [[name, MASK if looks_secret(name) else value] for name, value in pairs]


def json_times(document: serialization.Document, names: Collection[str]) -> serialization.Document:
    """Return a document with its times as JSON has them."""
    return {
        name: iso(value) if name in names and value is not None else value
        for name, value in document.items()
    }


def digest(job: Job) -> str:
    """Return a checksum over all of a job that two stores must agree on.

    `rev` is left out: it counts the changes that one store has made.
    """
    return checksum(job_to_line(job))


def checksum(line: Mapping[str, Any]) -> str:
    """Return a checksum over all of a line but `rev`."""
    compared = {name: value for name, value in line.items() if name != "rev"}
    text = json.dumps(compared, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def job_from_line(fields: Mapping[str, Any]) -> Job:
    """Return the job in a line, each field checked. Raises InvalidInput for what is wrong.

    A job that was being run waits again, with its attempt given back.
    """
    refuse_unknown(fields, _FIELDS)
    take = Taker(fields)
    created = take.time("created_at")
    updated = take.time("updated_at", created)
    job = Job(
        spec=_spec(fields),
        state=take.state(),
        run_at=take.time("run_at", created),
        created_at=created,
        updated_at=updated,
        rev=take.number("rev", 1, least=1),
        attempts=take.number("attempts"),
        runs=take.number("runs"),
        interruptions=take.number("interruptions"),
        cancel_requested=take.flag("cancel_requested"),
        blocked_by=take.blockers(),
        paused=take.flag("held"),
        has_dependents=take.flag("has_children"),
        children_pending=take.flag("unswept"),
        worker=take.text("worker"),
        started_at=take.maybe_time("started_at"),
        finished_at=take.maybe_time("finished_at"),
        failed_at=take.maybe_time("failed_at"),
        outcome=take.outcome(),
        history=take.history(),
    )
    return _at_rest(job)


def _at_rest(job: Job) -> Job:
    """Return a job as it can be without its worker, with the marks that its state demands."""
    if job.state is State.PROCESSING:
        ended = State.CANCELLED if job.cancel_requested else State.PENDING
        job = replace(job, state=ended, attempts=max(0, job.attempts - 1))
    job = replace(job, cancel_requested=False, claim=None)
    if job.state not in SETTLED:
        return job
    finished = job.finished_at or job.updated_at
    failed = (job.failed_at or finished) if job.state is State.DEAD else job.failed_at
    return replace(job, finished_at=finished, failed_at=failed, blocked_by=(), paused=False)


def _spec(fields: Mapping[str, Any]) -> Spec:
    wanted: dict[str, object] = {
        name: _as_asked(field, fields[field.column])
        for name, field in ASKED.items()
        if field.column in fields
    }
    wanted["command"] = fields["argv"] if fields.get("argv") else fields.get("command")
    if fields.get("id") is None:
        raise InvalidInput("field 'id' is missing")
    wanted["id"] = fields["id"]
    spec = build_request(wanted, Settings(), _no_time, str).spec
    environment = fields.get("environment")
    if environment is not None:
        environment = check_text("environment", environment)
    return replace(spec, generated_id=fields.get("generated_id") is True, environment=environment)


def _as_asked(field: Field, value: object) -> object:
    """Return the value of a field in a line as a person would write it."""
    if field.kind is not Kind.PAIRS:
        return value
    pairs = value or []
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise InvalidInput(f"{field.name} must be an array of pairs")
    return dict(pairs)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)


def _no_time(_kind: str, raw: object) -> datetime:
    return parse_instant("run_at", raw)


def schedule_to_line(schedule: Schedule, *, masked: bool = False) -> dict[str, Any]:
    """Return a schedule as JSON has it, with everything; what is empty is left out."""
    document = {name: getattr(schedule, name) for name in records.SCHEDULE_FIELDS}
    line = json_times(document, records.SCHEDULE_TIMES)
    line["fields"] = as_dict(schedule)["job"] if masked else dict(schedule.fields)
    return {name: value for name, value in line.items() if value is not None}


def schedule_from_line(fields: Mapping[str, Any]) -> Schedule:
    """Return the schedule in a line, each field checked. Raises InvalidInput for what is wrong."""
    refuse_unknown(fields, records.SCHEDULE_FIELDS)
    take = Taker(fields)
    job = fields.get("fields")
    if not isinstance(job, Mapping):
        raise InvalidInput(f"fields must be those of a job, not {shown(job)}")
    _check_job(job)
    skipped_why = take.text("skipped_why")
    if skipped_why not in (None, MISSED, OVERLAPPED):
        raise InvalidInput(f"skipped_why must be {MISSED} or {OVERLAPPED}")
    schedule = Schedule(
        name=check_schedule_name(take.text("name") or ""),
        cron=take.text("cron") or "",
        tz=take.text("tz") or "UTC",
        fields=job,
        next_due=take.maybe_time("next_due"),
        created_at=take.time("created_at"),
        catch_up=take.flag("catch_up"),
        overlap=take.flag("overlap"),
        paused=take.flag("paused"),
        last_due=take.maybe_time("last_due"),
        skipped_at=take.maybe_time("skipped_at"),
        skipped_why=skipped_why,
        rev=take.number("rev", 1, least=1),
    )
    Cron(schedule.cron, schedule.tz)  # looks at both
    return schedule


def _check_job(fields: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless a run can be made of these fields."""
    refuse_own_fields(fields)
    build_request(fields, Settings(), parse_instant, str)


def schedule_digest(schedule: Schedule) -> str:
    """Return a checksum over all of a schedule that two stores must agree on, as of a job."""
    return checksum(schedule_to_line(schedule))
