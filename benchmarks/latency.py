"""How long a person waits: for a command, for a job's start; and what waiting workers cost."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from figures import Figure, Target
from processes import cpu_seconds, descendants, proportional_memory, wait_until
from stage import Plan, Stage
from throughput import Backlog

_PAIRS = 20
_PICKUPS = 50
_DIRECT = 10
_GAPS = (0.15, 0.45)
_IDLE_SECONDS = 10.0
_SETTLE_SECONDS = 2.0
_MANY_WORKERS = 4
_CALLS = 5


# one-shot commands


def enqueue(plan: Plan) -> list[Figure]:
    """Measure one-shot commands against the start of Python and click, in turns."""
    names = ("click", "enqueue", "help")
    spent: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(plan.rounds):
        with Stage(plan.program) as stage:
            one_round: dict[str, list[float]] = {name: [] for name in names}
            for n in range(-1, _PAIRS):
                for name, argv in zip(names, _one_shots(stage, n), strict=True):
                    seconds = stage.timed(argv)
                    if n >= 0:  # the first of each only warms up
                        one_round[name].append(1000 * seconds)
        for name in names:
            spent[name].append(statistics.median(one_round[name]))
    target = Target(2, note="aim 1.5")
    return [
        Figure("enqueue", "one-shot enqueue", "× import click", _over(spent, "enqueue"), target),
        Figure("help", "--help", "× import click", _over(spent, "help")),
        Figure("enqueue-ms", "one-shot enqueue", "ms", spent["enqueue"]),
        Figure("help-ms", "--help", "ms", spent["help"]),
        Figure("click-ms", 'python -c "import click"', "ms", spent["click"]),
    ]


def _one_shots(stage: Stage, number: int) -> list[list[str]]:
    return [
        [stage.program.python, "-c", "import click"],
        stage.command("enqueue", f"job{number}", "true"),
        stage.command("--help"),
    ]


def _over(spent: dict[str, list[float]], name: str) -> list[float]:
    return [ours / theirs for ours, theirs in zip(spent[name], spent["click"], strict=True)]


# from enqueue to start


def pickup(plan: Plan) -> list[Figure]:
    """Measure the time from the return of `enqueue` to the start of the command."""
    middles: list[float] = []
    tails: list[float] = []
    from_call: list[float] = []
    direct: list[float] = []
    for _ in range(plan.rounds):
        with Stage(plan.program) as stage:
            before = [_start_directly(stage, n) for n in range(_DIRECT)]
            stage.start_workers()
            time.sleep(_SETTLE_SECONDS)
            picked = [_pick_up(stage, n) for n in range(_PICKUPS)]
            stage.stop_workers()
            after = [_start_directly(stage, _DIRECT + n) for n in range(_DIRECT)]
        waits = sorted(wait for wait, _ in picked)
        middles.append(statistics.median(waits))
        tails.append(waits[int(0.95 * (len(waits) - 1) + 0.5)])
        from_call.append(statistics.median(whole for _, whole in picked))
        direct.append(statistics.median([*before, *after]))
    return [
        Figure("pickup-p50", "enqueue's return to the command's start, p50", "ms", middles,
               Target(3)),
        Figure("pickup-p95", "the same, p95", "ms", tails, Target(8)),
        Figure("pickup-call", "from the call of enqueue to the command's start, p50", "ms",
               from_call),
        Figure("pickup-direct", "a shell started directly", "ms", direct),
    ]  # fmt: skip


def _pick_up(stage: Stage, number: int) -> tuple[float, float]:
    """Enqueue one job; return the ms to its start from the command's return and from its call."""
    time.sleep(random.uniform(*_GAPS))
    name = f"picked{number}"
    called = time.time_ns()
    stage.timed(stage.command("enqueue", name, f"date +%s%N > {name}"))
    returned = time.time_ns()
    whole = _stamp_after(stage, name, called)
    return whole - (returned - called) / 1e6, whole


def _start_directly(stage: Stage, number: int) -> float:
    name = f"direct{number}"
    begun = time.time_ns()
    stage.timed(["sh", "-c", f"date +%s%N > {name}"])
    return _stamp_after(stage, name, begun)


def _stamp_after(stage: Stage, name: str, begun: int) -> float:
    """Return the ms from an instant to the one that a command wrote into its file."""
    path = stage.home / name
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), name, 0.001)
    return (int(path.read_text()) - begun) / 1e6


# workers without work


def idle(plan: Plan) -> list[Figure]:
    """Measure what workers cost that have nothing to do, all their processes counted."""
    alone: list[float] = []
    each: list[float] = []
    memory: dict[int, list[float]] = {1: [], _MANY_WORKERS: []}
    for _ in range(plan.rounds):
        for count, found in memory.items():
            share, megabytes = _idle_cost(plan, count)
            (alone if count == 1 else each).append(share / count)
            found.append(megabytes)
    further = [
        (many - one) / (_MANY_WORKERS - 1)
        for one, many in zip(memory[1], memory[_MANY_WORKERS], strict=True)
    ]
    return [
        Figure("idle-cpu", "an idle worker with its guard and supervisor", "% of a core", alone,
               Target(0.5)),
        Figure("idle-cpu-each", f"each of {_MANY_WORKERS} idle workers", "% of a core", each,
               Target(0.5)),
        Figure("idle-memory", "memory (PSS) of each further worker with its guard", "MB", further,
               Target(10)),
        Figure("idle-memory-first", "memory (PSS) of one worker, guard and supervisor", "MB",
               memory[1]),
    ]  # fmt: skip


def _idle_cost(plan: Plan, count: int) -> tuple[float, float]:
    """Return the percentage of a core that idle workers use, and their MB of memory."""
    with Stage(plan.program) as stage:
        stage.start_workers(count)
        time.sleep(_SETTLE_SECONDS)
        pids = descendants()
        before, begun = cpu_seconds(pids), time.monotonic()
        time.sleep(_IDLE_SECONDS)
        used = cpu_seconds(pids) - before
        share = 100 * used / (time.monotonic() - begun)
        return share, proportional_memory(pids)


# looking at many jobs


_QUICK = (("status",), ("list",), ("dlq", "list"))
_SEARCHES = (
    ("list", "--label", "nosuch"), ("list", "--exit-code", "75"), ("list", "--text", "nosuch"),
    ("list", "--since", "1s"),
)  # fmt: skip
"""What finds nothing: the first two by an index, the others when all jobs have been read."""


def lists(plan: Plan, queued: Backlog) -> list[Figure]:
    """Measure the commands that look, with very many jobs and with none, in turns."""
    full = queued.stage()
    commands = (*_QUICK, *_SEARCHES)
    spent: dict[tuple[str, ...], list[float]] = {command: [] for command in commands}
    grown: dict[tuple[str, ...], list[float]] = {command: [] for command in commands}
    for _ in range(plan.rounds):
        with Stage(plan.program) as empty:
            empty.run("status")
            for command in commands:
                before = _command_ms(empty, command, any_code=True)
                loaded = _command_ms(full, command, any_code=command in _SEARCHES)
                after = _command_ms(empty, command, any_code=True)
                spent[command].append(loaded)
                grown[command].append(2 * loaded / (before + after))
    figures = []
    for command in commands:
        name = " ".join(command)
        what = f"{name} with {plan.backlog:,} jobs"
        target = Target(100) if command in _QUICK else None
        figures.append(Figure(name, what, "ms", spent[command], target))
        figures.append(Figure(f"{name}-over", "the same over an empty store", "×", grown[command]))
    return figures


def _command_ms(stage: Stage, command: Sequence[str], *, any_code: bool = False) -> float:
    """Return the median of some calls; the exit code may say that there is nothing to list."""
    argv = stage.command(*command)
    return statistics.median(1000 * stage.timed(argv, any_code=any_code) for _ in range(_CALLS))
