"""Charts of what happened in a while, and timelines of jobs: figures that templates draw as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, State
from queuectl.domain.stats import SERIES_MINUTES, Figures, Histogram, QueueReport, Report
from queuectl.domain.times import iso
from queuectl.presentation.columns import ending_text, seconds_between, used_text
from queuectl.presentation.layout import length
from queuectl.queue import Queue

WIDTH, HEIGHT = 640.0, 170.0
LEFT, TOP, FLOOR = 44.0, 10.0, 146.0
"""The frame of a chart: its axes are at `LEFT` and `FLOOR`."""

_DOT = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
"""What is drawn for a point that has no neighbour."""

_STEPS = (1, 2, 2.5, 5, 10)
_NARROWEST = 6.0
_MOST_RUNS = 100
"""How many of the latest runs a timeline shows."""

Values = dict[str, Any]


@frozen
class Stretch:
    """Some time in equal steps: the figures of each, and when each began, in ISO 8601.

    `unit` is what a step is called; `link` leads to a closer look at the step of a number.
    """

    series: Sequence[Figures]
    moments: Sequence[str]
    unit: str = "minute"
    link: Callable[[int], str] | None = None

    @property
    def step(self) -> float:
        """How wide a step is drawn."""
        return (WIDTH - LEFT) / len(self.series)


def charts(queue: Queue) -> list[Values]:
    """Return the charts of the overview: how fast jobs have been done in the last hour.

    Each has its `title`, a `note` below it and what it is `about`; a `legend` of names and classes
    of the style sheet; `bars` for each step or `paths`; and lines and labels. Moments, in
    ISO 8601, are when each step began; the script shows them in the reader's zone.
    """
    report = queue.stats()
    return charts_of(last_hour(report, report.total), report.total)


def last_hour(report: Report, found: QueueReport) -> Stretch:
    """Return the last hour, by the minute."""
    last = report.now.replace(second=0, microsecond=0)
    moments = [iso(last - timedelta(minutes=n)) for n in reversed(range(SERIES_MINUTES))]
    return Stretch(found.series, moments)


def charts_of(stretch: Stretch, found: QueueReport | None = None) -> list[Values]:
    """Return the charts of a stretch; with the figures of a queue that say how it goes now."""
    whole = found.period if found else sum(stretch.series, Figures())
    return [_throughput(stretch, whole, found), _waits(stretch, whole)]


def _throughput(stretch: Stretch, whole: Figures, found: QueueReport | None) -> Values:
    """Return stacked columns of how many attempts ended how, one for each step."""
    names = ("completed", "failed", "dead")
    rows = [[(name, getattr(each, name)) for name in names] for each in stretch.series]
    top = nice(max(sum(number for _, number in row) for row in rows))
    bars: list[list[tuple[str, float, float]]] = []
    for row in rows:
        bars.append([])
        floor = FLOOR
        for name, number in row:
            height = number / top * (FLOOR - TOP)
            floor -= height
            bars[-1] += [(name, floor, height)] if height else []
    texts = [", ".join(f"{number:,} {name}" for name, number in row) for row in rows]
    rate = whole.success_rate
    success = f"{rate * 100:.1f} % succeeded" if rate is not None else ""
    if found is not None:
        rates = ", ".join(f"{number:,.1f} in {span}" for span, number in found.throughput.items())
        note = f"A minute: {rates}" + (f"; {success}" if success else "")
    else:
        note = f"{whole.finished:,} in all" + (f"; {success}" if success else "")
    return {
        "title": "Throughput", "note": note,
        "about": f"Attempts that ended, by {stretch.unit}. {note}",
        "legend": [(name, f"fill-{name}") for name in names], "bars": bars, "paths": [],
        **_framed(top, str_of_count, stretch, texts),
    }  # fmt: skip


def _waits(stretch: Stretch, whole: Figures) -> Values:
    """Return lines of how long jobs had waited, broken where nothing is known."""
    series = {"p50": [each.wait.quantile(0.5) for each in stretch.series],
              "p95": [each.wait.quantile(0.95) for each in stretch.series]}  # fmt: skip
    looks = {"p50": "line-first", "p95": "line-second"}
    known = [value for values in series.values() for value in values if value is not None]
    top = nice(max(known, default=0), whole=False)
    texts = []
    for at in range(len(stretch.series)):
        row = [(name, values[at]) for name, values in series.items()]
        texts.append(", ".join(f"{name} {length(n)}" for name, n in row if n is not None))
    note = f"Waits: {quantiles(whole.wait)}. Runs: {quantiles(whole.run)}"
    return {
        "title": "Waiting time", "note": note,
        "about": f"How long jobs had been due when they started. {note}",
        "legend": [*looks.items()], "bars": [],
        "paths": [(looks[name], _path(values, top, stretch.step))
                  for name, values in series.items()],
        **_framed(top, length, stretch, texts),
    }  # fmt: skip


def quantiles(histogram: Histogram) -> str:
    """Return how long something took mostly, in words."""
    if not histogram.total:
        return "none in this time"
    return f"p50 {length(histogram.quantile(0.5))}, p95 {length(histogram.quantile(0.95))}"


def _path(values: Sequence[float | None], top: float, step: float) -> str:
    words, is_drawing = [], False
    for at, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        height = FLOOR - value / top * (FLOOR - TOP)
        words.append(f"{'L' if is_drawing else 'M'}{LEFT + (at + 0.5) * step:.1f} {height:.1f}")
        is_alone = not is_drawing and (at + 1 == len(values) or values[at + 1] is None)
        words += [_DOT] if is_alone else []
        is_drawing = True
    return " ".join(words)


def _framed(
    top: float, show: Callable[[float], str], stretch: Stretch, texts: Sequence[str]
) -> Values:
    """Return what all charts have: lines and labels, and the figures of each moment."""
    moments, step = stretch.moments, stretch.step
    return {
        "rules": [(FLOOR - share * (FLOOR - TOP), show(top * share)) for share in (0.0, 0.5, 1.0)],
        "ends": [
            (LEFT, "start", moments[0]),
            ((LEFT + WIDTH) / 2, "middle", moments[len(moments) // 2]),
            (WIDTH, "end", moments[-1]),
        ],
        "step": step,
        "unit": stretch.unit,
        "link": stretch.link,
        "moments": [
            (LEFT + at * step, moment, text)
            for at, (moment, text) in enumerate(zip(moments, texts, strict=True))
        ],
    }


def nice(most: float, *, whole: bool = True) -> float:
    """Return the end of an axis that has room for a figure, and whose half reads well."""
    if most <= 0:
        return 2.0 if whole else 1.0
    size = 10.0 ** math.floor(math.log10(most))
    top = next(step * size for step in _STEPS if step * size >= most * 0.999)
    return max(2.0, math.ceil(top / 2) * 2.0) if whole else top


def str_of_count(value: float) -> str:
    """Return a count as an axis shows it: `950`, `1.5k`, `2M`."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def states_bar(counts: Mapping[str, int]) -> list[tuple[str, int, float, float]]:
    """Return the parts of one bar of all jobs: state, number, and where each begins and how wide.

    Widths are thousandths of all jobs, but none is too narrow to be seen.
    """
    parts, left = [], 0.0
    for state in (state.value for state in State if counts[state.value]):
        width = max(1000 * counts[state] / counts["total"], _NARROWEST)
        parts.append((state, counts[state], left, width))
        left += width
    return parts


def timeline(job: Job, now: datetime) -> list[Values]:
    """Return the runs of a job, the one that goes on included, the earliest first.

    Of each, `left` and `width` are thousandths of the whole line.
    """
    runs = job.history[-_MOST_RUNS:]
    running_since = job.started_at if job.state is State.PROCESSING else None
    start = runs[0].started_at if runs else job.started_at or now
    end = now if running_since or not runs else runs[-1].finished_at
    whole = max(seconds_between(start, end), 0.001)

    def placed(started_at: datetime, finished_at: datetime) -> dict[str, Any]:
        left = 1000 * seconds_between(start, started_at) / whole
        width = max(_NARROWEST, 1000 * seconds_between(started_at, finished_at) / whole)
        left = max(0.0, min(left, 1000 - _NARROWEST))
        width = round(min(width, 1000 - left), 1)
        return {"started_at": started_at, "left": round(left, 1), "width": width}

    rows = []
    for run in runs:
        how = ending_text(run)
        state = "failed" if run.error or how else "completed"
        label = run.error or (f"ended with {how}" if how else state)
        rows.append({
            "n": run.n, "state": state, "label": label, "worker": run.worker,
            "seconds": run.seconds, "used": used_text(run),
            **placed(run.started_at, run.finished_at),
        })  # fmt: skip
    if running_since:
        rows.append({
            "n": job.runs, "state": "processing", "label": "paused" if job.paused else "running",
            "worker": job.worker or "", "seconds": seconds_between(running_since, now), "used": "",
            **placed(running_since, now),
        })  # fmt: skip
    return rows
