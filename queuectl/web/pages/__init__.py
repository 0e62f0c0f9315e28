"""The pages that a browser shows: for each its template, and the values that it reads for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from queuectl.domain import settings as tunables
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.job_fields import ASKED
from queuectl.domain.query import Counts, Filter, Order
from queuectl.domain.query import Page as Paging
from queuectl.domain.times import iso
from queuectl.domain.views import masked_env, reason
from queuectl.presentation.columns import seconds_between, slots_text
from queuectl.presentation.run_log import LogWanted, read_log
from queuectl.presentation.status import queue_views, totals
from queuectl.queue import Queue
from queuectl.web.api import BY_NAME
from queuectl.web.api import schedules as schedule_api
from queuectl.web.api.copies import texts_of
from queuectl.web.api.endpoint import JOB_ID, QUERY, Arguments, Param
from queuectl.web.api.named import COMING
from queuectl.web.api.read import DEAD, deliveries_of, filter_of, page_of
from queuectl.web.api.schemas import one_of
from queuectl.web.api.trail import acts_of
from queuectl.web.pages import batches, charts, family, figures, output, wall, workers

MOMENT = "\x1f"
"""Stands around a time in a reason, so that the page can show it in the reader's own zone."""

LOOKED_AT = 200
"""How many of the oldest jobs that wait, and of the next to start, are looked at for what is
stuck."""

COUNTED = 2000
"""How many jobs are read at most to say how many there are in each state."""

_FAILED = frozenset({State.FAILED, State.DEAD})
_ROWS = 50
_PATIENCE_SECONDS = 5.0
_MOST_GROUPS = 6
_FAILURES, _RUNNING, _DELIVERIES = 6, 8, 3
"""How many of each are shown."""

Values = dict[str, Any]


@frozen
class Page:
    """A page: its template and title, what it is asked, and what reads the template's values."""

    template: str
    title: str
    params: tuple[Param, ...]
    values: Callable[[Queue, Arguments], Values]


# why jobs wait


def _why(queue: Queue) -> Callable[[Job], str]:
    """Return what tells why a job waits, as things stand now; nothing for one that does not."""
    now, wait_context = queue.now(), queue.wait_context()

    def show(instant: datetime) -> str:
        return f"{MOMENT}{iso(instant)}{MOMENT}"

    return lambda job: reason(job, now, show, wait_context) or ""


def _stuck(queue: Queue, why: Callable[[Job], str]) -> list[Values]:
    """Return why jobs do not start that could, by their time: for each reason how many there are.

    `first` has waited longest. There may be more than `number` where `is_cut`: only the oldest that
    wait, and those that would start next, were looked at.
    """
    now, groups = queue.now(), dict[str, list[Job]]()
    orders = (Order.ARRIVAL, Order.TURN)  # behind many that are not due, one may be that is
    looked_at = [
        list(queue.find(Filter(WAITING), Paging(LOOKED_AT, order=each))) for each in orders
    ]
    for job in {job.id: job for jobs in looked_at for job in jobs}.values():
        if text := _held_up(job, why(job), now):
            groups.setdefault(text, []).append(job)
    is_cut = len(looked_at[0]) == LOOKED_AT
    largest = sorted(groups.items(), key=lambda group: -len(group[1]))[:_MOST_GROUPS]
    return [
        {"reason": text, "number": len(jobs), "first": jobs[0], "is_cut": is_cut}
        for text, jobs in largest
    ]


def _held_up(job: Job, text: str, now: datetime) -> str:
    """Return what keeps a job from starting now; nothing where it is only early, or just due.

    The reason of a job that waits for one which has ended otherwise, or is gone, ends with `)`.
    """
    if job.paused or job.blocked_by:
        return text if job.paused or text.endswith(")") else ""
    if not job.is_due(now):
        return ""
    if text != "due" and not text.endswith(" due"):
        return text
    is_late = seconds_between(job.run_at, now) > _PATIENCE_SECONDS
    return "all workers are busy" if is_late else ""


# what each page shows


def _overview(queue: Queue, _arguments: Arguments) -> Values:
    counts, workers, why = totals(queue.counts()), queue.workers(), _why(queue)
    failed = [*_newest(queue, State.FAILED, 50), *_newest(queue, State.DEAD, 50)]
    return {
        "counts": counts,
        "workers": workers,
        "busy": sum(worker.state == "busy" for worker in workers),
        "slots": slots_text(*workers),
        "states": charts.states_bar(counts),
        "charts": charts.charts(queue),
        "frame": charts,
        "stuck": _stuck(queue, why),
        "failures": sorted(failed, key=lambda job: job.updated_at, reverse=True)[:_FAILURES],
        "running": _newest(queue, State.PROCESSING, _RUNNING),
        "why": why,
    }


def _newest(queue: Queue, state: State, number: int) -> list[Job]:
    return list(queue.find(Filter(frozenset({state})), Paging(limit=number, newest_first=True)))


_OF_NEW_JOBS = [field for name, field in ASKED.items() if not field.is_hidden and name != "queue"]
"""The fields that the form for a new job has, beside command, id, queue and time."""

_LONG = {"env": "NAME=value, a line for each", "input_text": "what it reads"}
_FORM = {"fields": _OF_NEW_JOBS, "long_fields": _LONG}
_FORM_OF_SCHEDULE = {"fields": schedule_api.FIELDS, "long_fields": _LONG}

_FILTERS = ("state", "queue", "batch", "label", "text", "exit_code", "since", "until")


ORDERS = {
    Order.ID: "id", Order.STATE: "state", Order.QUEUE: "queue", Order.ATTEMPTS: "attempts",
    Order.CHANGED: "changed", Order.PRIORITY: "priority", Order.NEXT: "due",
    Order.STARTED: "started", Order.ENDED: "ended", Order.DURATION: "duration",
}  # fmt: skip
"""What a list of jobs may be in the order of, beside that of their arrival, and in words."""

_SORT = Param("sort", QUERY, one_of(*ORDERS), "the order; that of arrival unless said")
MOST_SKIPPED = 5000
"""In another order than that of arrival a list is read from its start: no further than this."""


def _jobs(queue: Queue, arguments: Arguments) -> Values:
    selection = filter_of(arguments)
    found = _sorted(queue, arguments, selection, arguments.get("sort"))
    listing = _listing(queue, arguments, _FILTERS, found, selection)
    return {**listing, "queues": sorted(queue.counts().by_queue), **_FORM}


def _dead(queue: Queue, arguments: Arguments) -> Values:
    """Return the dead jobs, those first that died last.

    Whatever changed a dead job last has made it one, but for the few that are edited.
    """
    selection = filter_of(arguments, DEAD)
    found = _sorted(queue, arguments, selection, arguments.get("sort", Order.CHANGED))
    listing = _listing(queue, arguments, _FILTERS, found, selection)
    return {**listing, "queues": sorted(queue.counts().by_queue)}


def _sorted(
    queue: Queue, arguments: Arguments, selection: Filter, order: str | None
) -> tuple[list[Job], int | None]:
    """Return a page of jobs in an order, and where the next one begins; None at the end.

    In that of arrival `after` is a number of it, and in any other how many come before.
    """
    if order is None:
        return page_of(queue, arguments)
    skipped, limit = min(arguments.get("after", 0), MOST_SKIPPED), arguments.get("limit", _ROWS)
    is_newest_first = not arguments.get("oldest_first", False)
    page = Paging(skipped + limit + 1, newest_first=is_newest_first, order=Order(order))
    jobs = list(islice(queue.find(selection, page), skipped, None))
    is_end = len(jobs) <= limit or skipped + limit > MOST_SKIPPED
    return jobs[:limit], None if is_end else skipped + limit


def _deliveries(queue: Queue, arguments: Arguments) -> Values:
    selection, found = deliveries_of(arguments), page_of(queue, arguments, deliveries=True)
    listing = _listing(queue, arguments, ("state", "hook", "text"), found, selection)
    return {**listing, "hooks": [hook.name for hook in queue.hooks.all()]}


def _counts(queue: Queue, selection: Filter) -> Values:
    """Return how many jobs fit a filter in each state, whichever of them it names.

    `fitting` are those of the states that it names.

    Where jobs have to be read for that only the newest are, and `is_cut` says that there may be
    more.
    """
    states, selection = selection.states, replace(selection, states=frozenset())
    known = queue.counts(deliveries=bool(selection.deliveries))
    if known.matching(replace(selection, deliveries=None)) is None:
        page = Paging(limit=COUNTED, newest_first=True)
        known = Counts({"": Counter(job.state for job in queue.find(selection, page))})
    elif selection.queue is not None:
        known = Counts({selection.queue: known.by_queue.get(selection.queue, {})})
    fitting = sum(known.of(state) for state in states or State)
    return {"counts": totals(known), "fitting": fitting, "is_cut": known.total == COUNTED}


def _listing(
    queue: Queue,
    arguments: Arguments,
    filters: Sequence[str],
    page: tuple[list[Job], int | None],
    selection: Filter,
) -> Values:
    """Return what pages with a list of jobs have in common; `filters` are the names of theirs."""
    jobs, following = page
    query = {name: arguments.get(name) for name in filters}

    def link(**changes: object) -> str:
        """Return the query of this page with some parameters changed; None takes one away."""
        changed = {**arguments, "after": None, **changes}
        kept = {name: value for name, value in changed.items() if value not in (None, "")}
        return "?" + urlencode(kept, doseq=True)

    return {
        "query": query,
        **_counts(queue, selection),
        "jobs": jobs,
        "why": _why(queue),
        "older": link(after=following) if following is not None else None,
        "newest": link() if arguments.get("after") else None,
        "is_filtered": any(value not in (None, "") for value in query.values()),
        "link": link,
        "sort": arguments.get("sort", ""),
        "is_ascending": arguments.get("oldest_first", False),
        "orders": ORDERS,
    }


def _job(queue: Queue, arguments: Arguments) -> Values:
    job = queue.get(arguments["id"])
    log = read_log(queue, LogWanted(job.id, arguments.get("run"), arguments.get("stream")))
    if "stream" not in arguments and job.state in _FAILED and log.sizes[1]:
        log = read_log(queue, LogWanted(job.id, log.run, "stderr"))  # where the reason is
    return {
        "job": job,
        "env": masked_env(job),
        "why": _why(queue),
        "log": log,
        "wrap": arguments.get("wrap", "on"),
        "timeline": charts.timeline(job, queue.now()),
        "is_waiting": job.state in WAITING,
        **family.family(queue, job),
    }


def _job_form(queue: Queue, arguments: Arguments, *, is_edit: bool) -> Values:
    """Return the values of the form that changes a job, or makes another like it."""
    job = queue.get(arguments["id"])
    values = {"job": job, "texts": texts_of(job), "is_edit": is_edit}
    return {**values, "is_waiting": job.state in WAITING, **_FORM}


def _schedules(queue: Queue, _arguments: Arguments) -> Values:
    schedules = queue.schedules.all()
    return {
        "schedules": schedules,
        "coming": {each.name: queue.schedules.coming(each, COMING) for each in schedules},
        "latest": {each.name: queue.schedules.latest_run(each) for each in schedules},
        **_FORM_OF_SCHEDULE,
    }


def _schedule(queue: Queue, arguments: Arguments) -> Values:
    one = queue.schedules.get(arguments["name"])
    return {
        "each": one,
        "coming": queue.schedules.coming(one, COMING),
        "jobs": list(queue.schedules.runs(one.name, _ROWS)),
        "why": _why(queue),
        "most": _ROWS,
        "texts": schedule_api.texts_of(one),
        **_FORM_OF_SCHEDULE,
    }


def _hooks(queue: Queue, _arguments: Arguments) -> Values:
    hooks = queue.hooks.all()
    latest = {hook.name: list(queue.hooks.deliveries(hook.name, _DELIVERIES)) for hook in hooks}
    return {"hooks": hooks, "deliveries": latest}


def _settings(queue: Queue, _arguments: Arguments) -> Values:
    values = tunables.as_dict(queue.settings())
    return {
        "settings": [
            (key, value, tunables.default_of(key), tunables.help_of(key))
            for key, value in values.items()
        ]
    }


def _audit(queue: Queue, arguments: Arguments) -> Values:
    acts, following = acts_of(queue, arguments)
    query = {name: arguments.get(name, "") for name in ("since", "who")}
    kept = {name: text for name, text in query.items() if text}
    return {
        "acts": acts,
        "query": query,
        "is_filtered": bool(kept),
        "older": "?" + urlencode({**kept, "after": following}) if following else None,
        "newest": "?" + urlencode(kept) if arguments.get("after") else None,
    }


_OF_JOBS = BY_NAME["listJobs"].params_in(QUERY)
_OF_DELIVERIES = BY_NAME["listDeliveries"].params_in(QUERY)

PAGES: dict[str, Page] = {
    "/": Page("overview.html", "Overview", (), _overview),
    "/jobs": Page("jobs.html", "Jobs", (*_OF_JOBS, _SORT), _jobs),
    "/jobs/{id}": Page("job.html", "Job", (JOB_ID, *output.OF_LOG, output.WRAP), _job),
    "/jobs/{id}/output": Page("output.html", "Output", (JOB_ID, *output.PARAMS), output.values),
    "/jobs/{id}/edit": Page("jobform.html", "Edit", (JOB_ID,), partial(_job_form, is_edit=True)),
    "/jobs/{id}/clone": Page("jobform.html", "Clone", (JOB_ID,), partial(_job_form, is_edit=False)),
    "/dlq": Page("dlq.html", "Dead letter queue", (*_OF_JOBS, _SORT), _dead),
    "/queues": Page("queues.html", "Queues", (), lambda queue, _arguments: {
        "views": queue_views(queue.counts(), queue.queue_limits())
    }),
    "/batches": Page("batches.html", "Batches", (), batches.listed),
    "/batches/{name}": Page("batch.html", "Batch", batches.PARAMS, batches.shown),
    "/figures": Page("figures.html", "Figures", figures.PARAMS, figures.values),
    "/workers": Page("workers.html", "Workers", (), workers.values),
    "/workers/{id}/log": Page("workerlog.html", "Log", (workers.LOG_OF,), workers.log),
    "/schedules": Page("schedules.html", "Schedules", (), _schedules),
    "/schedules/{name}": Page(
        "schedule.html", "Schedule", BY_NAME["getSchedule"].params, _schedule
    ),
    "/deliveries": Page("deliveries.html", "Deliveries", _OF_DELIVERIES, _deliveries),
    "/hooks": Page("hooks.html", "Hooks", (), _hooks),
    wall.PATH: Page("wall.html", "Wall", (), wall.values),
    "/audit": Page("audit.html", "Who did what", BY_NAME["listAudit"].params_in(QUERY), _audit),
    "/settings": Page("settings.html", "Settings", (), _settings),
}  # fmt: skip
"""Every page by its path."""
