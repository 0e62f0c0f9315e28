"""What hooks cost workers that have nothing to tell."""

from __future__ import annotations

import resource
from collections.abc import Sequence

from figures import Figure, Target
from processes import BenchError, end_descendants
from stage import WORKERS, Plan, Stage

_HOOK = ("hook", "add", "idle", "--on", "failed,dead", "--command", "true")
"""A hook that asks for what does not occur here, so each end of a run is looked at for it."""


def hooks(plan: Plan) -> list[Figure]:
    """Measure drains without hooks and with one that is told of nothing.

    Each round has two of both, inside and outside: of two drains the second takes longer.
    """
    spent: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _ in range(plan.rounds):
        in_turn = [(each, _drained(plan, each)) for each in (True, False, False, True)]
        for has_hook, found in spent.items():
            walls, cpus = zip(*(took for each, took in in_turn if each is has_hook), strict=True)
            found.append((sum(walls) / 2, sum(cpus) / 2))
    (without, cpu_without), (with_hook, cpu_with) = (
        ([wall for wall, _ in each], [cpu for _, cpu in each]) for each in spent.values()
    )
    what = "drain with a hook that is told of nothing"
    unit = "% of that without"
    return [
        Figure("hooks", what, unit, _percent(with_hook, without), Target(103)),
        Figure("hooks-cpu", f"processor time of a {what}", unit, _percent(cpu_with, cpu_without)),
        Figure("hooks-none", "drain without hooks", "s", without),
        Figure("hooks-idle", what, "s", with_hook),
    ]


def _percent(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [100 * one / other for one, other in zip(ones, others, strict=True)]


def _drained(plan: Plan, has_hook: bool) -> tuple[float, float]:
    """Return the seconds in which workers drain a queue, and how much processor time they take.

    Both with the start and the end of the workers, and with what they run.
    """
    with Stage(plan.program) as stage:
        if has_hook:
            stage.run(*_HOOK)
        stage.enqueue((f"job-{n}", "true") for n in range(plan.jobs))
        workers = ("worker", "start", "--foreground", "--drain", "--count", str(WORKERS))
        before = _cpu_seconds()
        seconds = stage.timed(stage.command(*workers))
        end_descendants()  # the guards, so that their time counts too
        spent = _cpu_seconds() - before
        completed = stage.counts()["completed"]
        if completed != plan.jobs:
            raise BenchError(f"{completed} of {plan.jobs} jobs are completed")
    return seconds, spent


def _cpu_seconds() -> float:
    """Return the processor time of all processes below this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
