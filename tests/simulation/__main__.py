"""The command: one simulation, the curves of `docs/scale.md`, or what each safeguard is for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.simulation.checks import Broken
from tests.simulation.fences import SAFEGUARDS, broken_without
from tests.simulation.network import Faults
from tests.simulation.scenario import Figures, Scenario, simulate

_PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
_BEGIN, _END = "<!-- figures -->", "<!-- /figures -->"

_CURVE = (1, 10, 100, 1000)
_MOST_OF_LIMITED = 100
"""More workers only look whether there is room."""


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    asked = _parsed()
    if asked.fences:
        return _tell_fences(asked.seed)
    if asked.curves:
        _write_curves(asked.seed)
        return 0
    scenario = Scenario(
        hosts=asked.hosts, workers=asked.workers, jobs=asked.jobs, seconds=tuple(asked.seconds),
        queues=asked.queues, failing=asked.failing, limit=asked.limit, licences=asked.licences,
        crashes=asked.crashes, cuts=asked.cuts, drift=asked.drift, lease=asked.lease,
        until=asked.until, faults=Faults(delay=asked.delay / 1000, lost=asked.lost),
    )  # fmt: skip
    try:
        figures = simulate(scenario, asked.seed)
    except Broken as broken:
        print(f"broken: {broken}", file=sys.stderr)
        return 1
    json.dump(figures.as_dict(), sys.stdout, indent=2)
    print()
    return 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1, help="of each host")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.01, 0.05),
                        metavar=("LEAST", "MOST"), help="how long a job takes")  # fmt: skip
    parser.add_argument("--queues", type=int, default=1)
    parser.add_argument("--failing", type=float, default=0, help="runs of a hundred that fail")
    parser.add_argument("--limit", type=int, default=0, help="of the queue of each tenth job")
    parser.add_argument("--licences", type=int, default=0, help="of which each twentieth needs one")
    parser.add_argument("--crashes", type=float, default=0, help="hosts that crash in a minute")
    parser.add_argument("--cuts", type=float, default=0, help="hosts that are cut off in a minute")
    parser.add_argument("--lost", type=float, default=0, help="messages lost of a thousand")
    parser.add_argument("--delay", type=float, default=0.5, help="of a message, in milliseconds")
    parser.add_argument("--drift", type=float, default=0.001, help="of the hosts' clocks")
    parser.add_argument("--lease", type=float, default=30, help="in seconds")
    parser.add_argument("--until", type=float, default=7200, help="seconds of virtual time at most")
    parser.add_argument("--curves", action="store_true", help="write the tables of docs/scale.md")
    parser.add_argument("--fences", action="store_true", help="take each safeguard out in turn")
    return parser.parse_args()


def _tell_fences(seed: int) -> int:
    code = 0
    for safeguard in SAFEGUARDS:
        found = broken_without(safeguard, seed)
        code = code if found else 1
        print(f"{'found' if found else 'MISSED':8}{safeguard.name}\n{'':8}{found or ''}")
    return code


def _write_curves(seed: int) -> None:
    """Put the tables into the document, between its marks."""
    text = _PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    tables = "\n\n".join(_table(title, seed, of) for title, of in _KINDS)
    _PAGE.write_text(f"{before}{_BEGIN}\n{tables}\n\n{_END}{after}", encoding="utf-8")


def _short(workers: int) -> Scenario:
    return Scenario(hosts=workers, jobs=max(20_000, 4 * workers))


def _long(workers: int) -> Scenario:
    jobs = max(200, 3 * workers)
    return Scenario(hosts=workers, jobs=jobs, seconds=(20.0, 60.0))


def _limited(workers: int) -> Scenario:
    return Scenario(hosts=workers, jobs=300, limit=20, limited=1, seconds=(0.05, 0.2))


_KINDS: tuple[tuple[str, Callable[[int], Scenario]], ...] = (
    ("Jobs of 10 to 50 ms", _short),
    ("Jobs of 20 to 60 s", _long),
    ("A queue with a limit of 20, jobs of 50 to 200 ms", _limited),
)


def _table(title: str, seed: int, of: Callable[[int], Scenario]) -> str:
    return "\n".join([f"**{title}**", "", *_lines(seed, of)])


def _lines(seed: int, of: Callable[[int], Scenario]) -> Iterator[str]:
    yield (
        "| workers | jobs | jobs a second | commands a job | conflicts a claim | the hottest "
        "document, writes a second | longest wait |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | --- | ---: |"
    for workers in _CURVE:
        scenario = of(workers)
        if scenario.limit and workers > _MOST_OF_LIMITED:
            continue
        yield _row(simulate(replace(scenario, until=100_000.0), seed))


def _row(found: Figures) -> str:
    return (
        f"| {found.workers:,} | {found.jobs:,} | {found.rate:,.0f} | {found.commands_a_job:.2f} "
        f"| {found.conflicts_a_claim:.2f} | {found.hottest}, {found.hottest_writes_a_second:,.1f} "
        f"| {found.longest_wait:,.1f} s |"
    )


if __name__ == "__main__":
    sys.exit(main())
