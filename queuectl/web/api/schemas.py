"""The JSON that the API speaks, as JSON schemas: the same shapes as `--json` prints."""

from __future__ import annotations

from typing import Any

from queuectl.domain.field_checks import MAX_SLOTS
from queuectl.domain.hooks import EVENTS, Target
from queuectl.domain.job import State
from queuectl.domain.job_fields import ASKED, Field, Kind
from queuectl.domain.request import TIME_FIELDS
from queuectl.domain.settings import KEYS, default_of
from queuectl.web.api.params import Schema

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"
MOST_SEQ = 2**53

STATES = [state.value for state in State]
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
TIME: Schema = {"type": "string", "format": "date-time"}
NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
STATE: Schema = {"type": "string", "enum": STATES}
COUNT: Schema = {"type": "integer", "minimum": 0}
LIMIT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_SLOTS}
SEQ: Schema = {"type": "integer", "minimum": 0, "maximum": MOST_SEQ}


def named(name: str) -> Schema:
    """Return a reference to one of the schemas below."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


COMMAND: Schema = {"anyOf": [TEXT, array(TEXT)]}


def maybe(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    if "type" in schema and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def record(about: str = "", /, **fields: Schema) -> Schema:
    """Return the schema of an object that has all of these fields and no other."""
    told = {"description": about} if about else {}
    return {
        "type": "object",
        **told,
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


_KINDS: dict[Kind, Schema] = {
    Kind.TEXT: TEXT, Kind.MAYBE_TEXT: maybe(TEXT), Kind.WHOLE: WHOLE, Kind.NUMBER: NUMBER,
    Kind.FLAG: FLAG, Kind.WORDS: array(TEXT),
    Kind.PAIRS: {"type": "object", "additionalProperties": TEXT},
}  # fmt: skip


def _schema_of(field: Field) -> Schema:
    """Return the schema of a field of a job."""
    schema = _KINDS[field.kind]
    if field.choices:
        schema = {**schema, "enum": [*field.choices]}
    if field.bounds:
        schema = {**schema, "minimum": field.bounds[0], "maximum": field.bounds[1]}
    return schema


def _asked(field: Field) -> Schema:
    """Return the schema of a field of a new job: as a job has it, as text, or null for unset."""
    as_text = [] if field.kind is Kind.PAIRS else [TEXT]
    kinds = [_schema_of(field), *as_text, {"type": "null"}]
    return {"description": field.help, "anyOf": kinds}


_WHEN: dict[str, Schema] = {
    "at": {"type": ["string", "null"], "description": "a time, such as 2030-01-31T14:30Z"},
    "in": {"type": ["string", "number", "null"], "description": "seconds, or such as 5m"},
}


def _setting(key: str) -> Schema:
    kinds = {bool: FLAG, int: WHOLE, float: NUMBER, str: TEXT}
    return kinds[type(default_of(key))]


_COUNTS = record(**dict.fromkeys([*STATES, "total"], COUNT))
_RUN = record(
    "One settled run of a job.",
    n=COUNT, claim_id=TEXT, worker=TEXT, started_at=TIME, finished_at=TIME,
    exit_code=maybe(WHOLE), signal=maybe(WHOLE), timed_out=FLAG, duration=maybe(NUMBER),
    error=maybe(TEXT),
)  # fmt: skip
_JOB = record(
    "A job as `queuectl show --json` prints it.",
    id=TEXT, command=COMMAND, state=STATE, attempts=COUNT, runs=COUNT, interruptions=COUNT,
    reason=maybe(TEXT), last_error=maybe(TEXT), exit_code=maybe(WHOLE), signal=maybe(WHOLE),
    timed_out=FLAG, duration=maybe(NUMBER), created_at=TIME, updated_at=TIME, run_at=TIME,
    started_at=maybe(TIME), finished_at=maybe(TIME), failed_at=maybe(TIME), worker=maybe(TEXT),
    **{name: _schema_of(field) for name, field in ASKED.items()},
    waits_for=array(TEXT), paused=FLAG, capture_env=FLAG, stdout=TEXT, stderr=TEXT,
    stdout_cut=COUNT, stderr_cut=COUNT, history=array(named("Run")),
)  # fmt: skip
_SCHEDULE_FIELDS = {
    "name": TEXT, "cron": TEXT, "tz": TEXT, "job": {"type": "object"}, "catch_up": FLAG,
    "overlap": FLAG, "paused": FLAG, "next_due": maybe(TIME), "last_due": maybe(TIME),
    "skipped_at": maybe(TIME), "skipped_why": maybe(TEXT), "created_at": TIME,
}  # fmt: skip
_HOOK_FIELDS = {
    "name": TEXT, "on": array({"type": "string", "enum": [*EVENTS]}), "when": maybe(TEXT),
    "queue": maybe(TEXT), "labels": array(TEXT),
    "target": {"type": "string", "enum": [each.value for each in Target]}, "address": TEXT,
    "format": maybe(TEXT), "smtp": maybe(TEXT), "from": maybe(TEXT), "cwd": maybe(TEXT),
    "has_secret": FLAG, "paused": FLAG, "crossed": maybe(FLAG), "changed_at": maybe(TIME),
    "value": maybe(NUMBER), "created_at": TIME,
}  # fmt: skip

_ENDED = dict.fromkeys("enqueued completed failed dead cancelled interrupted".split(), COUNT)
_QUANTILES = record(p50=maybe(NUMBER), p95=maybe(NUMBER))

SCHEMAS: dict[str, Any] = {
    "Problem": record(
        "An error (RFC 9457).",
        title=TEXT, status=WHOLE, detail=TEXT, hint=TEXT,
    ),
    "Run": _RUN,
    "Job": _JOB,
    "JobPage": record(
        "Jobs, and where the next page begins; null at the end.",
        jobs=array(named("Job")), next=maybe(SEQ),
    ),
    "Counts": _COUNTS,
    "Queue": record(
        name=TEXT, paused=FLAG, limit=maybe(COUNT), used=maybe(COUNT), counts=named("Counts")
    ),
    "Worker": record(
        id=TEXT, pid=WHOLE, host=TEXT, home=TEXT,
        state={"type": "string", "enum": ["idle", "busy", "stopping"]}, job=maybe(TEXT),
        queues=array(TEXT), started_at=TIME, heartbeat_at=TIME,
    ),
    "Status": record(
        store=TEXT, home=TEXT, counts=named("Counts"),
        workers=array(named("Worker")), queues=array(named("Queue")),
    ),
    "Ended": record("How many were enqueued, and how many runs came to each end.", **_ENDED),
    "QueueReport": record(
        "What happened in one queue, or in all; `series` has the last 60 minutes, one by one.",
        **_ENDED, success_rate=maybe(NUMBER), run_seconds=_QUANTILES, wait_seconds=_QUANTILES,
        throughput={"type": "object", "additionalProperties": NUMBER},
        ever=record(
            **_ENDED, runs_measured=COUNT, run_seconds_sum=NUMBER, waits_measured=COUNT,
            wait_seconds_sum=NUMBER,
        ),
        series=array(named("Ended")),
    ),
    "Report": record(
        now=TIME, since=TIME, total=named("QueueReport"),
        queues={"type": "object", "additionalProperties": named("QueueReport")},
    ),
    "Schedule": record(**_SCHEDULE_FIELDS),
    "ScheduleShown": record(
        **_SCHEDULE_FIELDS, next=array(TIME), jobs=array(named("Job"))
    ),
    "Hook": record(
        "Who is told of what; of a threshold `crossed` says on which side of it the measure is.",
        **_HOOK_FIELDS,
    ),
    "HookShown": record(**_HOOK_FIELDS, deliveries=array(named("Job"))),
    "Settings": record(**{key: _setting(key) for key in KEYS}),
    "Setting": record(key=TEXT, value={"type": ["number", "boolean", "string"]}),
    "Log": record(
        "The end of what one run wrote; `size` counts all of its bytes.",
        job=TEXT, run=COUNT, stream={"type": "string", "enum": ["stdout", "stderr"]},
        text=TEXT, size=COUNT, cut=FLAG, notice=TEXT,
    ),
    "Deleted": record(deleted=TEXT),
    "Done": record(
        "How many jobs were changed and how many were not, with the reasons of the first ones.",
        done=COUNT, kept=COUNT, refused=array(TEXT),
    ),
    "Enqueue": {
        "type": "object",
        "description": "The fields of `queuectl enqueue` with JSON; only the command is needed.",
        "properties": {
            "id": NAME, "command": COMMAND,
            **{name: _asked(field) for name, field in ASKED.items()},
            **{name: _WHEN[kind] for name, kind in TIME_FIELDS.items()},
        },
        "required": ["command"],
    },
}  # fmt: skip
"""Every schema by its name."""
