"""Charts as SVG, drawn here so that they need no script; colours are classes of the style sheet.

Names and moments are our own words and figures, with nothing in them that HTML would read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, State
from queuectl.domain.stats import Histogram
from queuectl.domain.stats_report import SERIES_MINUTES, QueueReport
from queuectl.domain.times import iso
from queuectl.presentation.charts import length
from queuectl.presentation.columns import ending_text, seconds_between
from queuectl.queue import Queue

WIDTH, HEIGHT = 640.0, 170.0
_LEFT, _TOP, _FLOOR = 44.0, 10.0, 146.0
_ROOM = _FLOOR - _TOP
_DOT = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
"""What is drawn for a point that has no neighbour."""

_STEPS = (1, 2, 2.5, 5, 10)
_NARROWEST = 6.0
_MOST_RUNS = 100
"""How many of the latest runs a timeline shows."""


@frozen
class Series:
    """Figures of one kind, the oldest first; None where nothing is known. `look` is a class."""

    name: str
    look: str
    values: Sequence[float | None]


def charts(queue: Queue) -> list[dict[str, Any]]:
    """Return the charts of the overview: how fast jobs have been done in the last hour.

    Each has a `title`, the name and the look of each thing in it, and a `note` below. Moments, in
    ISO 8601, are when each minute began; the script shows them in the reader's zone.
    """
    report = queue.stats()
    last = report.now.replace(second=0, microsecond=0)
    moments = [iso(last - timedelta(minutes=n)) for n in reversed(range(SERIES_MINUTES))]
    return [_throughput(report.total, moments), _waits(report.total, moments)]


def _throughput(total: QueueReport, moments: Sequence[str]) -> dict[str, Any]:
    names = ("completed", "failed", "dead")
    series = [Series(name, name, [getattr(each, name) for each in total.series]) for name in names]
    rate = total.period.success_rate
    success = f"; {rate * 100:.1f} % succeeded" if rate is not None else ""
    rates = ", ".join(f"{number:,.1f} in {span}" for span, number in total.throughput.items())
    note = f"A minute: {rates}{success}"
    svg = columns(series, moments, f"Attempts that ended, by minute. {note}")
    legend = [(name, f"fill-{name}") for name in names]
    return {"title": "Throughput", "legend": legend, "svg": svg, "note": note}


def _waits(total: QueueReport, moments: Sequence[str]) -> dict[str, Any]:
    series = [
        Series(name, look, [each.wait.quantile(share) for each in total.series])
        for name, look, share in (("p50", "first", 0.5), ("p95", "second", 0.95))
    ]
    note = f"Waits: {_quantiles(total.period.wait)}. Runs: {_quantiles(total.period.run)}"
    svg = lines(series, moments, f"How long jobs had been due when they started. {note}", length)
    legend = [(each.name, f"line-{each.look}") for each in series]
    return {"title": "Waiting time", "legend": legend, "svg": svg, "note": note}


def _quantiles(histogram: Histogram) -> str:
    if not histogram.total:
        return "none in the last hour"
    return f"p50 {length(histogram.quantile(0.5))}, p95 {length(histogram.quantile(0.95))}"


def states_bar(counts: Mapping[str, int]) -> Markup:
    """Return one bar of all jobs, divided by state."""
    parts, words, left = [], [], 0.0
    for state in (state for state in State if counts[state.value]):
        number = counts[state.value]
        width = max(1000 * number / counts["total"], 6.0)
        words.append(f"{number:,} {state}")
        parts.append(
            f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="10" class="fill-{state}">'
            f"<title>{state}: {number:,}</title></rect>"
        )
        left += width
    about = f"Jobs by state: {', '.join(words) or 'none'}"
    return Markup(
        f'<svg class="statesbar" viewBox="0 0 {left or 1000:.1f} 10" preserveAspectRatio="none"'
        f' role="img" aria-label="{about}">{"".join(parts)}</svg>'
    )


def columns(series: Sequence[Series], moments: Sequence[str], about: str) -> Markup:
    """Return stacked columns, one for each moment."""
    rows = [
        [value or 0 for value in each] for each in zip(*(s.values for s in series), strict=True)
    ]
    top = nice(max(map(sum, rows), default=0))
    step = _step(moments)
    bars = []
    for at, (moment, row) in enumerate(zip(moments, rows, strict=True)):
        floor = _FLOOR
        text = ", ".join(f"{n:,.0f} {each.name}" for n, each in zip(row, series, strict=True))
        rects = [_hit(at, step, moment, text)]
        for number, each in zip(row, series, strict=True):
            height = number / top * _ROOM
            if height:
                floor -= height
                rects.append(
                    f'<rect class="fill-{each.look}" x="{_LEFT + at * step + 1:.2f}"'
                    f' y="{floor:.2f}" width="{max(1.0, step - 2):.2f}" height="{height:.2f}"'
                    ' rx="1.5"/>'
                )
        bars.append(f"<g>{''.join(rects)}</g>")
    return _framed(top, str_of_count, moments, about, "".join(bars))


def lines(
    series: Sequence[Series], moments: Sequence[str], about: str, show: Callable[[float], str]
) -> Markup:
    """Return a line for each series, broken where nothing is known."""
    known = [value for each in series for value in each.values if value is not None]
    top = nice(max(known, default=0), whole=False)
    step = _step(moments)
    drawn = []
    for each in series:
        heights = [None if value is None else value / top * _ROOM for value in each.values]
        drawn.append(f'<path class="line-{each.look}" d="{_path(heights, step)}"/>')
    for at, moment in enumerate(moments):
        values = [(each.name, each.values[at]) for each in series]
        text = ", ".join(f"{name} {show(value)}" for name, value in values if value is not None)
        drawn.append(_hit(at, step, moment, text))
    return _framed(top, show, moments, about, "".join(drawn))


def _step(moments: Sequence[str]) -> float:
    return (WIDTH - _LEFT) / max(1, len(moments))


def _hit(at: int, step: float, moment: str, words: str) -> str:
    """Return the place of one moment, which tells its figures when one points at it."""
    text = f"{_clock(moment)} · {words or 'no runs'}"
    return (
        f'<rect class="hit" x="{_LEFT + at * step:.2f}" y="{_TOP}" width="{step:.2f}"'
        f' height="{_ROOM}"><title data-at="{moment}" data-told="{words}">{text}</title></rect>'
    )


def _clock(moment: str) -> str:
    """Return the time of day, which the script shows in the reader's zone."""
    return moment[11:16]


def _path(heights: Sequence[float | None], step: float) -> str:
    words, is_drawing = [], False
    for at, height in enumerate(heights):
        if height is None:
            is_drawing = False
            continue
        point = f"{_LEFT + (at + 0.5) * step:.1f} {_FLOOR - height:.1f}"
        words.append(f"{'L' if is_drawing else 'M'}{point}")
        is_alone = not is_drawing and (at + 1 == len(heights) or heights[at + 1] is None)
        words += [_DOT] if is_alone else []
        is_drawing = True
    return " ".join(words)


def _framed(
    top: float, show: Callable[[float], str], moments: Sequence[str], about: str, inner: str
) -> Markup:
    """Return a chart with its lines and labels."""
    rules = []
    for share in (0.0, 0.5, 1.0):
        y = _FLOOR - share * _ROOM
        rules.append(
            f'<line class="rule" x1="{_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{show(top * share)}</text>"
        )
    for moment, x, anchor in (
        (moments[0], _LEFT, "start"),
        (moments[len(moments) // 2], (_LEFT + WIDTH) / 2, "middle"),
        (moments[-1], WIDTH, "end"),
    ):
        rules.append(
            f'<text class="axis" x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}"'
            f' data-at="{moment}">{_clock(moment)}</text>'
        )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img"'
        f' aria-label="{escape(about)}">{"".join(rules)}{inner}</svg>'
    )


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


def timeline(job: Job, now: datetime) -> list[dict[str, Any]]:
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
            "seconds": run.seconds, **placed(run.started_at, run.finished_at),
        })  # fmt: skip
    if running_since:
        rows.append({
            "n": job.runs, "state": "processing", "label": "paused" if job.paused else "running",
            "worker": job.worker or "", "seconds": seconds_between(running_since, now),
            **placed(running_since, now),
        })  # fmt: skip
    return rows
