"""The drain as a picture: what each queue reaches of what xargs reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from figures import Section

_OURS, _THEIRS, _TEXT = "#1f6f8b", "#b8c4cc", "#333333"


def draw(path: Path, sections: Sequence[Section], peers: Mapping[str, float]) -> None:
    """Write a bar chart as SVG. Raises ValueError when the drain has not been measured."""
    try:
        import matplotlib
    except ImportError:
        raise ValueError("the plot needs matplotlib: pip install -e '.[bench]'") from None
    matplotlib.use("svg")
    from matplotlib import pyplot

    bars = _bars(sections, peers)
    chart, axes = pyplot.subplots(figsize=(7, 0.34 * len(bars) + 1))
    for place, (name, low, share, high, is_ours) in enumerate(bars):
        axes.barh(place, share, color=_OURS if is_ours else _THEIRS)
        if is_ours:
            axes.plot([low, high], [place, place], color=_TEXT, linewidth=1.5)
        axes.text(max(share, high) + 1, place, f"{share:.0f}", va="center", color=_TEXT)
        axes.text(-1, place, name, va="center", ha="right", color=_TEXT)
    axes.axvline(100, color=_TEXT, linestyle=":", linewidth=1)
    axes.set_yticks([])
    axes.set_xlim(0, max(110.0, *(bar[3] + 8 for bar in bars)))
    axes.set_xlabel("jobs a second, two at a time, in % of xargs -P2")
    axes.spines[["top", "right", "left"]].set_visible(False)
    matplotlib.rcParams["svg.hashsalt"] = "queuectl"
    chart.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(chart)


def _bars(
    sections: Sequence[Section], peers: Mapping[str, float]
) -> list[tuple[str, float, float, float, bool]]:
    """Return name, least, median, greatest and whether it is ours, the slowest first."""
    drain = next((section for section in sections if section.name == "drain"), None)
    if drain is None:
        raise ValueError("the plot shows the drain, which has not been measured")
    bars = [(name, share, share, share, False) for name, share in peers.items()]
    for figure in drain.figures:
        if figure.unit == "% of xargs" and figure.key != "loop":
            name = figure.what.replace("drain", "queuectl")
            bars.append((name, min(figure.samples), figure.value, max(figure.samples), True))
    return sorted(bars, key=lambda bar: bar[2])
