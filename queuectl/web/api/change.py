"""What the API changes: jobs one by one, queues, workers and settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queuectl.domain.errors import InvalidInput, NotFound
from queuectl.domain.job import Job, State
from queuectl.domain.settings import show
from queuectl.domain.worker_record import StopRequest
from queuectl.presentation.status import queue_views, view_as_dict
from queuectl.queue import Queue
from queuectl.web.api.endpoint import (
    JOB_ID,
    QUEUE_NAME,
    SETTING_KEY,
    WORKER_ID,
    Arguments,
    Endpoint,
)
from queuectl.web.api.params import BODY, QUERY, Param
from queuectl.web.api.read import shown
from queuectl.web.api.schemas import FLAG, LIMIT, named

_OF_THE_ENQUEUER = frozenset({"env_file", "capture_env"})
"""Fields that read files and variables of whoever enqueues, which here is the dashboard."""


def _enqueue(queue: Queue, asked: Arguments) -> Any:
    fields = asked["fields"]
    for name in fields:
        if name.strip().lower().replace("-", "_") in _OF_THE_ENQUEUER:
            raise InvalidInput(f"field '{name}' cannot be used here", hint="use env")
    request = queue.request(fields, replace=asked.get("replace", False))
    (result,) = queue.enqueue_requests([request])
    if result.error:
        raise result.error
    answer = shown(queue, queue.get(result.job_id))
    return _Holder(answer) if result.is_other_job else answer


class _Holder(dict[str, Any]):
    """Another job that has the unique key of one that was not enqueued for that."""


def _told_of_enqueue(_asked: Arguments, job: Any) -> str:
    if isinstance(job, _Holder):
        return f"Job '{job['id']}' with this unique key waits or runs already"
    return f"Enqueued job '{job['id']}'"


def _on_job(act: Callable[[Queue, str], Job]) -> Callable[[Queue, Arguments], Any]:
    """Return what does something to one job and shows what it is then."""
    return lambda queue, asked: shown(queue, act(queue, queue.resolve(asked["id"])))


def _delete(queue: Queue, asked: Arguments) -> Any:
    job_id = queue.resolve(asked["id"])
    queue.delete(job_id, force=asked.get("force", False))
    return {"deleted": job_id}


def _told_of_cancel(_asked: Arguments, job: Any) -> str:
    is_done = job["state"] == State.CANCELLED.value
    return f"Cancelled job '{job['id']}'" if is_done else f"Stopping job '{job['id']}'"


def _on_queue(act: Callable[[Queue, Arguments], None]) -> Callable[[Queue, Arguments], Any]:
    def done(queue: Queue, asked: Arguments) -> Any:
        act(queue, asked)
        views = queue_views(queue.counts(), queue.queue_limits())
        found = [view for view in views if view.name == asked["name"]]
        if not found:
            raise NotFound(f"no queue '{asked['name']}'", hint="it has no jobs and no limit")
        return view_as_dict(found[0])

    return done


def _told_of_limit(asked: Arguments, _answer: Any) -> str:
    limit = asked["limit"]
    return f"Queue '{asked['name']}' " + (f"runs at most {limit}" if limit else "has no limit")


def _stop_worker(queue: Queue, asked: Arguments) -> Any:
    from queuectl.presentation.status import worker_as_dict

    found = [worker for worker in queue.workers() if worker.record.id == asked["id"]]
    if not found:
        raise NotFound(f"no worker '{asked['id']}'", hint="queuectl worker list shows them")
    how = StopRequest.NOW if asked.get("now", False) else StopRequest.GRACEFUL
    queue.ask_workers_to_stop([asked["id"]], how)
    return {**worker_as_dict(found[0]), "state": "stopping"}


def _set(queue: Queue, asked: Arguments) -> Any:
    key, value = queue.set_setting(asked["key"], asked["value"])
    return {"key": key, "value": value}


def _unset(queue: Queue, asked: Arguments) -> Any:
    key, value = queue.unset_setting(asked["key"])
    return {"key": key, "value": value}


def _job(name: str, verb: str, about: str, act: Callable[[Queue, str], Job], done: str) -> Endpoint:
    return Endpoint(
        name, "POST", f"/jobs/{{id}}/{verb}", about, _on_job(act), named("Job"), (JOB_ID,),
        told=lambda _asked, job: done.format(job["id"]),
    )  # fmt: skip


def _queue(verb: str, about: str, act: Callable[[Queue, Arguments], None], done: str) -> Endpoint:
    return Endpoint(
        f"{verb}Queue", "POST", f"/queues/{{name}}/{verb}", about, _on_queue(act), named("Queue"),
        (QUEUE_NAME,), told=lambda asked, _answer: f"{done} queue '{asked['name']}'",
    )  # fmt: skip


CHANGING = (
    Endpoint("enqueue", "POST", "/jobs", "Store a new job.", _enqueue, named("Job"), (
        Param("*", BODY, named("Enqueue"), "the fields of the job", True),
        Param("replace", QUERY, FLAG, "replace a job of this id unless it runs"),
    ), 201, told=_told_of_enqueue),
    Endpoint("deleteJob", "DELETE", "/jobs/{id}", "Delete a job that does not run, with its logs.",
             _delete, named("Deleted"),
             (JOB_ID, Param("force", QUERY, FLAG, "cancel it first if it runs")),
             told=lambda _asked, answer: f"Job '{answer['deleted']}' deleted"),
    Endpoint("cancelJob", "POST", "/jobs/{id}/cancel",
             "Cancel a job that waits, or have the worker of one that runs stop it.",
             _on_job(lambda queue, job_id: queue.cancel(job_id)), named("Job"), (JOB_ID,),
             told=_told_of_cancel),
    _job("retryJob", "retry", "Start a settled or failed job afresh.",
         lambda queue, job_id: queue.retry(job_id), "Job '{}' is pending again"),
    _job("pauseJob", "pause", "Hold a job back, or stop one that runs in its place.",
         lambda queue, job_id: queue.pause(job_id), "Paused job '{}'"),
    _job("resumeJob", "resume", "Let a paused job go on.",
         lambda queue, job_id: queue.resume(job_id), "Resumed job '{}'"),
    _queue("pause", "Start nothing more from a queue.",
           lambda queue, asked: queue.pause_queue(asked["name"]), "Paused"),
    _queue("resume", "Take jobs from a queue again.",
           lambda queue, asked: queue.resume_queue(asked["name"]), "Resumed"),
    Endpoint("limitQueue", "PUT", "/queues/{name}/limit",
             "Let at most so many slots of a queue run at once; 0 is any number.",
             _on_queue(lambda queue, asked: queue.limit_queue(asked["name"], asked["limit"])),
             named("Queue"), (QUEUE_NAME, Param("limit", BODY, LIMIT, "slots", True)),
             told=_told_of_limit),
    Endpoint("stopWorker", "POST", "/workers/{id}/stop",
             "Ask a worker to leave once its job is done.", _stop_worker, named("Worker"),
             (WORKER_ID, Param("now", QUERY, FLAG, "stop its job too, to be run again")),
             told=lambda asked, _answer: f"Asked worker '{asked['id']}' to stop"),
    Endpoint("setSetting", "PUT", "/settings/{key}", "Change a setting.", _set, named("Setting"), (
        SETTING_KEY,
        Param("value", BODY, {"type": ["number", "boolean", "string"]}, "its value", True),
    ), told=lambda _asked, answer: f"{answer['key']} = {show(answer['value'])}"),
    Endpoint("unsetSetting", "DELETE", "/settings/{key}", "Go back to a setting's default.",
             _unset, named("Setting"), (SETTING_KEY,),
             told=lambda _asked, answer: f"{answer['key']} = {show(answer['value'])}, the default"),
)  # fmt: skip
"""Everything that changes one thing."""
