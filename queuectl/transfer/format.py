"""A job, or a schedule, as one line of JSON with all that a store knows of it, and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from queuectl.domain.dependencies import END, FAILURE, SUCCESS, TURN, holds_turn, turn_of
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import check_text, is_name
from queuectl.domain.frozen import replace
from queuectl.domain.interval import parse_interval
from queuectl.domain.job import SETTLED, Job, Outcome, Run, State
from queuectl.domain.job_fields import ASKED, FIELDS, Field, Kind, Spec
from queuectl.domain.request import build_request
from queuectl.domain.run_result import refusal
from queuectl.domain.schedule import (
    MISSED,
    OVERLAPPED,
    Schedule,
    as_dict,
    check_schedule_name,
    refuse_own_fields,
    typed,
)
from queuectl.domain.settings import Settings
from queuectl.domain.times import UTC, iso, whole_millis
from queuectl.domain.views import MASK, looks_secret
from queuectl.stores import records, serialization
from queuectl.system.timetable import timetable_of

_RUN_TIMES = ("started_at", "finished_at")
_FRACTIONS = (
    *(field.column for field in FIELDS.values() if field.kind is Kind.NUMBER), "duration",
    "cpu_seconds",
)  # fmt: skip
_LATER_OF_RUNS = ("duration", "cpu_seconds", "peak_memory")
"""What lines of before do not have of a run."""

_SPELLED = {
    "paused": "held", "blocked_by": "waits_for", "has_dependents": "has_children",
    "children_pending": "unswept",
}  # fmt: skip
"""The fields that lines have under other names than stores."""


# writing


def job_to_line(job: Job, *, masked: bool = False) -> dict[str, Any]:
    """Return a job as JSON has it, with everything; what is empty is left out."""
    document = serialization.job_to_document(job)
    for name in _FRACTIONS:
        if document[name] is not None:
            document[name] = float(document[name])
    if masked:
        document["env"] = masked_pairs(job.spec.env)
        document["params"] = masked_pairs(job.spec.params)
        secrets = (field for field in FIELDS.values() if field.is_secret)
        document |= {each.column: MASK for each in secrets if document[each.column] is not None}
    document["history"] = [_run_to_line(run) for run in job.history]
    spelled = {_SPELLED.get(name, name): value for name, value in document.items()}
    line = _json_times(spelled, serialization.TIME_FIELDS)
    return {name: value for name, value in line.items() if value not in (None, [])}


def _run_to_line(run: Run) -> dict[str, Any]:
    line = _json_times(serialization.run_to_document(run), _RUN_TIMES)
    for name in _LATER_OF_RUNS:
        if line[name] is None:  # as it is in files and checksums of before
            del line[name]
        elif name in _FRACTIONS:
            line[name] = float(line[name])
    return line


def schedule_to_line(schedule: Schedule, *, masked: bool = False) -> dict[str, Any]:
    """Return a schedule as JSON has it, with everything; what is empty is left out."""
    document = {name: getattr(schedule, name) for name in records.SCHEDULE_FIELDS}
    line = _json_times(document, records.SCHEDULE_TIMES)
    line["fields"] = as_dict(schedule)["job"] if masked else dict(schedule.fields)
    return {name: value for name, value in line.items() if value is not None}


def masked_pairs(pairs: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """Return variables with the values of secrets hidden."""
    return [[name, MASK if looks_secret(name) else value] for name, value in pairs]


def _json_times(document: serialization.Document, names: Collection[str]) -> dict[str, Any]:
    return {
        name: iso(value) if name in names and value is not None else value
        for name, value in document.items()
    }


# reading

_Reader = Callable[[str, object], Any]
"""Checks the value that a field of that name has in a line, and returns what it means."""


def _instant(name: str, raw: object) -> datetime:
    """Return the instant that `iso` wrote. Raises InvalidInput for anything else."""
    try:
        if isinstance(raw, str) and raw.endswith("Z"):
            return whole_millis(datetime.fromisoformat(raw[:-1]).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{name} must be a time such as 2030-01-31T12:00:00.000Z, not {shown(raw)}")


def _count(name: str, raw: object, least: int = 0) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and least <= raw < 2**62:
        return raw
    raise InvalidInput(f"{name} must be a whole number from {least}, not {shown(raw)}")


_count_from_1 = partial(_count, least=1)


def _of_kind(kind: type | tuple[type, ...], what: str) -> _Reader:
    def read(name: str, raw: object) -> object:
        if isinstance(raw, kind) and (kind is bool or not isinstance(raw, bool)):
            return raw
        raise InvalidInput(f"{name} must be {what}, not {shown(raw)}")

    return read


_flag = _of_kind(bool, "true or false")
_whole = _of_kind(int, "a whole number")
_number = _of_kind((int, float), "a number")
_output = _of_kind(str, "text")


def _fraction(name: str, raw: object) -> float:
    return float(_number(name, raw))


def _result(name: str, raw: object) -> str:
    """Return the JSON text that a job has left as its result."""
    text: str = _output(name, raw)
    if why := refusal(text):
        raise InvalidInput(f"{name}: {why}")
    return text


def _text(name: str, raw: object) -> str:
    return check_text(name, _output(name, raw))


def _state(_name: str, raw: object) -> State:
    try:
        return State(raw)
    except ValueError:
        raise InvalidInput(f"state must be one of the states, not {shown(raw)}") from None


def _blockers(name: str, raw: object) -> tuple[str, ...]:
    blockers = raw if isinstance(raw, list) else [raw]
    for each in blockers:
        if each == TURN:
            continue
        word, _, job_id = each.partition(":") if isinstance(each, str) else ("", "", "")
        if word not in (SUCCESS, FAILURE, END) or not is_name(job_id):
            raise InvalidInput(f"{name} {shown(each)} must be like 'success:ID'")
    return tuple(dict.fromkeys(blockers))


def _hosts(name: str, raw: object) -> tuple[str, ...]:
    """Return the names of hosts."""
    if not isinstance(raw, list):
        raise InvalidInput(f"{name} must be an array of strings, not {shown(raw)}")
    return tuple(check_text(name, each) for each in raw)


def _history(name: str, raw: object) -> tuple[Run, ...]:
    """Return the runs that there were, each once."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise InvalidInput(f"{name} must be an array of objects")
    runs = {run.n: run for run in map(_run_from_line, raw)}
    return tuple(runs[n] for n in sorted(runs))


def _run_from_line(entry: Mapping[str, Any]) -> Run:
    values = _read(entry, _RUN_FIELDS, "n", *_RUN_TIMES)
    return Run(**{"claim_id": "", "worker": "", **values})


def _skipped_why(name: str, raw: object) -> str:
    if raw in (MISSED, OVERLAPPED):
        return str(raw)
    raise InvalidInput(f"{name} must be {MISSED} or {OVERLAPPED}")


def _interval(name: str, raw: object) -> int:
    return parse_interval(_count_from_1(name, raw))


def _job_of_schedule(name: str, raw: object) -> Mapping[str, Any]:
    """Return the fields of a job, of which a run can be made."""
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"{name} must be those of a job, not {shown(raw)}")
    refuse_own_fields(raw)
    build_request(raw, Settings(), _instant, str)
    return typed(raw)


_COURSE_FIELDS: dict[str, _Reader] = {
    "state": _state, "created_at": _instant, "updated_at": _instant, "run_at": _instant,
    "rev": _count_from_1, "attempts": _count, "runs": _count, "interruptions": _count,
    "cancel_requested": _flag, "waits_for": _blockers, "held": _flag, "has_children": _flag,
    "unswept": _flag, "suspect": _flag, "put_back": _output, "put_backs": _count, "not_on": _hosts,
    "worker": _text, "started_at": _instant, "finished_at": _instant, "failed_at": _instant,
    "history": _history,
}  # fmt: skip
_OUTCOME_FIELDS: dict[str, _Reader] = {
    "duration": _fraction, "exit_code": _whole, "signal": _whole, "timed_out": _flag,
    "last_error": _output, "stdout": _output, "stderr": _output, "stdout_cut": _count,
    "stderr_cut": _count, "cpu_seconds": _fraction, "peak_memory": _count, "note": _output,
    "result": _result,
}  # fmt: skip
_RUN_FIELDS: dict[str, _Reader] = {
    "n": _count_from_1, "claim_id": _text, "worker": _text, "started_at": _instant,
    "finished_at": _instant, "exit_code": _whole, "signal": _whole, "timed_out": _flag,
    "error": _output, "duration": _fraction, "cpu_seconds": _fraction, "peak_memory": _count,
}  # fmt: skip
_SCHEDULE_FIELDS: dict[str, _Reader] = {
    "fields": _job_of_schedule, "skipped_why": _skipped_why, "name": _text,
    "cron": _text, "tz": _text, "next_due": _instant, "created_at": _instant, "catch_up": _flag,
    "overlap": _flag, "paused": _flag, "last_due": _instant, "skipped_at": _instant,
    "rev": _count_from_1, "every": _interval, "anchor": _instant, "tz_version": _text,
}  # fmt: skip
_NAMED = {
    **{spelled: name for name, spelled in _SPELLED.items()}, "last_error": "error",
}  # fmt: skip
"""The names that fields of lines have in records, where they differ."""

_SPEC_FIELDS = ("id", "command", "argv", *(field.column for field in FIELDS.values()))
_JOB_FIELDS = frozenset(
    [
        *_SPEC_FIELDS,
        *_COURSE_FIELDS,
        *_OUTCOME_FIELDS,
        "seq",
        "claim_id",
        "lease_until",
        "claim_alone",
        "holding",
    ]
)


def _pairs(name: str, raw: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(raw, list) or not all(map(_is_pair, raw)):
        raise InvalidInput(f"{name} must be an array of pairs")
    return tuple((check_text(name, key), check_text(name, value)) for key, value in raw)


def _words(name: str, raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list):
        raise InvalidInput(f"{name} must be an array")
    return tuple(_text(name, word) for word in raw)


_INTERNAL_FIELDS: Mapping[str, _Reader] = {
    "generated_id": lambda _name, raw: raw is True, "environment": _text, "snapshot": _text,
    "batch_index": _count,
    "params": _pairs, "slot_places": _words, "signature": _text,
}  # fmt: skip


def _read(
    fields: Mapping[str, Any], readers: Mapping[str, _Reader], *required: str
) -> dict[str, Any]:
    """Return those of some fields that are there, each checked. Raises InvalidInput."""
    for name in required:
        if fields.get(name) is None:
            raise InvalidInput(f"field '{name}' is missing")
    return {
        _NAMED.get(name, name): read(name, fields[name])
        for name, read in readers.items()
        if fields.get(name) is not None
    }


def _refuse_unknown(fields: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        raise InvalidInput(f"unknown field {shown(unknown[0])}")


def job_from_line(fields: Mapping[str, Any]) -> Job:
    """Return the job in a line, each field checked. Raises InvalidInput for what is wrong.

    A job that was being run waits again, with its attempt given back.
    """
    _refuse_unknown(fields, _JOB_FIELDS)
    spec = _spec_from_line(fields)
    course = _read(fields, _COURSE_FIELDS, "state", "created_at")
    outcome = _read(fields, _OUTCOME_FIELDS)
    created = course["created_at"]
    job = Job(
        spec=spec,
        outcome=Outcome(**outcome) if "duration" in outcome else None,
        **{"run_at": created, "updated_at": created, **course},
    )
    return _at_rest(job)


def _at_rest(job: Job) -> Job:
    """Return a job as it can be without its worker, with the marks that its state demands."""
    if job.state is State.PROCESSING:
        ended = State.CANCELLED if job.cancel_requested else State.PENDING
        job = replace(job, state=ended, attempts=max(0, job.attempts - 1))
    job = replace(job, cancel_requested=False)
    if job.state not in SETTLED:
        if holds_turn(job) and not job.paused:  # it is let go anew, in turn with those there
            job = replace(job, blocked_by=turn_of(job.spec))
        return job
    finished = job.finished_at or job.updated_at
    failed = (job.failed_at or finished) if job.state is State.DEAD else job.failed_at
    return replace(
        job, finished_at=finished, failed_at=failed, blocked_by=(), paused=False, suspect=False
    )


def _spec_from_line(fields: Mapping[str, Any]) -> Spec:
    if fields.get("id") is None:
        raise InvalidInput("field 'id' is missing")
    written = {
        name: _as_written(field, fields[field.column])
        for name, field in ASKED.items()
        if field.column in fields
    }
    command = fields.get("argv") or fields.get("command")
    spec = build_request(
        {**written, "command": command, "id": fields["id"]}, Settings(), _instant, str
    ).spec
    return replace(spec, **_read(fields, _INTERNAL_FIELDS))


def _as_written(field: Field, value: object) -> object:
    """Return the value of a field in a line as a person would write it."""
    if field.kind is not Kind.PAIRS:
        return value
    return dict(_pairs(field.name, value or []))


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)


def schedule_from_line(fields: Mapping[str, Any]) -> Schedule:
    """Return the schedule in a line, each field checked. Raises InvalidInput for what is wrong."""
    _refuse_unknown(fields, records.SCHEDULE_FIELDS)
    values = _read(fields, _SCHEDULE_FIELDS, "fields", "name", "created_at")
    check_schedule_name(values["name"])
    schedule = Schedule(**{"cron": None, "tz": "UTC", "next_due": None, **values})
    if schedule.cron is not None and schedule.every is not None:
        raise InvalidInput("a schedule has either a cron line or an interval")
    timetable_of(schedule)  # looks at cron and zone
    return schedule
