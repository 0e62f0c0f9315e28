"""Read-only endpoints, except those of schedules and hooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from queuectl.domain import settings as tunables
from queuectl.domain.batch import place_of
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import delivery_queue
from queuectl.domain.stats import as_dict as report_as_dict
from queuectl.domain.times import UTC
from queuectl.domain.views import as_dict
from queuectl.presentation.batches import batch_as_dict
from queuectl.presentation.run_log import LogWanted, read_log
from queuectl.presentation.status import queue_views, status_as_dict, view_as_dict, worker_as_dict
from queuectl.queue import Queue
from queuectl.system.time_parser import parse_past
from queuectl.web.api.endpoint import JOB_ID, PATH, QUERY, Arguments, Endpoint, Param
from queuectl.web.api.schemas import FLAG, NAME, SEQ, STATE, STREAM, TEXT, array, named

MOST_LISTED = 500
DEAD = frozenset({State.DEAD})

_WORDS = {**TEXT, "maxLength": 200}
_QUEUE = Param("queue", QUERY, NAME, "only of this queue")
STATES = Param("state", QUERY, {**array(STATE), "maxItems": 6}, "only in these states")
FILTER = (
    _QUEUE,
    Param("batch", QUERY, NAME, "only of this batch"),
    Param("label", QUERY, {**array(_WORDS), "maxItems": 16}, "only with all of these labels"),
    Param("text", QUERY, _WORDS, "only with all of these words in id, command or last error"),
    Param("exit_code", QUERY, {"type": "integer", "minimum": 0, "maximum": 255},
          "only those whose latest run ended with it, as a shell would tell"),
    Param("since", QUERY, _WORDS, "only those that changed since: 2h (ago), 2030-01-31T14:30Z"),
    Param("until", QUERY, _WORDS, "only those that last changed before such a time"),
)  # fmt: skip
_PAGING = (
    Param("limit", QUERY, {"type": "integer", "minimum": 1, "maximum": MOST_LISTED},
          "how many at most; 50 unless said"),
    Param("after", QUERY, SEQ, "go on after this number: `next` of the page before"),
    Param("oldest_first", QUERY, FLAG, "in order of arrival; the newest come first unless said"),
    Param("full", QUERY, FLAG, "with output and history, which are empty unless said"),
)  # fmt: skip
_OF_DELIVERIES = (
    Param("hook", QUERY, NAME, "only of this hook"),
    Param("text", QUERY, _WORDS, "only with all of these words in id or last error"),
)


def filter_of(arguments: Arguments, states: frozenset[State] = frozenset()) -> Filter:
    """Return the filter that parameters ask for; of these states unless they name some.

    Raises InvalidInput for a time that cannot be read.
    """
    return Filter(
        states=frozenset(State(word) for word in arguments.get("state", ())) or states,
        queue=arguments.get("queue"),
        batch=arguments.get("batch"),
        labels=tuple(arguments.get("label", ())),
        texts=tuple(arguments.get("text", "").split()),
        exit_code=arguments.get("exit_code"),
        changed_since=_past(arguments.get("since")),
        unchanged_since=_past(arguments.get("until")),
    )


def known_filter_of(
    queue: Queue, arguments: Arguments, states: frozenset[State] = frozenset()
) -> Filter:
    """Return the same. Raises NotFound for a batch, mistyped maybe, that is not there."""
    if "batch" in arguments:
        queue.require_batch(arguments["batch"])
    return filter_of(arguments, states)


def _past(typed: str | None) -> datetime | None:
    return parse_past(typed, datetime.now(UTC)) if typed else None


def deliveries_of(arguments: Arguments) -> Filter:
    """Return the filter of deliveries that parameters ask for."""
    hook = arguments.get("hook")
    queue = hook and delivery_queue(hook)
    return replace(filter_of(arguments), queue=queue, deliveries=True)


def page_of(
    queue: Queue,
    arguments: Arguments,
    states: frozenset[State] = frozenset(),
    *,
    deliveries: bool = False,
) -> tuple[list[Job], int | None]:
    """Return a page of jobs, or of deliveries, and where the next one begins: None at the end.

    However many there are, it reads a limited number at a time.
    """
    limit, full = arguments.get("limit", 50), arguments.get("full", False)
    page = Page(
        limit=limit + 1,
        after_seq=arguments.get("after", 0),
        newest_first=not arguments.get("oldest_first", False),
        with_output=full,
        with_history=full,
    )
    selection = deliveries_of(arguments) if deliveries else filter_of(arguments, states)
    jobs = list(queue.find(selection, page))
    return jobs[:limit], place_of(jobs[limit - 1]) if len(jobs) > limit else None


def _as_page(queue: Queue, page: tuple[list[Job], int | None]) -> dict[str, Any]:
    return {"jobs": as_dicts(queue, page[0]), "next": page[1]}


def _page_as_dict(
    queue: Queue, arguments: Arguments, states: frozenset[State] = frozenset()
) -> dict[str, Any]:
    known_filter_of(queue, arguments)
    return _as_page(queue, page_of(queue, arguments, states))


def as_dicts(queue: Queue, jobs: list[Job]) -> list[dict[str, Any]]:
    """Return jobs as the API tells them."""
    now, wait_context = queue.now(), queue.wait_context()
    return [as_dict(job, now, wait_context) for job in jobs]


def job_as_dict(queue: Queue, job: Job) -> dict[str, Any]:
    """Return one job as the API tells it."""
    return as_dicts(queue, [job])[0]


def _log(queue: Queue, arguments: Arguments) -> dict[str, Any]:
    job_id = queue.resolve(arguments["id"])
    log = read_log(queue, LogWanted(job_id, arguments.get("run"), arguments.get("stream")))
    return {
        "job": job_id,
        "run": log.run,
        "stream": log.stream,
        "text": log.text,
        "size": log.size,
        "cut": log.cut,
        "notice": log.notice,
    }


READING = (
    Endpoint("getStatus", "GET", "/status", "Count the jobs and show the workers that are alive.",
             lambda queue, _arguments: status_as_dict(queue), named("Status")),
    Endpoint("getStats", "GET", "/stats", "Tell what happened in the last hour, and how fast.",
             lambda queue, arguments: report_as_dict(queue.stats(arguments.get("queue"))),
             named("Report"), (_QUEUE,)),
    Endpoint("listJobs", "GET", "/jobs", "List jobs, dead ones included, a page at a time.",
             lambda queue, arguments: _page_as_dict(queue, arguments),
             named("JobPage"), (STATES, *FILTER, *_PAGING)),
    Endpoint("getJob", "GET", "/jobs/{id}", "Show everything about one job.",
             lambda queue, arguments: job_as_dict(queue, queue.get(arguments["id"])),
             named("Job"), (JOB_ID,)),
    Endpoint("getLog", "GET", "/jobs/{id}/logs", "Show the end of what a run wrote.",
             _log, named("Log"), (
                 JOB_ID,
                 Param("run", QUERY, {"type": "integer", "minimum": 1, "maximum": 2**31},
                       "which run; the latest unless said"),
                 Param("stream", QUERY, STREAM,
                       "one of the two alone; all that there is, in its order, unless said"),
             )),
    Endpoint("listDead", "GET", "/dlq", "List the dead jobs, a page at a time.",
             lambda queue, arguments: _page_as_dict(queue, arguments, DEAD),
             named("JobPage"), (*FILTER, *_PAGING)),
    Endpoint("listDeliveries", "GET", "/deliveries",
             "List what hooks tell, each delivery as a job, a page at a time.",
             lambda queue, arguments: _as_page(queue, page_of(queue, arguments, deliveries=True)),
             named("JobPage"), (STATES, *_OF_DELIVERIES, *_PAGING)),
    Endpoint("listQueues", "GET", "/queues", "List the queues with their jobs.",
             lambda queue, _arguments: [
                 view_as_dict(view) for view in queue_views(queue.counts(), queue.queue_limits())
             ], array(named("Queue"))),
    Endpoint("listBatches", "GET", "/batches", "List the batches with their jobs by state.",
             lambda queue, _arguments: [batch_as_dict(each) for each in queue.batches()],
             array(named("Batch"))),
    Endpoint("getBatch", "GET", "/batches/{name}", "Show how a batch stands.",
             lambda queue, arguments: batch_as_dict(queue.batch(arguments["name"])),
             named("Batch"), (Param("name", PATH, NAME, "the name of a batch", True),)),
    Endpoint("listWorkers", "GET", "/workers", "List the workers that are alive.",
             lambda queue, _arguments: [worker_as_dict(worker) for worker in queue.workers()],
             array(named("Worker"))),
    Endpoint("getSettings", "GET", "/settings", "Show every setting with its value.",
             lambda queue, _arguments: tunables.as_dict(queue.settings()), named("Settings")),
)  # fmt: skip
