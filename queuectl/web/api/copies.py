"""Endpoints that change what a waiting job asks for, and that make a new job like another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from queuectl.domain.job import Job
from queuectl.domain.job_fields import ASKED, Field, Kind, plain
from queuectl.domain.views import MASK, asked_as_dict
from queuectl.queue import Queue
from queuectl.web.api.change import as_pairs, enqueued, job_of, without_own
from queuectl.web.api.endpoint import BODY, JOB_ID, WHOLE_BODY, Arguments, Endpoint, Param
from queuectl.web.api.read import job_as_dict
from queuectl.web.api.schemas import COUNT, NAME, named

_NOT_TAKEN = frozenset({"imported_from"})
"""What a new job does not take from another: where that one came from."""

_FIELDS = Param(WHOLE_BODY, BODY, named("Changes"), "the fields that are to be others", True, True)
_REV = Param("rev", BODY, COUNT, "refuse it if the job is not as it was with this number")
_AS = Param("as", BODY, NAME, "the id of the new job; made unless said")


def texts_of(job: Job) -> dict[str, str]:
    """Return the command and every field that a person may set, as a form shows them."""
    values = asked_as_dict(job)
    fields = {name: text_of(field, values[name]) for name, field in ASKED.items()}
    return {"command": typed_command(job.spec.command), **fields}


def typed_command(command: object) -> str:
    """Return a command in one line: a line for the shell as it is, arguments as JSON."""
    return command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)


def text_of(field: Field, value: Any) -> str:
    """Return the value of a field as a form shows it."""
    if value is None or isinstance(value, str):
        return value or ""
    if field.kind is Kind.FLAG:
        return "true" if value else "false"
    if field.kind is Kind.WORDS:
        return ", ".join(value)
    if field.kind is Kind.PAIRS:
        return "\n".join(f"{name}={text}" for name, text in value.items())
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def changed(fields: Mapping[str, Any], texts: Mapping[str, str], command: object) -> dict[str, Any]:
    """Return those of some fields that are others than a form with these texts shows.

    `command` is what there is now: where that is arguments, a text may be JSON of others. Raises
    InvalidInput.
    """
    given = {}
    for name, value in fields.items():
        if _typed(value) == texts.get(name, ""):
            continue
        if name == "command" and not isinstance(command, str):
            value = _arguments(value)
        given[name] = as_pairs(name, value)
    return given


def with_secrets(given: dict[str, Any], had: Mapping[str, str]) -> dict[str, Any]:
    """Return fields in which what stands for a secret in the environment is that again."""
    env = given.get("env")
    if not isinstance(env, Mapping):
        return given
    shown = {name: had.get(name, text) if text == MASK else text for name, text in env.items()}
    return {**given, "env": shown}


def _given(job: Job, arguments: Arguments, own: Param) -> dict[str, Any]:
    """Return the fields that are to be others than a form about a job shows."""
    fields = {name: each for name, each in arguments["fields"].items() if name != own.name}
    return changed(fields, texts_of(job), job.spec.command)


def _typed(value: object) -> object:
    """Return a value as a form has it, where it may come from one."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "\n".join(value.splitlines())
    is_words = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return ", ".join(value) if isinstance(value, list) and is_words else value


def _arguments(value: object) -> object:
    """Return the arguments that a text is, if it is JSON; a command of words stays one."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, list) else value


def _edit(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    job = queue.get(arguments["id"])
    fields = without_own(_given(job, arguments, _REV))
    del fields["capture_env"]  # which is for new jobs
    edited = queue.edit(job.id, fields, rev=arguments.get("rev"))
    return job_as_dict(queue, edited)


def _clone(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    job = queue.get(arguments["id"])
    fields: dict[str, Any] = {"command": plain(job.spec.command), **_asked(job)}
    given = with_secrets(_given(job, arguments, _AS), dict(job.spec.env))
    fields |= {**given, "id": arguments.get("as")}
    wanted = {name: value for name, value in fields.items() if value is not None}
    (result,) = queue.enqueue_requests([queue.request(without_own(wanted))])
    return job_of(queue, result)


def _asked(job: Job) -> dict[str, Any]:
    """Return the fields of a job that may not be as a new one has them."""
    found = {}
    for name, field in ASKED.items():
        value = getattr(job.spec, name)
        if name not in _NOT_TAKEN and (field.setting or value != field.default):
            found[name] = dict(value) if field.kind is Kind.PAIRS else plain(value)
    return found


COPIES = (
    Endpoint("editJob", "POST", "/jobs/{id}/edit",
             "Change what a waiting job asks for; null is what a new job would have.",
             _edit, named("Job"), (JOB_ID, _FIELDS, _REV), message="Changed job '{id}'"),
    Endpoint("cloneJob", "POST", "/jobs/{id}/clone",
             "Store a new job that asks for what another does, but for the fields that are named.",
             _clone, named("Job"), (JOB_ID, _FIELDS, _AS), 201,
             enqueued),
)  # fmt: skip
