"""Endpoints that make, edit and run schedules; what they share with hooks is in `named`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queuectl.domain.job_fields import ASKED, Kind
from queuectl.domain.schedule import OWN_FIELDS, Schedule, as_dict
from queuectl.queue import Queue
from queuectl.queue.schedules import WORDS
from queuectl.web.api.change import as_pairs, without_own
from queuectl.web.api.copies import changed, text_of, typed_command, with_secrets
from queuectl.web.api.endpoint import BODY, PATH, WHOLE_BODY, Arguments, Endpoint, Param
from queuectl.web.api.read import job_as_dict
from queuectl.web.api.schemas import FLAG, NAME, TEXT, named

_SOME = {**TEXT, "minLength": 1}
_TIMES = (
    Param("cron", BODY, _SOME, "when it is due, as cron has it: 0 3 * * *"),
    Param("every", BODY, {"type": ["string", "number"], "minLength": 1},
          "instead of that: how long between two runs, in seconds or as 90m"),
    Param("tz", BODY, _SOME, "the time zone of cron; that of the dashboard unless said"),
    Param("catch_up", BODY, FLAG, "enqueue runs later that were due while no worker was there"),
    Param("overlap", BODY, FLAG, "enqueue a run though an earlier one waits or runs"),
)  # fmt: skip
_CHANGES = Param(
    WHOLE_BODY, BODY, named("ScheduledJobEdit"), "fields of each job", True, has_empty=True
)
_NAME = Param("name", PATH, NAME, "the name of a schedule", True)


FIELDS = [
    field for name, field in ASKED.items()
    if not field.is_hidden and name not in OWN_FIELDS and name != "queue"
]  # fmt: skip
"""The fields of the jobs of a schedule that a form has, beside command and queue."""


def texts_of(schedule: Schedule) -> dict[str, str]:
    """Return the command and every field of a schedule's jobs, as a form shows them."""
    given = as_dict(schedule)["job"]
    fields = {
        name: text_of(field, given.get(name)) or ("false" if field.kind is Kind.FLAG else "")
        for name, field in ASKED.items()
    }
    return {"command": typed_command(given["command"]), **fields}


def _split(arguments: Arguments) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is said of a schedule itself, and the fields of its job. Raises InvalidInput."""
    own = {word: arguments[word] for word in WORDS if word in arguments}
    mine = {*WORDS, "name"}
    fields = {word: value for word, value in arguments["fields"].items() if word not in mine}
    without_own(fields)
    return own, fields


def _add(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    own, fields = _split(arguments)
    added = queue.schedules.add(
        arguments["name"],
        own.get("cron"),
        {word: as_pairs(word, value) for word, value in fields.items()},
        tz=own.get("tz"),
        every=own.get("every"),
        catch_up=own.get("catch_up", False),
        overlap=own.get("overlap", False),
    )
    return as_dict(added)


def _edit(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    own, fields = _split(arguments)
    schedule = queue.schedules.get(arguments["name"])
    given = changed(fields, texts_of(schedule), schedule.fields["command"])
    env = schedule.fields.get("env")
    given = with_secrets(given, env if isinstance(env, Mapping) else {})
    return as_dict(queue.schedules.edit(schedule.name, {**own, **given}))


def _run(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    return job_as_dict(queue, queue.schedules.run_now(arguments["name"]))


SCHEDULES = (
    Endpoint("addSchedule", "POST", "/schedules", "Enqueue a job again and again from now on.",
             _add, named("Schedule"),
             (Param(WHOLE_BODY, BODY, named("ScheduledJob"), "the fields of each job", True),
              Param("name", BODY, NAME, "its name", True), *_TIMES),
             201, "Added schedule '{name}'"),
    Endpoint("editSchedule", "PATCH", "/schedules/{name}",
             "Change when a schedule is due, or fields of its jobs; null takes a field away.",
             _edit, named("Schedule"),
             (_NAME, _CHANGES, *_TIMES),
             message="Changed schedule '{name}'"),
    Endpoint("runSchedule", "POST", "/schedules/{name}/run",
             "Enqueue a run at once, unless one waits or runs that it may not overlap.",
             _run, named("Job"), (_NAME,), 201, "Enqueued job '{id}'"),
)  # fmt: skip
