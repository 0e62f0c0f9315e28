"""What was measured: figures with their spread and target, as tables and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"


@dataclass(frozen=True)
class Target:
    """What a median must reach: `bound` at least, or at most."""

    bound: float
    is_least: bool = False
    note: str = ""

    def is_met(self, value: float) -> bool:
        """Whether a median reaches it."""
        return value >= self.bound if self.is_least else value <= self.bound


@dataclass(frozen=True)
class Figure:
    """One figure: a sample from each round. Without a target it is there to be compared with."""

    key: str
    what: str
    unit: str
    samples: Sequence[float]
    target: Target | None = None
    is_extreme: bool = False
    """The worst round counts, not the median: for what must never happen."""

    @property
    def value(self) -> float:
        """The median, or the greatest where one round too many is a fault."""
        return max(self.samples) if self.is_extreme else statistics.median(self.samples)

    @property
    def verdict(self) -> str:
        """PASS, MISS, or a dash where there is no target."""
        if self.target is None:
            return "–"
        return "PASS" if self.target.is_met(self.value) else "MISS"

    def cells(self) -> list[str]:
        """Return the row of a table."""
        spread = f"{digits(min(self.samples))} to {digits(max(self.samples))}"
        result = f"{digits(self.value)} ({spread}) {self.unit}"
        return [self.what, self._target_text(), result, self.verdict]

    def _target_text(self) -> str:
        if self.target is None:
            return "–"
        sign = "≥" if self.target.is_least else "≤"
        note = f", {self.target.note}" if self.target.note else ""
        return f"{sign} {digits(self.target.bound)} {self.unit}{note}"


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
    fields = {key: item[key] for key in ("key", "what", "unit", "samples", "is_extreme")}
    target = Target(**item["target"]) if item["target"] else None
    return Figure(**fields, target=target)


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
    rows = [["what", "target", "median (least to greatest)", ""], ["---"] * 4]
    rows += [figure.cells() for figure in section.figures]
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
