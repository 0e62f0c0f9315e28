"""A picture of the queue that is left open on a wall: what runs, what failed, how fast it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from queuectl.domain.job import WAITING, State
from queuectl.domain.query import Filter, Order, Page
from queuectl.presentation.columns import slots_text
from queuectl.presentation.status import totals
from queuectl.queue import Queue
from queuectl.web.api.endpoint import Arguments
from queuectl.web.pages import charts

PATH = "/wall"
MOST_RUNNING, MOST_FAILED = 12, 8
_HOUR = timedelta(hours=1)
_FAILED = frozenset({State.FAILED, State.DEAD})
Values = dict[str, Any]


def values(queue: Queue, _arguments: Arguments) -> Values:
    """Return the values of the page."""
    counts, workers, report = totals(queue.counts()), queue.workers(), queue.stats()
    running = queue.find(Filter(frozenset({State.PROCESSING})), Page(limit=MOST_RUNNING))
    lately = Filter(_FAILED, changed_since=report.now - _HOUR)
    failed = queue.find(lately, Page(limit=MOST_FAILED, newest_first=True, order=Order.CHANGED))
    hour = report.total.period
    first = next(queue.find(Filter(WAITING), Page(limit=1, order=Order.TURN)), None)
    is_waiting = first is not None and first.is_due(report.now)
    return {
        "counts": counts,
        "states": charts.states_bar(counts),
        "hour": hour,
        "rate": report.total.throughput["5m"],
        "busy": sum(worker.state == "busy" for worker in workers),
        "workers": workers,
        "slots": slots_text(*workers),
        "running": list(running),
        "failed": list(failed),
        "chart": charts.charts_of(charts.last_hour(report, report.total), report.total)[0],
        "frame": charts,
        "alarm": "No worker is running" if is_waiting and not workers else "",
    }
