"""The page of figures: what happened in a queue, or in all, in an hour, a day or a week."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen
from queuectl.domain.stats import Figures
from queuectl.domain.times import UTC, iso
from queuectl.presentation.layout import length
from queuectl.presentation.tables import memory
from queuectl.queue import Queue
from queuectl.web.api import BY_NAME
from queuectl.web.api.endpoint import QUERY, Arguments, Param
from queuectl.web.api.schemas import TIME, one_of
from queuectl.web.pages import charts

Values = dict[str, Any]
Cells = dict[datetime, Figures]
_MINUTE = timedelta(minutes=1)
_CELL = 5 * _MINUTE
"""In so long stretches the figures of a week are kept here, so that they are read once."""

_LATE = 10 * _MINUTE
"""What is older than this is not read again: the ends of runs are counted soon."""

_WEEK = timedelta(days=7)
_MOST_KEPT = 8


@frozen
class Span:
    """How much is looked at, in steps of how long, and how one looks closer."""

    whole: timedelta
    step: timedelta
    unit: str
    closer: str | None = None
    wider: str | None = None


SPANS = {
    "1h": Span(timedelta(hours=1), _CELL, "5 minutes", None, "6h"),
    "6h": Span(timedelta(hours=6), _CELL, "5 minutes", "1h", "24h"),
    "24h": Span(timedelta(hours=24), 3 * _CELL, "15 minutes", "6h", "7d"),
    "7d": Span(_WEEK, timedelta(hours=1), "hour", "6h", None),
}
"""By what they are called. The last hour is shown by the minute."""

PARAMS = (
    *BY_NAME["getStats"].params_in(QUERY),
    Param("span", QUERY, one_of(*SPANS), "how much is shown; the last hour unless said"),
    Param("end", QUERY, {**TIME, "maxLength": 40}, "when it ends; now unless said"),
)


class _History:
    """The figures of the last days of those queues that were looked at, in cells."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: OrderedDict[tuple[str, str | None], tuple[datetime, Cells]] = OrderedDict()

    def cells(self, queue: Queue, name: str | None, since: datetime) -> Cells:
        """Return the figures of a queue, or of all (None), by when each cell begins.

        They reach back to an instant, as far as the store has them.
        """
        key, now = (queue.address, name), queue.now()
        wanted = floor(since, _CELL)
        with self._lock:
            reach, kept = self._of.pop(key, (now, {}))
        begin = wanted
        if reach <= wanted:
            begin = max(reach, floor(max(kept, default=reach) - _LATE, _CELL))
        cells = {start: figures for start, figures in kept.items() if start < begin}
        for minute, figures in queue.figures(begin, name).items():
            start = floor(minute, _CELL)
            cells[start] = cells.get(start, Figures()) + figures
        reach = max(min(reach, wanted), floor(now - 2 * _WEEK, _CELL))
        cells = {start: figures for start, figures in cells.items() if start >= reach}
        with self._lock:
            self._of[key] = (reach, cells)
            while len(self._of) > _MOST_KEPT:
                self._of.popitem(last=False)
        return cells


_HISTORY = _History()


def floor(instant: datetime, step: timedelta) -> datetime:
    """Return when the step began that an instant is in."""
    return datetime.fromtimestamp(
        instant.timestamp() // step.total_seconds() * step.total_seconds(), UTC
    )


def values(queue: Queue, arguments: Arguments) -> Values:
    """Return the values of the page."""
    name, span_name = arguments.get("queue"), arguments.get("span", "1h")
    span, end = SPANS[span_name], _end(arguments.get("end"))
    now = queue.now()
    is_now = end is None or end >= now
    end = now if end is None or is_now else max(end, now - _WEEK)

    def link(**changes: object) -> str:
        kept = {"queue": name, "span": span_name, "end": arguments.get("end"), **changes}
        return "?" + urlencode({key: value for key, value in kept.items() if value})

    if span_name == "1h" and is_now:
        report = queue.stats(name)
        found = report.queues[name] if name is not None else report.total
        stretch = charts.last_hour(report, found)
        drawn = charts.charts_of(stretch, found)
    else:
        stretch = _stretch(queue, name, span, end, link)
        drawn = charts.charts_of(stretch)
    return {
        "queue": name, "queues": sorted(queue.counts().by_queue), "span": span_name,
        "spans": list(SPANS), "link": link, "is_now": is_now,
        "begins": end - span.whole, "ends": end, "frame": charts, "charts": drawn,
        "facts": _facts(sum(stretch.series, Figures())),
        "earlier": link(end=iso(end - span.whole)) if end - span.whole > now - _WEEK else None,
        "later": None if is_now else link(end=iso(end + span.whole)),
        "closer": span.closer and link(span=span.closer),
        "wider": span.wider and link(span=span.wider),
    }  # fmt: skip


def _stretch(
    queue: Queue, name: str | None, span: Span, end: datetime, link: Callable[..., str]
) -> charts.Stretch:
    """Return the steps of a span up to an instant, each with a link to a closer look."""
    last = floor(end - timedelta(microseconds=1), span.step)
    number = int(span.whole / span.step)
    starts = [last - n * span.step for n in reversed(range(number))]
    cells = _HISTORY.cells(queue, name, starts[0])
    by_step: dict[datetime, Figures] = {}
    for start, figures in cells.items():
        step = floor(start, span.step)
        by_step[step] = by_step.get(step, Figures()) + figures
    series = [by_step.get(start, Figures()) for start in starts]

    def closer(at: int) -> str:
        whole = SPANS[span.closer or "1h"].whole
        return link(span=span.closer, end=iso(starts[at] + span.step / 2 + whole / 2))

    moments = [iso(start) for start in starts]
    return charts.Stretch(series, moments, span.unit, closer if span.closer else None)


def _end(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"end must be a time such as 2030-01-31T14:30Z, not {text!r}") from None


def _facts(whole: Figures) -> list[tuple[str, str]]:
    """Return what happened in words."""
    rate = whole.success_rate
    facts = [
        ("Enqueued", f"{whole.enqueued:,}"),
        ("Completed", f"{whole.completed:,}"),
        ("Failed, to be tried again", f"{whole.failed:,}"),
        ("Dead", f"{whole.dead:,}"),
        ("Cancelled", f"{whole.cancelled:,}"),
        ("Interrupted", f"{whole.interrupted:,}"),
        ("Succeeded", f"{rate * 100:.1f} %" if rate is not None else "–"),
        ("Waited", charts.quantiles(whole.wait)),
        ("Ran", charts.quantiles(whole.run)),
    ]
    if whole.cpu.total:
        most = f", at most {length(whole.cpu.longest)}" if whole.cpu.longest else ""
        facts.append(("Processor time", charts.quantiles(whole.cpu) + most))
    if whole.memory.total:
        half, largest = int(whole.memory.quantile(0.5) or 0), whole.memory.largest
        facts.append(("Peak memory", f"p50 {memory(half)}, at most {memory(largest)}"))
    return facts
