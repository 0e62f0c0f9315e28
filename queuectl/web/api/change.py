"""Endpoints that change jobs, queues, workers and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from queuectl.domain.errors import Conflict, InvalidInput, NotFound, QueuectlError, StoreError
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter
from queuectl.domain.settings import show
from queuectl.domain.worker_record import StopRequest
from queuectl.presentation.status import queue_views, view_as_dict, worker_as_dict
from queuectl.queue import Queue
from queuectl.queue.bulk import ChangeResult
from queuectl.web.api.endpoint import (
    BODY,
    JOB_ID,
    PATH,
    QUERY,
    WHOLE_BODY,
    Arguments,
    Endpoint,
    Param,
)
from queuectl.web.api.read import DEAD, FILTER, filter_of, job_as_dict
from queuectl.web.api.schemas import FLAG, LIMIT, NAME, SETTING, array, named

MOST_NAMED = 1000
_MOST_REFUSALS = 20
_OF_THE_ENQUEUER = frozenset({"env_file", "capture_env", "snapshot"})
"""Fields that read files and variables of whoever enqueues, which here is the dashboard."""

_QUEUE_NAME = Param("name", PATH, NAME, "the name of a queue", True)
_SETTING_KEY = Param("key", PATH, {"type": "string", "maxLength": 64}, "a setting", True)
_WORKER_ID = Param("id", PATH, NAME, "the id of a worker", True)


# jobs, one by one


class _Holder(dict[str, Any]):
    """Another job that has the unique key of one that was not enqueued for that."""


def refuse_own_of_enqueuer(fields: Mapping[str, object]) -> None:
    """Raise InvalidInput for a field that would read what is the dashboard's own here."""
    for name in fields:
        if name.strip().lower().replace("-", "_") in _OF_THE_ENQUEUER:
            raise InvalidInput(f"field '{name}' cannot be used here", hint="use env")


def _enqueue(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    fields = arguments["fields"]
    refuse_own_of_enqueuer(fields)
    fields = {**fields, "capture_env": False}  # whatever the setting says
    request = queue.request(fields, replace=arguments.get("replace", False))
    (result,) = queue.enqueue_requests([request])
    if result.error:
        raise result.error
    answer = job_as_dict(queue, queue.get(result.job_id))
    return _Holder(answer) if result.is_other_job else answer


def _enqueued(_arguments: Arguments, job: dict[str, Any]) -> str:
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
) -> Endpoint:
    """Return the endpoint that does something to one job and shows what it is then."""
    return Endpoint(
        f"{verb}Job", "POST", f"/jobs/{{id}}/{verb}", about,
        lambda queue, arguments: job_as_dict(queue, act(queue, queue.resolve(arguments["id"]))),
        named("Job"), (JOB_ID,), message=message,
    )  # fmt: skip


# dead jobs: those that are named, or all that fit

_SELECTION = (
    Param("ids", BODY, {**array(NAME), "maxItems": MOST_NAMED}, "the jobs that are meant"),
    Param("all", BODY, FLAG, "all dead jobs that fit, in place of ids"),
    *(Param(each.name, BODY, each.schema, f"of all: {each.about}") for each in FILTER),
)


def _of_dead(
    verb: str,
    about: str,
    one: Callable[[Queue, str], object],
    every: Callable[[Queue, Filter], Iterator[ChangeResult]],
    done: str,
) -> Endpoint:
    """Return the endpoint that does something to dead jobs: to each of some, or all at once."""

    def act(queue: Queue, arguments: Arguments) -> dict[str, Any]:
        if ("ids" in arguments) == bool(arguments.get("all")):
            raise InvalidInput("name the jobs by ids, or say all")
        if "ids" in arguments:
            errors = [_error_of(queue, one, word) for word in arguments["ids"]]
        else:
            errors = [result.error for result in every(queue, filter_of(arguments, DEAD))]
        refused = [str(error) for error in errors if error]
        return {
            "done": len(errors) - len(refused),
            "kept": len(refused),
            "refused": refused[:_MOST_REFUSALS],
        }

    def message(_arguments: Arguments, answer: dict[str, Any]) -> str:
        jobs = "1 job" if answer["done"] == 1 else f"{answer['done']:,} jobs"
        kept = f"; {answer['kept']:,} not: {answer['refused'][0]}" if answer["kept"] else ""
        return f"{done} {jobs}{kept}"

    return Endpoint(f"{verb}Dead", "POST", f"/dlq/{verb}", about, act, named("Done"), _SELECTION,
                    message=message)  # fmt: skip


def _error_of(queue: Queue, one: Callable[[Queue, str], object], word: str) -> QueuectlError | None:
    """Do something to one job; return why it was refused, if it was."""
    try:
        one(queue, queue.resolve(word))
    except StoreError:
        raise
    except QueuectlError as refusal:
        return refusal
    return None


def _purge(queue: Queue, job_id: str) -> None:
    job = queue.get(job_id)
    if job.state is not State.DEAD:
        raise Conflict(f"job '{job.id}' is {job.state}, not dead")
    queue.delete(job.id, only=Filter(DEAD))


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
    ), 201, _enqueued),
    Endpoint("deleteJob", "DELETE", "/jobs/{id}", "Delete a job that does not run, with its logs.",
             _delete, named("Deleted"),
             (JOB_ID, Param("force", QUERY, FLAG, "cancel it first if it runs")),
             message="Deleted job '{deleted}'"),
    _of_job("cancel", "Cancel a job that waits, or have the worker of one that runs stop it.",
            Queue.cancel, _cancelled),
    _of_job("retry", "Start a settled or failed job afresh.",
            Queue.retry, "Retried job '{id}'"),
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
             message="Asked worker '{id}' to stop"),
    Endpoint("setSetting", "PUT", "/settings/{key}", "Change a setting.", _set, named("Setting"),
             (_SETTING_KEY, Param("value", BODY, SETTING, "its value", True)),
             message=lambda _arguments, answer: f"{answer['key']} = {show(answer['value'])}"),
    Endpoint("unsetSetting", "DELETE", "/settings/{key}", "Go back to a setting's default.",
             _unset, named("Setting"), (_SETTING_KEY,), message=lambda _arguments, answer:
             f"{answer['key']} = {show(answer['value'])}, the default"),
    _of_dead("retry", "Put dead jobs back to pending.",
             Queue.retry_dead, Queue.retry_all, "Retried"),
    _of_dead("purge", "Delete dead jobs, with their logs.", _purge, Queue.delete_all, "Deleted"),
)  # fmt: skip
