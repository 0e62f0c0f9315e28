"""How fast jobs have been done lately, minute by minute, as charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from markupsafe import Markup

from queuectl.domain.frozen import frozen
from queuectl.domain.stats import Histogram
from queuectl.domain.stats_report import SERIES_MINUTES, QueueReport, Report
from queuectl.domain.times import iso
from queuectl.presentation.charts import length
from queuectl.queue import Queue
from queuectl.web.pages.svg import Series, columns, lines


@frozen
class Chart:
    """A chart with its title, the name and the look of each thing in it, and a line below."""

    title: str
    legend: tuple[tuple[str, str], ...]
    svg: Markup
    note: str


def charts(queue: Queue) -> list[Chart]:
    """Return the charts of the overview: the last hour."""
    found = queue.stats()
    moments = _moments(found)
    return [_throughput(found.total, moments), _waits(found.total, moments)]


def _moments(found: Report) -> list[str]:
    """Return when each minute of the series began; the script shows it in the reader's zone."""
    last = found.now.replace(second=0, microsecond=0)
    return [iso(last - timedelta(minutes=n)) for n in reversed(range(SERIES_MINUTES))]


def _throughput(total: QueueReport, moments: Sequence[str]) -> Chart:
    series = [
        Series("completed", "completed", [each.completed for each in total.series]),
        Series("failed", "failed", [each.failed for each in total.series]),
        Series("dead", "dead", [each.dead for each in total.series]),
    ]
    svg = columns(series, moments, f"Attempts that ended, by minute. {_pace(total)}")
    legend = tuple((each.name, f"fill-{each.look}") for each in series)
    return Chart("Throughput", legend, svg, _pace(total))


def _pace(total: QueueReport) -> str:
    rate = total.period.success_rate
    success = f"; {rate * 100:.1f} % succeeded" if rate is not None else ""
    fast = ", ".join(f"{found:,.1f} in {span}" for span, found in total.throughput.items())
    return f"A minute: {fast}{success}"


def _waits(total: QueueReport, moments: Sequence[str]) -> Chart:
    def quantiles(share: float) -> list[float | None]:
        return [each.wait.quantile(share) for each in total.series]

    series = [Series("p50", "first", quantiles(0.5)), Series("p95", "second", quantiles(0.95))]
    told = f"Waits: {_told(total.period.wait)}. Runs: {_told(total.period.run)}"
    svg = lines(series, moments, f"How long jobs had been due when they started. {told}", length)
    return Chart("Waiting time", (("p50", "line-first"), ("p95", "line-second")), svg, told)


def _told(found: Histogram) -> str:
    if not found.total:
        return "none in the last hour"
    return f"p50 {length(found.quantile(0.5))}, p95 {length(found.quantile(0.95))}"
