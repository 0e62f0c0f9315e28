"""How fast jobs have been done lately, minute by minute."""

from __future__ import annotations

from datetime import timedelta

from markupsafe import Markup

from queuectl.cli.columns import seconds_between
from queuectl.domain.filters import Filter, Page
from queuectl.domain.job import State
from queuectl.domain.values import frozen
from queuectl.queue import Queue
from queuectl.web.charts import Series, columns

MINUTES = 60
_LOOKED_AT = 2000


@frozen
class Chart:
    """A chart with its title, and the name and the look of each thing in it."""

    title: str
    legend: tuple[tuple[str, str], ...]
    svg: Markup
    note: str = ""


def charts(queue: Queue) -> list[Chart]:
    """Return the charts of the overview."""
    return [_throughput(queue)]


def _throughput(queue: Queue) -> Chart:
    """Return how many jobs ended in each of the last minutes."""
    now = queue.now()
    ways = (("completed", State.COMPLETED), ("dead", State.DEAD))
    series = []
    for name, state in ways:
        values = [0.0] * MINUTES
        page = Page(limit=_LOOKED_AT, newest_first=True)
        for job in queue.find(Filter(frozenset({state})), page):
            ago = int(seconds_between(job.finished_at or job.updated_at, now) // 60)
            if 0 <= ago < MINUTES:
                values[MINUTES - 1 - ago] += 1
        series.append(Series(name, name, values))
    moments = [
        (now - timedelta(minutes=MINUTES - 1 - at)).strftime("%H:%M") for at in range(MINUTES)
    ]
    svg = columns(series, moments, "Jobs that ended in each of the last 60 minutes")
    legend = (("completed", "fill-completed"), ("dead", "fill-dead"))
    return Chart("Jobs that ended, by minute", legend, svg)
