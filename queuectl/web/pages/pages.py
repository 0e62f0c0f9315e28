"""What each page shows: the values for its template, read by the use cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from queuectl.domain import settings as tunables
from queuectl.domain.errors import NotFound
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.views import masked_env
from queuectl.presentation.run_log import LogWanted, read_log
from queuectl.presentation.status import queue_views, totals
from queuectl.queue import Queue
from queuectl.web.api.endpoint import JOB_ID, Arguments
from queuectl.web.api.endpoints import BY_NAME
from queuectl.web.api.named import COMING
from queuectl.web.api.params import QUERY, Param
from queuectl.web.api.read import DEAD, page_of
from queuectl.web.pages.ansi import lines_of
from queuectl.web.pages.overview import overview
from queuectl.web.pages.reasons import why
from queuectl.web.pages.timeline import timeline

Values = dict[str, Any]
Page = tuple[str, str, tuple[Param, ...], Callable[[Queue, Arguments], Values]]
"""The template and the title of a page, what it is asked, and what it reads."""


def _listing(queue: Queue, asked: Arguments, states: frozenset[State] = frozenset()) -> Values:
    counts = queue.counts()
    found = page_of(queue, asked, states)
    return {
        "asked": {name: asked.get(name) for name in _FILTERS},
        "counts": totals(counts),
        "jobs": found.jobs,
        "why": why(queue),
        "queues": sorted(counts.by_queue),
        "older": _with(asked, after=found.next) if found.next is not None else None,
        "newest": _with(asked, after=None) if asked.get("after") else None,
        "is_filtered": any(asked.get(name) not in (None, "") for name in _FILTERS),
        "link": lambda **changes: _with(asked, after=None, **changes),
    }


_FILTERS = ("state", "queue", "label", "text", "exit_code")


def _with(asked: Arguments, **changes: object) -> str:
    """Return the query of a page with some parameters changed; None takes one away."""
    kept = {name: value for name, value in {**asked, **changes}.items() if value not in (None, "")}
    return "?" + urlencode(kept, doseq=True)


def _jobs(queue: Queue, asked: Arguments) -> Values:
    return _listing(queue, asked)


def _dlq(queue: Queue, asked: Arguments) -> Values:
    return _listing(queue, asked, DEAD)


def _deliveries(queue: Queue, asked: Arguments) -> Values:
    found = page_of(queue, asked, deliveries=True)
    return {
        "asked": {name: asked.get(name) for name in _TOLD_BY},
        "counts": totals(queue.counts(deliveries=True)),
        "jobs": found.jobs,
        "why": why(queue),
        "hooks": [each.name for each in queue.hooks.all()],
        "older": _with(asked, after=found.next) if found.next is not None else None,
        "newest": _with(asked, after=None) if asked.get("after") else None,
        "is_filtered": any(asked.get(name) not in (None, "") for name in _TOLD_BY),
        "link": lambda **changes: _with(asked, after=None, **changes),
    }


_TOLD_BY = ("state", "hook", "text")


def _job(queue: Queue, asked: Arguments) -> Values:
    job = queue.get(asked["id"])
    now = queue.now()
    log = read_log(queue, LogWanted(job.id, asked.get("run"), asked.get("stream")))
    return {
        "job": job,
        "env": masked_env(job),
        "why": why(queue),
        "log": log,
        "lines": lines_of(log.text),
        "timeline": timeline(job, now),
        "is_waiting": job.state in WAITING,
        "parents": _parents(queue, job),
    }


def _parents(queue: Queue, job: Job) -> list[tuple[str, str, str]]:
    """Return the jobs that one waits for or has waited for: how, which, and their state."""
    spec, found, root_of = job.spec, [], queue.wait_context().root_of
    ways = (("after", spec.after), ("after any", spec.after_any), ("after fail", spec.after_fail))
    for how, ids in ways:
        for job_id in ids[:_MOST_PARENTS]:
            try:
                state, root = queue.get(job_id).state.value, root_of(job_id)
                found.append((how, job_id, f"{state}: {root}" if root else state))
            except NotFound:
                found.append((how, job_id, "deleted"))
    return found


_MOST_PARENTS = 20


def _queues(queue: Queue, _asked: Arguments) -> Values:
    return {"views": queue_views(queue.counts(), queue.queue_limits())}


def _workers(queue: Queue, _asked: Arguments) -> Values:
    workers = queue.workers()
    held = (worker.job_id for worker in workers if worker.job_id)
    return {"workers": workers, "running": {job_id: _found(queue, job_id) for job_id in held}}


def _found(queue: Queue, job_id: str) -> Job | None:
    try:
        return queue.get(job_id)
    except NotFound:
        return None


def _schedules(queue: Queue, _asked: Arguments) -> Values:
    schedules = queue.schedules
    found = schedules.all()
    return {
        "schedules": found,
        "coming": {each.name: schedules.coming(each, COMING) for each in found},
        "latest": {each.name: schedules.latest_run(each) for each in found},
    }


def _hooks(queue: Queue, _asked: Arguments) -> Values:
    hooks = queue.hooks
    found = hooks.all()
    return {
        "hooks": found,
        "deliveries": {each.name: list(hooks.deliveries(each.name, _DELIVERIES)) for each in found},
    }


_DELIVERIES = 3


def _settings(queue: Queue, _asked: Arguments) -> Values:
    values = tunables.as_dict(queue.settings())
    return {
        "settings": [
            (key, value, tunables.default_of(key), tunables.help_of(key))
            for key, value in values.items()
        ]
    }


_LISTED = tuple(param for param in BY_NAME["listJobs"].params if param.place == QUERY)
_TOLD = tuple(param for param in BY_NAME["listDeliveries"].params if param.place == QUERY)
_LOGGED = tuple(param for param in BY_NAME["getLog"].params if param.place == QUERY)

PAGES: dict[str, Page] = {
    "/": ("overview.html", "Overview", (), overview),
    "/jobs": ("jobs.html", "Jobs", _LISTED, _jobs),
    "/jobs/{id}": ("job.html", "Job", (JOB_ID, *_LOGGED), _job),
    "/dlq": ("dlq.html", "Dead letter queue", _LISTED, _dlq),
    "/queues": ("queues.html", "Queues", (), _queues),
    "/workers": ("workers.html", "Workers", (), _workers),
    "/schedules": ("schedules.html", "Schedules", (), _schedules),
    "/deliveries": ("deliveries.html", "Deliveries", _TOLD, _deliveries),
    "/hooks": ("hooks.html", "Hooks", (), _hooks),
    "/settings": ("settings.html", "Settings", (), _settings),
}
"""Every page by its path."""
