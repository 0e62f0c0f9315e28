"""Endpoints that change jobs, queues, workers and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from queuectl.domain.errors import (
    InvalidInput,
    NotFound,
    shown,
)
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import ASKED, Kind
from queuectl.domain.settings import show
from queuectl.domain.worker_record import StopRequest
from queuectl.presentation.status import queue_views, view_as_dict, worker_as_dict
from queuectl.queue import Queue
from queuectl.queue.enqueue import EnqueueResult
from queuectl.web.api import questions
from queuectl.web.api.endpoint import (
    BODY,
    JOB_ID,
    PATH,
    QUERY,
    WHOLE_BODY,
    Arguments,
    Asks,
    Endpoint,
    Param,
)
from queuectl.web.api.read import job_as_dict
from queuectl.web.api.schemas import FLAG, LIMIT, NAME, SETTING, named

_OF_THE_ENQUEUER = frozenset({"env_file", "capture_env", "snapshot"})
"""Fields that read files and variables of whoever enqueues, which here is the dashboard."""

_QUEUE_NAME = Param("name", PATH, NAME, "the name of a queue", True)
_SETTING_KEY = Param("key", PATH, {"type": "string", "maxLength": 64}, "a setting", True)
_WORKER_ID = Param("id", PATH, NAME, "the id of a worker", True)


# jobs, one by one


class _Holder(dict[str, Any]):
    """Another job that has the unique key of one that was not enqueued for that."""


def without_own(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields that take nothing of the dashboard's own, whatever the settings say.

    Raises InvalidInput for a field that asks for it.
    """
    for name in fields:
        if name.strip().lower().replace("-", "_") in _OF_THE_ENQUEUER:
            raise InvalidInput(f"field '{name}' cannot be used here", hint="use env")
    return {**fields, "capture_env": False}


def _enqueue(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    fields = without_own(arguments["fields"])
    fields = {name: as_pairs(name, value) for name, value in fields.items()}
    request = queue.request(fields, replace=arguments.get("replace", False))
    (result,) = queue.enqueue_requests([request])
    return job_of(queue, result)


def job_of(queue: Queue, result: EnqueueResult) -> dict[str, Any]:
    """Return the job that was enqueued, or that has its unique key. Raises what has kept it."""
    if result.error:
        raise result.error
    answer = job_as_dict(queue, queue.get(result.job_id))
    return _Holder(answer) if result.is_other_job else answer


def as_pairs(name: str, value: Any) -> Any:
    """Return the value of a field; lines `NAME=value` as a mapping, where one is wanted.

    Raises InvalidInput for a line that is none.
    """
    field = ASKED.get(name)
    if field is None or field.kind is not Kind.PAIRS or not isinstance(value, str):
        return value
    lines = [line for line in value.splitlines() if line.strip()]
    if wrong := next((line for line in lines if "=" not in line), ""):
        raise InvalidInput(f"{name}: {shown(wrong)} is not NAME=value")
    return dict(line.split("=", 1) for line in lines)


def enqueued(_arguments: Arguments, job: dict[str, Any]) -> str:
    """Return what became of a new job in one line."""
    if isinstance(job, _Holder):
        return f"Job '{job['id']}' with this unique key waits or runs already"
    return f"Enqueued job '{job['id']}'"


def _delete(queue: Queue, arguments: Arguments) -> dict[str, str]:
    job_id = queue.resolve(arguments["id"])
    queue.delete(job_id, force=arguments.get("force", False))
    return {"deleted": job_id}


def _cancelled(_arguments: Arguments, job: dict[str, Any]) -> str:
    is_done = job["state"] == State.CANCELLED.value
    return f"Cancelled job '{job['id']}'" if is_done else f"Stopping job '{job['id']}'"


def _of_job(
    verb: str,
    about: str,
    act: Callable[[Queue, str], Job],
    message: str | Callable[[Arguments, Any], str],
    asks: Asks | None = None,
) -> Endpoint:
    """Return the endpoint that does something to one job and shows what it is then."""
    return Endpoint(
        f"{verb}Job", "POST", f"/jobs/{{id}}/{verb}", about,
        lambda queue, arguments: job_as_dict(queue, act(queue, queue.resolve(arguments["id"]))),
        named("Job"), (JOB_ID,), message=message, asks=asks,
    )  # fmt: skip


# queues, workers and settings


def _queue_as_dict(queue: Queue, name: str) -> dict[str, Any]:
    for view in queue_views(queue.counts(), queue.queue_limits()):
        if view.name == name:
            return view_as_dict(view)
    raise NotFound(f"no queue '{name}'", hint="it has no jobs and no limit")


def _of_queue(verb: str, about: str, act: Callable[[Queue, str], None], done: str) -> Endpoint:
    """Return the endpoint that does something to a queue and shows it afterwards."""

    def acted(queue: Queue, arguments: Arguments) -> dict[str, Any]:
        act(queue, arguments["name"])
        return _queue_as_dict(queue, arguments["name"])

    return Endpoint(f"{verb}Queue", "POST", f"/queues/{{name}}/{verb}", about, acted,
                    named("Queue"), (_QUEUE_NAME,), message=f"{done} queue '{{name}}'")  # fmt: skip


def _limit(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    queue.limit_queue(arguments["name"], arguments["limit"])
    return _queue_as_dict(queue, arguments["name"])


def _limited(arguments: Arguments, _answer: Any) -> str:
    limit = arguments["limit"]
    name = arguments["name"]
    return f"Limited queue '{name}' to {limit}" if limit else f"Removed the limit of queue '{name}'"


def _stop_worker(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    worker_id = arguments["id"]
    worker = next((each for each in queue.workers() if each.record.id == worker_id), None)
    if worker is None:
        raise NotFound(f"no worker '{worker_id}'", hint="queuectl worker list shows them")
    how = StopRequest.NOW if arguments.get("now", False) else StopRequest.GRACEFUL
    queue.ask_workers_to_stop([worker_id], how)
    return {**worker_as_dict(worker), "state": "stopping"}


def _set(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    key, value = queue.set_setting(arguments["key"], arguments["value"])
    return {"key": key, "value": value}


def _unset(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    key, value = queue.unset_setting(arguments["key"])
    return {"key": key, "value": value}


CHANGING = (
    Endpoint("enqueue", "POST", "/jobs", "Store a new job.", _enqueue, named("Job"), (
        Param(WHOLE_BODY, BODY, named("Enqueue"), "the fields of the job", True),
        Param("replace", QUERY, FLAG, "replace a job of this id unless it runs"),
    ), 201, enqueued),
    Endpoint("deleteJob", "DELETE", "/jobs/{id}", "Delete a job that does not run, with its logs.",
             _delete, named("Deleted"),
             (JOB_ID, Param("force", QUERY, FLAG, "cancel it first if it runs")),
             message="Deleted job '{deleted}'", is_slow=True),
    _of_job("cancel", "Cancel a job that waits, or have the worker of one that runs stop it.",
            Queue.cancel, _cancelled, questions.before_cancel),
    _of_job("retry", "Start a settled or failed job afresh.",
            Queue.retry, "Retried job '{id}'", questions.before_retry),
    _of_job("pause", "Hold a job back, or stop one that runs in its place.",
            Queue.pause, "Paused job '{id}'"),
    _of_job("resume", "Let a paused job go on.", Queue.resume, "Resumed job '{id}'"),
    _of_queue("pause", "Start nothing more from a queue.", Queue.pause_queue, "Paused"),
    _of_queue("resume", "Take jobs from a queue again.", Queue.resume_queue, "Resumed"),
    Endpoint("limitQueue", "PUT", "/queues/{name}/limit",
             "Let at most so many slots of a queue run at once; 0 is any number.",
             _limit, named("Queue"), (_QUEUE_NAME, Param("limit", BODY, LIMIT, "slots", True)),
             message=_limited),
    Endpoint("stopWorker", "POST", "/workers/{id}/stop",
             "Ask a worker to leave once its job is done.", _stop_worker, named("Worker"),
             (_WORKER_ID, Param("now", QUERY, FLAG, "stop its job too, to be run again")),
             message="Asked worker '{id}' to stop", asks=questions.before_stop),
    Endpoint("setSetting", "PUT", "/settings/{key}", "Change a setting.", _set, named("Setting"),
             (_SETTING_KEY, Param("value", BODY, SETTING, "its value", True)),
             message=lambda _arguments, answer: f"{answer['key']} = {show(answer['value'])}"),
    Endpoint("unsetSetting", "DELETE", "/settings/{key}", "Go back to a setting's default.",
             _unset, named("Setting"), (_SETTING_KEY,), message=lambda _arguments, answer:
             f"{answer['key']} = {show(answer['value'])}, the default"),
)  # fmt: skip
