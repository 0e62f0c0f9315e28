"""What was measured: figures with their spread and target, as tables and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"


@dataclass(frozen=True)
class Target:
    """What a median must reach: `bound` at least, or at most.

    With `is_ratio` that is what it is over the other build's, which can be judged only beside one.
    """

    bound: float
    is_least: bool = False
    note: str = ""
    is_ratio: bool = False

    def is_met(self, value: float) -> bool:
        """Whether a median reaches it."""
        return value >= self.bound if self.is_least else value <= self.bound


@dataclass(frozen=True)
class Figure:
    """One figure: a sample from each round. Without a target it is there to be compared with.

    `before` is the same of another build, from the same rounds; `way` is how it was measured when
    the build could not do it as `what` says.
    """

    key: str
    what: str
    unit: str
    samples: Sequence[float]
    target: Target | None = None
    is_extreme: bool = False
    """The worst round counts, not the median: for what must never happen."""
    way: str = ""
    before: Figure | None = None

    @property
    def value(self) -> float:
        """The median, or the greatest where one round too many is a fault."""
        return max(self.samples) if self.is_extreme else statistics.median(self.samples)

    @property
    def ratios(self) -> list[float]:
        """What each sample is over the other build's of the same round; nothing below zero."""
        theirs = self.before.samples if self.before else []
        if min([*self.samples, *theirs]) <= 0:
            return []
        return [ours / other for ours, other in zip(self.samples, theirs, strict=False)]

    @property
    def verdict(self) -> str:
        """PASS, MISS, or a dash where there is no target."""
        values = self.ratios if self.target and self.target.is_ratio else [self.value]
        if self.target is None or not values:
            return "–"
        return "PASS" if self.target.is_met(statistics.median(values)) else "MISS"

    def cells(self, is_paired: bool) -> list[str]:
        """Return the row of a table."""
        cells = [self.what, self._target_text(), self._result()]
        if is_paired:
            ratios = self.ratios
            cells.append(self.before._result() if self.before else "–")
            cells.append(_with_spread(statistics.median(ratios), ratios, "×") if ratios else "–")
        return [*cells, self.verdict]

    def _result(self) -> str:
        way = f", as {self.way}" if self.way else ""
        return _with_spread(self.value, self.samples, self.unit) + way

    def _target_text(self) -> str:
        if self.target is None:
            return "–"
        sign = "≥" if self.target.is_least else "≤"
        unit = "× the build before" if self.target.is_ratio else self.unit
        note = f", {self.target.note}" if self.target.note else ""
        return f"{sign} {digits(self.target.bound)} {unit}{note}"


def joined(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return the figures of several rounds as one of each, with the samples of all."""
    return [
        replace(each[0], samples=[sample for figure in each for sample in figure.samples])
        for each in zip(*rounds, strict=True)
    ]


def paired(ours: Sequence[Figure], theirs: Sequence[Figure]) -> list[Figure]:
    """Return our figures, each beside the same one of another build."""
    other = {figure.key: figure for figure in theirs}
    return [replace(figure, before=other[figure.key]) for figure in ours]


def _with_spread(value: float, samples: Sequence[float], unit: str) -> str:
    return f"{digits(value)} ({digits(min(samples))} to {digits(max(samples))}) {unit}"


@dataclass
class Section:
    """The figures of one benchmark, with where, when and how they were measured."""

    name: str
    title: str
    date: str
    machine: Mapping[str, str]
    conditions: Mapping[str, str]
    sizes: Mapping[str, int]
    figures: list[Figure] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, each figure with its median and its verdict."""
        figures = [
            {**asdict(figure), "value": figure.value, "verdict": figure.verdict}
            for figure in self.figures
        ]
        return {**asdict(self), "figures": figures}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Section:
        """Read back what `to_json` returned."""
        figures = [_figure(item) for item in found["figures"]]
        return cls(**{**found, "figures": figures})


def _figure(item: Mapping[str, Any]) -> Figure:
    fields = {key: item[key] for key in ("key", "what", "unit", "samples", "is_extreme", "way")}
    target = Target(**item["target"]) if item["target"] else None
    before = _figure(item["before"]) if item["before"] else None
    return Figure(**fields, target=target, before=before)


def digits(value: float) -> str:
    """Return a number with as many digits as mean something."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace("-", "−")
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return text.replace("-", "−")


def load(path: Path) -> dict[str, Section]:
    """Return the sections that a file holds; none when it is not there."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    return {item["name"]: Section.from_json(item) for item in found["sections"]}


def save(path: Path, sections: Iterable[Section]) -> None:
    """Write sections as JSON."""
    found = {"sections": [section.to_json() for section in sections]}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def to_markdown(sections: Sequence[Section]) -> str:
    """Return a table for each section, and after them the machines they were measured on."""
    machines = dict.fromkeys(_listed(section.machine) for section in sections)
    return "\n\n".join([*map(_table, sections), *(f"Measured on: {each}." for each in machines)])


def _table(section: Section) -> str:
    is_paired = any(figure.before for figure in section.figures)
    beside = ["the build before", "over the build before"] if is_paired else []
    head = ["what", "target", "median (least to greatest)", *beside, ""]
    rows = [head, ["---"] * len(head), *(each.cells(is_paired) for each in section.figures)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    sizes = ", ".join(f"{name} {size:,}" for name, size in section.sizes.items())
    how = f"{section.date}; {sizes}; {_listed(section.conditions)}."
    return f"**{section.title}**\n\n{table}\n\n{how}"


def _listed(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {fact}" for name, fact in facts.items())


def write_into(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a document. Raises ValueError without them."""
    document = path.read_text()
    before, found_begin, rest = document.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
