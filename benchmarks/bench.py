#!/usr/bin/env python3
"""Measure queuectl against what this machine can do, through its command line alone.

python benchmarks/bench.py                        everything; an hour or more
python benchmarks/bench.py --only drain,pickup    a part of it
python benchmarks/bench.py --before COMMAND       in turns with another build's queuectl
python benchmarks/bench.py --report --json FILE   the tables of an earlier run

Each figure is the median of several rounds with its spread, next to a reference measured right
before and after it. README.md, beside this file, says what each of them means.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import bulk
import figures
import latency
import starts
import throughput
import told
from figures import Figure, Section
from processes import BenchError, become_subreaper, conditions, end_descendants, machine
from stage import Plan, Program, ground

PEERS = Path(__file__).with_name("peers.json")

SIZES = (
    ("rounds", 9, "a result needs at least nine"),
    ("jobs", 2000, "jobs of a drain"),
    ("backlog", 1_000_000, "jobs of a long queue"),
    ("bulk", 1_000_000, "jobs of a bulk enqueue"),
)

Measure = Callable[[Plan, throughput.Backlog], list[Figure]]
"""Measures one round."""

SECTIONS: dict[str, tuple[str, Measure]] = {
    "drain": ("Draining a queue", lambda plan, _: throughput.drain(plan)),
    "backlog": ("Draining a long queue", throughput.backlog),
    "sleep": ("Jobs that wait", lambda plan, _: throughput.sleep(plan)),
    "bulk": ("Enqueueing in bulk", lambda plan, _: bulk.bulk(plan)),
    "enqueue": ("One-shot commands", lambda plan, _: latency.enqueue(plan)),
    "pickup": ("From enqueue to start", lambda plan, _: latency.pickup(plan)),
    "idle": ("Idle workers", lambda plan, _: latency.idle(plan)),
    "lists": ("Looking at many jobs", latency.lists),
    "starts": ("From a start to readiness", lambda plan, _: starts.starts(plan)),
    "hooks": ("Hooks that have nothing to tell", lambda plan, _: told.hooks(plan)),
}


def main() -> int:
    """Measure what is asked for, and tell; return an exit code."""
    options = _parser().parse_args()
    done = figures.load(options.json) if options.json else {}
    try:
        if not options.report:
            become_subreaper()
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            _measure(options, done)
        _tell(options, [done[name] for name in SECTIONS if name in done])
    except (BenchError, ValueError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _measure(options: argparse.Namespace, done: dict[str, Section]) -> None:
    """Run the sections asked for; what is finished is kept though a later one fails."""
    peers = _peers(options.peers)
    plan = Plan(
        Program.chosen(options.bin, options.store), options.rounds, options.jobs, options.backlog,
        options.bulk, tuple(options.setting), peers,
    )  # fmt: skip
    plans = [plan]
    if options.before:
        plans.append(replace(plan, program=Program.chosen(options.before, options.store)))
    sizes = {"rounds": plan.rounds, "jobs": plan.jobs}
    try:
        with ground(), ExitStack() as stack:
            sides = [(each, stack.enter_context(throughput.Backlog(each))) for each in plans]
            for name in options.only:
                title, measure = SECTIONS[name]
                print(f"{name} …", file=sys.stderr, flush=True)
                date, now = time.strftime("%Y-%m-%d %H:%M"), conditions()
                found = _in_turns(measure, sides)
                done[name] = Section(name, title, date, machine(), now, sizes, found)
                if options.json:
                    figures.save(options.json, done.values())
    finally:
        end_descendants()


def _in_turns(measure: Measure, sides: Sequence[tuple[Plan, throughput.Backlog]]) -> list[Figure]:
    """Measure one build, or two in turns, of which each goes first in every other round."""
    found: list[list[list[Figure]]] = [[] for _ in sides]
    for number in range(sides[0][0].rounds):
        in_turn = list(zip(sides, found, strict=True))
        for side, rounds in in_turn[:: -1 if number % 2 else 1]:
            rounds.append(measure(*side))
    ours, *before = map(figures.joined, found)
    return figures.paired(ours, before[0]) if before else ours


def _tell(options: argparse.Namespace, sections: list[Section]) -> None:
    text = figures.to_markdown(sections)
    print(text)
    if options.plot:
        import plot

        plot.draw(options.plot, sections, _peers(options.peers))
        if options.write:
            place = os.path.relpath(options.plot, options.write.parent)
            text = f"![What each queue reaches of xargs]({place})\n\n{text}"
    if options.write:
        figures.write_into(options.write, text)


def _peers(path: Path) -> dict[str, float]:
    """Return what other queues reach, in percent of xargs."""
    return {peer["name"]: peer["share"] for peer in json.loads(path.read_text())["peers"]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    every = list(SECTIONS)
    add("--only", type=_names, default=every, metavar="NAME,...", help=f"of {', '.join(every)}")
    for name, default, text in SIZES:
        add(f"--{name}", type=_number, default=default, metavar="N", help=f"{text} ({default:,})")
    text = "drain with this setting too (repeat)"
    add("--setting", action="append", default=[], metavar="KEY=VALUE", help=text)
    add("--bin", default="", metavar="COMMAND", help="an installed queuectl; else this checkout's")
    text = "another build's, measured in turns with it"
    add("--before", default="", metavar="COMMAND", help=text)
    add("--store", default="", metavar="URL", help="a MongoDB server; databases are added to it")
    add("--json", type=Path, metavar="FILE", help="keep results here, beside those in it")
    add("--report", action="store_true", help="measure nothing; show what --json holds")
    add("--write", type=Path, metavar="FILE.md", help="put the tables between its result marks")
    add("--plot", type=Path, metavar="FILE.svg", help="draw the drain (needs matplotlib)")
    add("--peers", type=Path, default=PEERS, metavar="FILE", help="what other queues reach")
    return parser


def _names(words: str) -> list[str]:
    names = words.split(",")
    unknown = sorted(set(names) - set(SECTIONS))
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return names


def _number(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
