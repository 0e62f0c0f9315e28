"""How long a person waits: for a command, for a job's start; and what waiting workers cost."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence

from figures import Figure, Target
from processes import cpu_seconds, descendants, proportional_memory, wait_until
from stage import CROWD, PAIR, SLOTS, Plan, Stage, Workers
from throughput import Backlog

_PAIRS = 20
_PICKUPS = 50
_DIRECT = 10
_GAPS = (0.15, 0.45)
_IDLE_SECONDS = 10.0
_SETTLE_SECONDS = 2.0
_MANY_WORKERS = 4
_CALLS = 5
_LOOKS = {
    "status": 1.3,
    "list": 1.3,
    "dlq list": 1.3,
    "stats": 1.3,
    "list --text absent": 3.0,
    "list --label absent": 3.0,
    "list --exit-code 75": 3.0,
    "list --since 1s": 3.0,
}
"""The commands that look, and how often `import click` each may take."""


# one-shot commands


def enqueue(plan: Plan) -> list[Figure]:
    """Measure one-shot commands against the start of Python and click, in turns."""
    with Stage(plan.program) as stage:
        click, one_shot, help_ = _in_turns(stage, _PAIRS, lambda number: [
            _click(stage),
            stage.command("enqueue", f"job{number}", "true"),
            stage.command("--help"),
        ])  # fmt: skip
    unit = "× import click"
    return [
        Figure("enqueue", "one-shot enqueue", unit, [one_shot / click], Target(1.25)),
        Figure("help", "--help", unit, [help_ / click]),
        Figure("enqueue-ms", "one-shot enqueue", "ms", [one_shot]),
        Figure("help-ms", "--help", "ms", [help_]),
        Figure("click-ms", 'python -c "import click"', "ms", [click]),
    ]


def _click(stage: Stage) -> list[str]:
    return [stage.program.python, "-c", "import click"]


def _in_turns(
    stage: Stage, times: int, programs: Callable[[int], Sequence[Sequence[str]]]
) -> list[float]:
    """Run programs in turns, so many times each; return the median of the ms of each."""
    for argv in programs(0):  # the first of each only warms up
        stage.timed(argv)
    spent = [[stage.timed(argv) for argv in programs(n)] for n in range(1, times + 1)]
    return [1000 * statistics.median(each) for each in zip(*spent, strict=True)]


# from enqueue to start


def pickup(plan: Plan) -> list[Figure]:
    return [
        *_pickup(plan, "pickup", "two idle workers", PAIR),
        *_pickup(plan, "pickup-crowd", f"one idle worker of {SLOTS} slots", CROWD),
    ]


def _pickup(plan: Plan, key: str, who: str, workers: Workers) -> list[Figure]:
    with Stage(plan.program) as stage:
        before = [_start_directly(stage, n) for n in range(_DIRECT)]
        stage.start_workers(workers)
        time.sleep(_SETTLE_SECONDS)
        picked = [_pick_up(stage, n) for n in range(_PICKUPS)]
        stage.stop_workers()
        after = [_start_directly(stage, _DIRECT + n) for n in range(_DIRECT)]
    waits = sorted(wait for wait, _ in picked)
    middle, tail = statistics.median(waits), waits[int(0.95 * (len(waits) - 1) + 0.5)]
    from_call = statistics.median(whole for _, whole in picked)
    way = workers.way(plan.program)
    return [
        Figure(f"{key}-p50", f"{who}: enqueue's return to the command's start, p50", "ms",
               [middle], Target(1), way=way),
        Figure(f"{key}-p95", "the same, p95", "ms", [tail], Target(3), way=way),
        Figure(f"{key}-call", "from the call of enqueue to the command's start, p50", "ms",
               [from_call], way=way),
        Figure(f"{key}-direct", "a shell started directly", "ms",
               [statistics.median([*before, *after])]),
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
    (alone, first), (all_, many), (crowd, crowd_memory) = (
        _idle_cost(plan, workers) for workers in (Workers(1), Workers(_MANY_WORKERS), CROWD)
    )
    one, slots = "an idle worker", f"{SLOTS} idle slots in one worker"
    memory, way = "memory (PSS)", CROWD.way(plan.program)
    return [
        Figure("idle-cpu", f"{one} with its guard and supervisor", "% of a core", [alone],
               Target(0.5)),
        Figure("idle-cpu-each", f"each of {_MANY_WORKERS} idle workers", "% of a core",
               [all_ / _MANY_WORKERS], Target(0.5)),
        Figure("idle-cpu-crowd", f"{slots}, with guard and supervisor", "% of a core", [crowd],
               Target(0.5), way=way),
        Figure("idle-memory", f"{memory} of each further worker with its guard", "MB",
               [(many - first) / (_MANY_WORKERS - 1)], Target(10)),
        Figure("idle-memory-first", f"{memory} of one worker, guard and supervisor", "MB", [first]),
        Figure("idle-memory-crowd", f"{memory} of {slots}, guard and supervisor", "MB",
               [crowd_memory], Target(35), way=way),
    ]  # fmt: skip


def _idle_cost(plan: Plan, workers: Workers) -> tuple[float, float]:
    """Return the percentage of a core that idle workers use, and their MB of memory."""
    with Stage(plan.program) as stage:
        stage.start_workers(workers)
        time.sleep(_SETTLE_SECONDS)
        pids = descendants()
        before, begun = cpu_seconds(pids), time.monotonic()
        time.sleep(_IDLE_SECONDS)
        used = cpu_seconds(pids) - before
        share = 100 * used / (time.monotonic() - begun)
        return share, proportional_memory(pids)


# looking at many jobs


def lists(plan: Plan, queued: Backlog) -> list[Figure]:
    """Measure the commands that look, with very many jobs, against the start of Python and click.

    What narrows a list finds nothing here, so no limit ends the search early.
    """
    stage = queued.stage()
    argvs = [_click(stage), *(stage.command(*command.split()) for command in _LOOKS)]
    click, *spent = _in_turns(stage, _CALLS, lambda _: argvs)
    figures = []
    for (command, bound), took in zip(_LOOKS.items(), spent, strict=True):
        what = f"{command} with {plan.backlog:,} jobs"
        figures.append(Figure(command, what, "× import click", [took / click], Target(bound)))
        figures.append(Figure(f"{command}-ms", "the same", "ms", [took]))
    return [*figures, Figure("click-ms", 'python -c "import click"', "ms", [click])]
