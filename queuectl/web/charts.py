"""Charts as SVG, drawn here so that they need no script; colours are classes of the style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from queuectl.domain.job import State
from queuectl.domain.values import frozen

WIDTH, HEIGHT = 640.0, 170.0
_LEFT, _TOP, _FLOOR = 44.0, 10.0, 146.0
_STEPS = (1, 2, 2.5, 5, 10)


@frozen
class Series:
    """Figures of one kind, the oldest first; None where nothing is known. `look` is a class."""

    name: str
    look: str
    values: Sequence[float | None]


def states_bar(counts: Mapping[str, int]) -> Markup:
    """Return one bar of all jobs, divided by state."""
    parts, left = [], 0.0
    for state in State:
        number = counts[state.value]
        if not number:
            continue
        width = max(1000 * number / counts["total"], 6.0)
        parts.append(
            Markup(
                '<rect x="{:.1f}" y="0" width="{:.1f}" height="10" class="fill-{}">'
                "<title>{}: {:,}</title></rect>"
            ).format(left, width, state.value, state.value, number)
        )
        left += width
    told = [f"{counts[state.value]:,} {state.value}" for state in State if counts[state.value]]
    return Markup(
        '<svg class="statesbar" viewBox="0 0 {:.1f} 10" preserveAspectRatio="none" role="img"'
        ' aria-label="Jobs by state: {}">{}</svg>'
    ).format(left or 1000.0, ", ".join(told) or "none", Markup("").join(parts))


def columns(series: Sequence[Series], moments: Sequence[str], about: str) -> Markup:
    """Return stacked columns, one for each moment (in ISO 8601, as in all of these charts)."""
    totals = [
        sum(v or 0 for v in values) for values in zip(*(s.values for s in series), strict=True)
    ]
    top = nice(max(totals, default=0))
    step = (WIDTH - _LEFT) / max(1, len(moments))
    bars = []
    for at, moment in enumerate(moments):
        floor = _FLOOR
        told = ", ".join(f"{each.values[at] or 0:,.0f} {each.name}" for each in series)
        rects = [_hint(moment, told)]
        rects.append(
            Markup('<rect class="hit" x="{:.2f}" y="{}" width="{:.2f}" height="{}"/>').format(
                _LEFT + at * step, _TOP, step, _FLOOR - _TOP
            )
        )
        for each in series:
            height = (each.values[at] or 0) / top * (_FLOOR - _TOP)
            if not height:
                continue
            floor -= height
            rects.append(
                Markup(
                    '<rect class="fill-{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"'
                    ' rx="1.5"/>'
                ).format(each.look, _LEFT + at * step + 1, floor, max(1.0, step - 2), height)
            )
        bars.append(Markup("<g>{}</g>").format(Markup("").join(rects)))
    return _framed(top, str_of_count, moments, about, Markup("").join(bars))


def lines(
    series: Sequence[Series], moments: Sequence[str], about: str, show: Callable[[float], str]
) -> Markup:
    """Return a line for each series, broken where nothing is known."""
    known = [value for each in series for value in each.values if value is not None]
    top = nice(max(known, default=0), whole=False)
    step = (WIDTH - _LEFT) / max(1, len(moments))
    drawn = []
    for each in series:
        points = [
            None
            if value is None
            else (_LEFT + (at + 0.5) * step, _FLOOR - value / top * (_FLOOR - _TOP))
            for at, value in enumerate(each.values)
        ]
        drawn.append(Markup('<path class="line-{}" d="{}"/>').format(each.look, _path(points)))
    hits = []
    for at, moment in enumerate(moments):
        told = ", ".join(
            f"{each.name} {show(value)}"
            for each in series
            if (value := each.values[at]) is not None
        )
        hits.append(
            Markup(
                '<rect class="hit" x="{:.2f}" y="{}" width="{:.2f}" height="{}">{}</rect>'
            ).format(_LEFT + at * step, _TOP, step, _FLOOR - _TOP, _hint(moment, told))
        )
    return _framed(top, show, moments, about, Markup("").join([*drawn, *hits]))


def _clock(moment: str) -> str:
    """Return the time of day, which the script shows in the reader's zone."""
    return moment[11:16]


def _hint(moment: str, told: str) -> Markup:
    """Return what is shown when one points at a moment."""
    text = f"{_clock(moment)} · {told or 'no runs'}"
    return Markup('<title data-at="{}" data-told="{}">{}</title>').format(moment, told, text)


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    words, is_drawing = [], False
    for at, point in enumerate(points):
        if point is None:
            is_drawing = False
            continue
        words.append(f"{'L' if is_drawing else 'M'}{point[0]:.1f} {point[1]:.1f}")
        is_alone = not is_drawing and (at + 1 == len(points) or points[at + 1] is None)
        words += ["h0.01"] if is_alone else []  # a point by itself: a round end makes it a dot
        is_drawing = True
    return " ".join(words)


def _framed(
    top: float, show: Callable[[float], str], moments: Sequence[str], about: str, inner: Markup
) -> Markup:
    """Return a chart with its lines and labels."""
    rules = []
    for share in (0.0, 0.5, 1.0):
        y = _FLOOR - share * (_FLOOR - _TOP)
        rules.append(
            Markup(
                '<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="axis" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(_LEFT, WIDTH, y, y, _LEFT - 6, y + 4, show(top * share))
        )
    for at, anchor in ((0, "start"), (len(moments) // 2, "middle"), (len(moments) - 1, "end")):
        x = {"start": _LEFT, "middle": (_LEFT + WIDTH) / 2, "end": WIDTH}[anchor]
        rules.append(
            Markup(
                '<text class="axis" x="{:.1f}" y="{}" text-anchor="{}" data-at="{}">{}</text>'
            ).format(x, HEIGHT - 6, anchor, moments[at], _clock(moments[at]))
        )
    return Markup(
        '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}{}</svg>'
    ).format(WIDTH, HEIGHT, about, Markup("").join(rules), inner)


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
