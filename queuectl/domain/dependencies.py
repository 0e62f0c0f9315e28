"""Which jobs a job waits for, and what becomes of that when one of them ends.

A blocker is a condition and the id of a parent, written `success:ID`, `failure:ID` or `end:ID`.
Releasing removes members of a set, so doing it twice, or in two orders, comes to the same. A
parent that is buried or cancelled has failed; one that is deleted counts as cancelled. A blocker
whose condition was not met stays: the parent may be retried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from queuectl.domain.errors import Circle
from queuectl.domain.job import SETTLED, Spec, State

SUCCESS, FAILURE, END = "success", "failure", "end"

Look = Callable[[Collection[str]], Mapping[str, Iterable[str]]]
"""Returns what jobs wait for, by id; those that are not there may be left out."""

_MET_BY_SUCCESS = (SUCCESS, END)
_MET_BY_FAILURE = (FAILURE, END)


def blockers(spec: Spec) -> tuple[str, ...]:
    """Return every blocker that a specification asks for."""
    asked = ((SUCCESS, spec.after), (FAILURE, spec.after_fail), (END, spec.after_any))
    return tuple(dict.fromkeys(f"{word}:{job_id}" for word, ids in asked for job_id in ids))


def parents(spec: Spec) -> tuple[str, ...]:
    """Return the ids of the jobs that a specification waits for, each once."""
    return tuple(dict.fromkeys((*spec.after, *spec.after_fail, *spec.after_any)))


def parent_of(blocker: str) -> str:
    """Return the id in a blocker."""
    return blocker.partition(":")[2]


def met_by(job_id: str, state: State | None) -> tuple[str, ...]:
    """Return the blockers that are gone once a job is in a state; None means deleted."""
    if state is State.COMPLETED:
        return tuple(f"{word}:{job_id}" for word in _MET_BY_SUCCESS)
    if state is None or state in SETTLED:
        return tuple(f"{word}:{job_id}" for word in _MET_BY_FAILURE)
    return ()


def left_by(wanted: Iterable[str], states: Mapping[str, State | None]) -> tuple[str, ...]:
    """Return the blockers that are left when parents are in these states (None: deleted).

    One whose parent is not among them is left.
    """

    def is_met(blocker: str) -> bool:
        parent = parent_of(blocker)
        return parent in states and blocker in met_by(parent, states[parent])

    return tuple(blocker for blocker in wanted if not is_met(blocker))


def refuse_cycles(waiting: Mapping[str, Iterable[str]]) -> None:
    """Raise Circle when jobs wait for each other: given is for which others each of them waits."""
    graph = {
        job_id: [each for each in others if each in waiting] for job_id, others in waiting.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as fault:
        raise Circle(fault.args[1][::-1]) from None


def refuse_circle(job_id: str, wanted: Iterable[str], look: Look) -> None:
    """Raise Circle when a job with these blockers would come to wait for itself.

    The jobs ahead are looked at generation by generation.
    """
    came_from = dict.fromkeys(map(parent_of, wanted), job_id)
    ahead = list(came_from)
    while ahead and job_id not in came_from:
        found = look(ahead)
        ahead = []
        for child, waits_for in found.items():
            for parent in map(parent_of, waits_for):
                if parent not in came_from:
                    came_from[parent] = child
                    ahead.append(parent)
    if job_id in came_from:
        raise Circle([job_id, *_way_back(job_id, came_from)])


def _way_back(job_id: str, came_from: Mapping[str, str]) -> list[str]:
    """Return how one gets from a job to itself: what it waits for first, itself last."""
    path = [job_id]
    while came_from[path[-1]] != job_id:
        path.append(came_from[path[-1]])
    return path[::-1]
