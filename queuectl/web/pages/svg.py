"""Charts as SVG, drawn here so that they need no script; colours are classes of the style sheet.

Names and moments are our own words and figures, with nothing in them that HTML would read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup, escape

from queuectl.domain.frozen import frozen
from queuectl.domain.job import State

WIDTH, HEIGHT = 640.0, 170.0
_LEFT, _TOP, _FLOOR = 44.0, 10.0, 146.0
_DOT = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
"""What is drawn for a point that has no neighbour."""

_STEPS = (1, 2, 2.5, 5, 10)


@frozen
class Series:
    """Figures of one kind, the oldest first; None where nothing is known. `look` is a class."""

    name: str
    look: str
    values: Sequence[float | None]


def states_bar(counts: Mapping[str, int]) -> Markup:
    """Return one bar of all jobs, divided by state."""
    parts, told, left = [], [], 0.0
    for state in (state for state in State if counts[state.value]):
        number = counts[state.value]
        width = max(1000 * number / counts["total"], 6.0)
        told.append(f"{number:,} {state}")
        parts.append(
            f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="10" class="fill-{state}">'
            f"<title>{state}: {number:,}</title></rect>"
        )
        left += width
    about = f"Jobs by state: {', '.join(told) or 'none'}"
    return Markup(
        f'<svg class="statesbar" viewBox="0 0 {left or 1000:.1f} 10" preserveAspectRatio="none"'
        f' role="img" aria-label="{about}">{"".join(parts)}</svg>'
    )


def columns(series: Sequence[Series], moments: Sequence[str], about: str) -> Markup:
    """Return stacked columns, one for each moment (in ISO 8601, as in all of these charts)."""
    totals = [
        sum(v or 0 for v in values) for values in zip(*(s.values for s in series), strict=True)
    ]
    top = nice(max(totals, default=0))
    step = _step(moments)
    bars = []
    for at, moment in enumerate(moments):
        floor = _FLOOR
        told = ", ".join(f"{each.values[at] or 0:,.0f} {each.name}" for each in series)
        rects = [_hit(at, step, moment, told)]
        for each in series:
            height = (each.values[at] or 0) / top * (_FLOOR - _TOP)
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
        points = [
            None
            if value is None
            else (_LEFT + (at + 0.5) * step, _FLOOR - value / top * (_FLOOR - _TOP))
            for at, value in enumerate(each.values)
        ]
        drawn.append(f'<path class="line-{each.look}" d="{_path(points)}"/>')
    for at, moment in enumerate(moments):
        told = ", ".join(
            f"{each.name} {show(value)}"
            for each in series
            if (value := each.values[at]) is not None
        )
        drawn.append(_hit(at, step, moment, told))
    return _framed(top, show, moments, about, "".join(drawn))


def _step(moments: Sequence[str]) -> float:
    return (WIDTH - _LEFT) / max(1, len(moments))


def _hit(at: int, step: float, moment: str, told: str) -> str:
    """Return the place of one moment, which tells its figures when one points at it."""
    text = f"{_clock(moment)} · {told or 'no runs'}"
    return (
        f'<rect class="hit" x="{_LEFT + at * step:.2f}" y="{_TOP}" width="{step:.2f}"'
        f' height="{_FLOOR - _TOP}"><title data-at="{moment}" data-told="{told}">{text}</title>'
        "</rect>"
    )


def _clock(moment: str) -> str:
    """Return the time of day, which the script shows in the reader's zone."""
    return moment[11:16]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    words, is_drawing = [], False
    for at, point in enumerate(points):
        if point is None:
            is_drawing = False
            continue
        words.append(f"{'L' if is_drawing else 'M'}{point[0]:.1f} {point[1]:.1f}")
        is_alone = not is_drawing and (at + 1 == len(points) or points[at + 1] is None)
        words += [_DOT] if is_alone else []
        is_drawing = True
    return " ".join(words)


def _framed(
    top: float, show: Callable[[float], str], moments: Sequence[str], about: str, inner: str
) -> Markup:
    """Return a chart with its lines and labels."""
    rules = []
    for share in (0.0, 0.5, 1.0):
        y = _FLOOR - share * (_FLOOR - _TOP)
        rules.append(
            f'<line class="rule" x1="{_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{show(top * share)}</text>"
        )
    for at, anchor in ((0, "start"), (len(moments) // 2, "middle"), (len(moments) - 1, "end")):
        x = {"start": _LEFT, "middle": (_LEFT + WIDTH) / 2, "end": WIDTH}[anchor]
        rules.append(
            f'<text class="axis" x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}"'
            f' data-at="{moments[at]}">{_clock(moments[at])}</text>'
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
