"""What the API tells: jobs in pages, one job, its output, and how everything else stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queuectl.domain import settings as tunables
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import delivery_queue
from queuectl.domain.stats_report import as_dict as report_as_dict
from queuectl.domain.views import as_dict
from queuectl.presentation.run_log import LogWanted, read_log
from queuectl.presentation.status import queue_views, status_as_dict, view_as_dict, worker_as_dict
from queuectl.queue import Queue
from queuectl.web.api.endpoint import JOB_ID, Arguments, Endpoint
from queuectl.web.api.params import QUERY, Param
from queuectl.web.api.schemas import FLAG, NAME, SEQ, STATE, TEXT, array, named

MOST_LISTED = 500
DEAD = frozenset({State.DEAD})

_WORDS = {**TEXT, "maxLength": 200}
FILTER = (
    Param("queue", QUERY, NAME, "only of this queue"),
    Param("label", QUERY, {**array(_WORDS), "maxItems": 16}, "only with all of these labels"),
    Param("text", QUERY, _WORDS, "only with all of these words in id, command or last error"),
    Param("exit_code", QUERY, {"type": "integer", "minimum": 0, "maximum": 255},
          "only those whose latest run ended with it, as a shell would tell"),
)  # fmt: skip
_PAGING = (
    Param("limit", QUERY, {"type": "integer", "minimum": 1, "maximum": MOST_LISTED},
          "how many at most; 50 unless said"),
    Param("after", QUERY, SEQ, "go on after this number: `next` of the page before"),
    Param("oldest_first", QUERY, FLAG, "in order of arrival; the newest come first unless said"),
    Param("full", QUERY, FLAG, "with output and history, which are empty unless said"),
)  # fmt: skip
_STATES = Param("state", QUERY, {**array(STATE), "maxItems": 6}, "only in these states")


@frozen
class Listing:
    """One page of jobs; `next` is where the next one begins, None at the end."""

    jobs: list[Job]
    next: int | None


def filter_of(asked: Arguments, states: frozenset[State] = frozenset()) -> Filter:
    """Return the filter that parameters ask for; of these states unless they name some."""
    return Filter(
        states=frozenset(State(word) for word in asked.get("state", ())) or states,
        queue=asked.get("queue"),
        labels=tuple(asked.get("label", ())),
        texts=tuple(asked.get("text", "").split()),
        exit_code=asked.get("exit_code"),
    )


def page_of(
    queue: Queue,
    asked: Arguments,
    states: frozenset[State] = frozenset(),
    *,
    deliveries: bool = False,
) -> Listing:
    """Return one page of jobs, or of what hooks have told, of one of them if that is asked.

    However many there are, it reads a limited number at a time.
    """
    limit, full = asked.get("limit", 50), asked.get("full", False)
    page = Page(
        limit=limit + 1,
        after_seq=asked.get("after", 0),
        newest_first=not asked.get("oldest_first", False),
        with_output=full,
        with_history=full,
    )
    chosen = filter_of(asked, states)
    if deliveries:
        hook = asked.get("hook")
        chosen = replace(chosen, queue=hook and delivery_queue(hook), deliveries=True)
    found = list(queue.find(chosen, page))
    return Listing(found[:limit], found[limit - 1].seq if len(found) > limit else None)


def _listed(queue: Queue, listing: Listing) -> dict[str, Any]:
    now, wait_context = queue.now(), queue.wait_context()
    return {"jobs": [as_dict(job, now, wait_context) for job in listing.jobs], "next": listing.next}


def _list_jobs(queue: Queue, asked: Arguments) -> Any:
    return _listed(queue, page_of(queue, asked))


def _list_dead(queue: Queue, asked: Arguments) -> Any:
    return _listed(queue, page_of(queue, asked, DEAD))


def _list_deliveries(queue: Queue, asked: Arguments) -> Any:
    return _listed(queue, page_of(queue, asked, deliveries=True))


def shown(queue: Queue, job: Job) -> dict[str, Any]:
    """Return a job as the API tells it."""
    return as_dict(job, queue.now(), queue.wait_context())


def _get_job(queue: Queue, asked: Arguments) -> Any:
    return shown(queue, queue.get(asked["id"]))


def _get_log(queue: Queue, asked: Arguments) -> Any:
    job_id = queue.resolve(asked["id"])
    log = read_log(queue, LogWanted(job_id, asked.get("run"), asked.get("stream")))
    return {
        "job": job_id,
        "run": log.run,
        "stream": log.stream,
        "text": log.text,
        "size": log.sizes[log.stream == "stderr"],
        "cut": log.cut,
        "notice": log.notice,
    }


def _list_queues(queue: Queue, _asked: Arguments) -> Any:
    return [view_as_dict(view) for view in queue_views(queue.counts(), queue.queue_limits())]


def _list_workers(queue: Queue, _asked: Arguments) -> Any:
    return [worker_as_dict(worker) for worker in queue.workers()]


def _get_settings(queue: Queue, _asked: Arguments) -> Mapping[str, Any]:
    return tunables.as_dict(queue.settings())


def _get_stats(queue: Queue, asked: Arguments) -> Any:
    return report_as_dict(queue.stats(asked.get("queue")))


def _get_status(queue: Queue, _asked: Arguments) -> Any:
    return status_as_dict(queue)


READING = (
    Endpoint("getStatus", "GET", "/status", "Count the jobs and show the workers that are alive.",
             _get_status, named("Status")),
    Endpoint("getStats", "GET", "/stats", "Tell what happened in the last hour, and how fast.",
             _get_stats, named("Report"), (Param("queue", QUERY, NAME, "only of this queue"),)),
    Endpoint("listJobs", "GET", "/jobs", "List jobs, dead ones included, a page at a time.",
             _list_jobs, named("JobPage"), (_STATES, *FILTER, *_PAGING)),
    Endpoint("getJob", "GET", "/jobs/{id}", "Show everything about one job.",
             _get_job, named("Job"), (JOB_ID,)),
    Endpoint("getLog", "GET", "/jobs/{id}/logs", "Show the end of what a run wrote.",
             _get_log, named("Log"), (
                 JOB_ID,
                 Param("run", QUERY, {"type": "integer", "minimum": 1, "maximum": 2**31},
                       "which run; the latest unless said"),
                 Param("stream", QUERY, {"type": "string", "enum": ["stdout", "stderr"]},
                       "which of the two; standard error unless said where it is all there is"),
             )),
    Endpoint("listDead", "GET", "/dlq", "List the dead jobs, a page at a time.",
             _list_dead, named("JobPage"), (*FILTER, *_PAGING)),
    Endpoint("listDeliveries", "GET", "/deliveries",
             "List what hooks tell, each delivery as a job, a page at a time.",
             _list_deliveries, named("JobPage"), (
                 _STATES,
                 Param("hook", QUERY, NAME, "only of this hook"),
                 Param("text", QUERY, _WORDS, "only with all of these words in id or last error"),
                 *_PAGING,
             )),
    Endpoint("listQueues", "GET", "/queues", "List the queues with their jobs.",
             _list_queues, array(named("Queue"))),
    Endpoint("listWorkers", "GET", "/workers", "List the workers that are alive.",
             _list_workers, array(named("Worker"))),
    Endpoint("getSettings", "GET", "/settings", "Show every setting with its value.",
             _get_settings, named("Settings")),
)  # fmt: skip
"""What only looks, but for what stands by name."""
