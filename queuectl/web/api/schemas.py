"""The JSON that the API speaks, as JSON schemas: the same shapes as `--json` prints.

What is a field of a record is taken from there, by the type that it has in it.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import MAX_SLOTS
from queuectl.domain.hooks import EVENTS, Hook, Target
from queuectl.domain.job import Job, Outcome, Run, State
from queuectl.domain.job_fields import ASKED, Field, Kind
from queuectl.domain.request import HOLD, TIME_FIELDS
from queuectl.domain.schedule import OWN_FIELDS, Schedule
from queuectl.domain.settings import KEYS, bounds_of_setting, choices_of, default_of, help_of
from queuectl.domain.stats import Figures
from queuectl.domain.worker_record import WorkerRecord
from queuectl.presentation.run_log import BOTH

Schema = dict[str, Any]
"""A JSON schema, of the few words that OpenAPI and our own check have in common."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"
MOST_SEQ = 2**53


def named(name: str) -> Schema:
    """Return a reference to one of the schemas below."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def one_of(*words: str) -> Schema:
    """Return the schema of one of a few words."""
    return {"type": "string", "enum": [*words]}


def maybe(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {**schema, "type": [schema["type"], "null"]}


def record(about: str = "", /, **properties: Schema) -> Schema:
    """Return the schema of an object that has all of these fields and no other."""
    return {
        "type": "object",
        **({"description": about} if about else {}),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def map_of(values: Schema) -> Schema:
    """Return the schema of an object with any names."""
    return {"type": "object", "additionalProperties": values}


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
TIME: Schema = {"type": "string", "format": "date-time"}
NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
STATE = one_of(*(state.value for state in State))
COUNT: Schema = {"type": "integer", "minimum": 0}
LIMIT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_SLOTS}
SEQ: Schema = {"type": "integer", "minimum": 0, "maximum": MOST_SEQ}
STREAM = one_of("stdout", "stderr", BOTH)
WORDS: Schema = {"type": "string", "pattern": r"\S"}
COMMAND: Schema = {"anyOf": [WORDS, {**array(TEXT), "minItems": 1}]}
SETTING: Schema = {"type": ["number", "boolean", "string"]}

_TYPES: dict[str, Schema] = {
    "str": TEXT, "bool": FLAG, "int": WHOLE, "float": NUMBER, "datetime": TIME, "State": STATE,
    "Target": one_of(*(target.value for target in Target)), "Mapping[str, Any]": {"type": "object"},
    "tuple[str, ...]": array(TEXT), "tuple[tuple[str, str], ...]": map_of(TEXT),
}  # fmt: skip
"""The schema of each type of a record's field, as it is written there."""


def _schema_of(type_name: str) -> Schema:
    known, is_optional, _ = type_name.partition(" | None")
    return maybe(_TYPES[known]) if is_optional else _TYPES[known]


def _of(kind: type, names: str = "", *, without: str = "") -> dict[str, Schema]:
    """Return the schemas of some fields of a record, or of all but some; plain `int`s count."""
    types = {item.name: str(item.type) for item in fields(kind)}
    wanted = names.split() or [name for name in types if name not in without.split()]
    return {name: COUNT if types[name] == "int" else _schema_of(types[name]) for name in wanted}


def _of_field(field: Field) -> Schema:
    """Return the schema of a field of a job."""
    schema = _schema_of(field.kind.value)
    if field.choices:
        schema = {**schema, "enum": [*field.choices]}
    if field.bounds:
        schema = {**schema, "minimum": field.bounds[0], "maximum": field.bounds[1]}
    return schema


def _of_setting(key: str) -> Schema:
    """Return the schema of a setting's value."""
    schema = {**_TYPES[type(default_of(key)).__name__], "description": help_of(key)}
    if schema["type"] == "string" and (choices := choices_of(key)):
        return {**schema, "enum": [*choices]}
    if schema["type"] in (WHOLE["type"], NUMBER["type"]):
        least, most = bounds_of_setting(key)
        return {**schema, "minimum": least, "maximum": most}
    return schema


_NUMBERS = {"integer": 1, "number": 0.5}
"""Kinds of numbers, each with one."""


def _of_new_job(field: Field) -> Schema:
    """Return the schema of a field of a new job: as a job has it, as text, or null for unset."""
    schema = _of_field(field)
    if field.kind is Kind.PAIRS:
        schema = map_of({"type": ["string", "number"]})
    elif field.kind is Kind.WORDS and _takes(field, [1]):
        schema = array({"type": ["string", "integer"]})
    others = [{"type": kind} for kind, one in _NUMBERS.items() if _takes(field, one)]
    if field.kind is Kind.PAIRS and _takes(field, []):
        others.append(array(TEXT))
    return {"description": field.help, "anyOf": [schema, TEXT, *others, {"type": "null"}]}


def _takes(field: Field, value: object) -> bool:
    """Whether a field may have a value in a request, as ids and names may be numbers."""
    try:
        return field.check is not None and field.check(field.name, value) is not None
    except InvalidInput:
        return False


_WHEN: dict[str, Schema] = {
    "at": {"type": ["string", "null"], "description": "a time, such as 2030-01-31T14:30Z"},
    "in": {"type": ["string", "number", "null"], "description": "seconds, or such as 5m"},
}
_SCHEDULE = {**_of(Schedule, without="fields rev"), "job": {"type": "object"}}
_HOOK = {
    **_of(Hook, "name queue labels target address paused changed_at value created_at"),
    "on": array(one_of(*EVENTS)), "has_secret": FLAG, "crossed": maybe(FLAG),
    "digest": maybe(NUMBER),
    **dict.fromkeys(("when", "format", "smtp", "from", "cwd"), maybe(TEXT)),
}  # fmt: skip
_FINISHED = _of(Figures, without="run wait cpu memory")
_QUANTILES = record(p50=maybe(NUMBER), p95=maybe(NUMBER))
_USED = record(p50=maybe(NUMBER), p95=maybe(NUMBER), most=maybe(NUMBER))

_OF_SCHEDULED = {
    "command": COMMAND,
    **{name: _of_new_job(field) for name, field in ASKED.items() if name not in OWN_FIELDS},
}

SCHEMAS: dict[str, Schema] = {
    "Problem": record(
        "An error (RFC 9457).", title=TEXT, status=WHOLE, detail=TEXT, hint=TEXT
    ),
    "Run": record("One settled run of a job.", **_of(Run)),
    "Job": record(
        "A job as `queuectl show --json` prints it.",
        id=TEXT, command=COMMAND, reason=maybe(TEXT), last_error=maybe(TEXT),
        **_of(Job, "state attempts runs interruptions suspect created_at updated_at run_at "
                   "started_at finished_at failed_at worker paused put_back put_backs not_on"),
        **_of(Outcome, "exit_code signal timed_out stdout stderr stdout_cut stderr_cut "
                       "cpu_seconds peak_memory note"),
        result={"description": "the JSON value that its latest run has left"},
        duration=maybe(NUMBER), **{name: _of_field(field) for name, field in ASKED.items()},
        batch_index=COUNT, params=map_of(TEXT),
        waits_for=array(TEXT), capture_env=FLAG, snapshot=maybe(TEXT), signature=maybe(TEXT),
        history=array(named("Run")),
    ),
    "JobPage": record(
        "Jobs, and where the next page begins; null at the end.",
        jobs=array(named("Job")), next=maybe(SEQ),
    ),
    "Counts": record(**dict.fromkeys([*STATE["enum"], "total"], COUNT)),
    "Queue": record(
        name=TEXT, paused=FLAG, limit=maybe(COUNT), used=maybe(COUNT), counts=named("Counts")
    ),
    "Batch": record(
        "How a batch stands; `unmade` jobs of it are made as they are claimed.",
        name=TEXT, created_at=maybe(TIME), counts=named("Counts"), unmade=COUNT, done=FLAG,
        succeeded=FLAG, stopped=FLAG, at_once=COUNT, max_fails=COUNT, ended_at=maybe(TIME),
    ),
    "Worker": record(
        **_of(WorkerRecord, "id host home queues started_at heartbeat_at slots"),
        pid=WHOLE, state=one_of("idle", "busy", "stopping"), job=maybe(TEXT), jobs=array(TEXT),
    ),
    "Status": record(
        store=TEXT, home=TEXT, counts=named("Counts"),
        workers=array(named("Worker")), queues=array(named("Queue")),
    ),
    "Ended": record("How many were enqueued, and how many runs came to each end.", **_FINISHED),
    "QueueReport": record(
        "What happened in one queue, or in all; `series` has the last 60 minutes, one by one.",
        **_FINISHED, success_rate=maybe(NUMBER), run_seconds=_QUANTILES, wait_seconds=_QUANTILES,
        cpu_seconds=_USED, peak_memory=_USED, throughput=map_of(NUMBER),
        series=array(named("Ended")),
        ever=record(
            **_FINISHED, runs_measured=COUNT, run_seconds_sum=NUMBER, waits_measured=COUNT,
            wait_seconds_sum=NUMBER, cpu_seconds_sum=NUMBER,
        ),
    ),
    "Report": record(
        now=TIME, since=TIME, total=named("QueueReport"), queues=map_of(named("QueueReport"))
    ),
    "Schedule": record(**_SCHEDULE),
    "ScheduleShown": record(**_SCHEDULE, next=array(TIME), jobs=array(named("Job"))),
    "Hook": record(
        "Who is told of what; of a threshold `crossed` says on which side of it the measure is.",
        **_HOOK,
    ),
    "HookShown": record(**_HOOK, deliveries=array(named("Job"))),
    "Settings": record(**{key: _of_setting(key) for key in KEYS}),
    "Setting": record(key=TEXT, value=SETTING),
    "Log": record(
        "The end of what one run wrote; `size` counts all of its bytes.",
        job=TEXT, run=COUNT, stream=STREAM, text=TEXT, size=COUNT, cut=FLAG, notice=TEXT,
    ),
    "Deleted": record(deleted=TEXT),
    "Act": record(
        "What somebody did; `targets` are the first of the `number` of things that were changed.",
        at=TIME, who=TEXT, act=TEXT, targets=array(TEXT), number=COUNT, about=TEXT,
    ),
    "AuditPage": record(
        "Acts, and how many to leave out for the next page; null at the end.",
        acts=array(named("Act")), next=maybe(COUNT),
    ),
    "Done": record(
        "How many jobs were changed and how many were not, with the reasons of the first ones.",
        done=COUNT, kept=COUNT, refused=array(TEXT),
    ),
    "Enqueue": {
        "type": "object",
        "description": "The fields of `queuectl enqueue` with JSON; only the command is needed.",
        "properties": {
            "id": NAME, "command": COMMAND,
            **{name: _of_new_job(field) for name, field in ASKED.items()},
            **{name: _WHEN[kind] for name, kind in TIME_FIELDS.items()},
            HOLD: FLAG,
        },
        "required": ["command"],
    },
    "ScheduledJob": {
        "type": "object", "description": "The fields of `queuectl schedule add`.",
        "properties": _OF_SCHEDULED, "required": ["command"],
    },
    "ScheduledJobEdit": {
        "type": "object", "description": "Fields of a schedule's jobs; null takes one away.",
        "properties": _OF_SCHEDULED, "required": [],
    },
    "Changes": {
        "type": "object",
        "description": "Other values for fields of a job; null is what a new job would have.",
        "properties": {
            "command": COMMAND,
            **{name: _of_new_job(field) for name, field in ASKED.items()},
            **{name: _WHEN[kind] for name, kind in TIME_FIELDS.items()},
        },
        "required": [],
    },
}  # fmt: skip
"""Every schema by its name."""
