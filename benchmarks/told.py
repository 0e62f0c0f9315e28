"""What hooks cost workers that have nothing to tell."""

from __future__ import annotations

import resource
import statistics

from figures import Figure, Target
from processes import end_descendants
from stage import Plan, Stage

_HOOK = ("hook", "add", "idle", "--on", "failed,dead", "--command", "true")
"""A hook that asks for what does not occur here, so each end of a run is looked at for it."""


def hooks(plan: Plan) -> list[Figure]:
    """Measure drains without hooks and with one that is told of nothing.

    Each round has two of both, inside and outside: of two drains the second takes longer.
    """
    spent: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for has_hook in (True, False, False, True):
        spent[has_hook].append(_drained(plan, has_hook))
    (without, cpu_without), (with_hook, cpu_with) = (
        map(statistics.mean, zip(*each, strict=True)) for each in spent.values()
    )
    what = "drain with a hook that is told of nothing"
    unit = "% of that without"
    return [
        Figure("hooks", what, unit, [100 * with_hook / without], Target(103)),
        Figure("hooks-cpu", f"processor time of a {what}", unit, [100 * cpu_with / cpu_without]),
        Figure("hooks-none", "drain without hooks", "s", [without]),
        Figure("hooks-idle", what, "s", [with_hook]),
    ]


def _drained(plan: Plan, has_hook: bool) -> tuple[float, float]:
    """Return the seconds in which workers drain a queue, and how much processor time they take.

    Both with the start and the end of the workers, and with what they run.
    """
    with Stage(plan.program) as stage:
        if has_hook:
            stage.run(*_HOOK)
        stage.enqueue((f"job-{n}", "true") for n in range(plan.jobs))
        before = _cpu_seconds()
        seconds = stage.drain()
        end_descendants()  # the guards, so that their time counts too
        spent = _cpu_seconds() - before
        stage.check_completed(plan.jobs)
    return seconds, spent


def _cpu_seconds() -> float:
    """Return the processor time of all processes below this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
