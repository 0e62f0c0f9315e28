"""Which jobs a job waits for, and what becomes of that when one of them ends.

A blocker is a condition and the id of a parent, written `success:ID`, `failure:ID` or `end:ID`.
Releasing removes members of a set, so doing it twice, or in two orders, comes to the same. A
parent that is buried or cancelled has failed; one that is deleted counts as cancelled. A blocker
whose condition was not met stays: the parent may be retried. One that was deleted may not; what
waits for its success waits for `gone:ID` from then on, which no later job of that id can meet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from queuectl.domain.errors import Circle
from queuectl.domain.job import SETTLED, State
from queuectl.domain.job_fields import Spec

SUCCESS, FAILURE, END = "success", "failure", "end"
GONE = "gone"
FAILED = frozenset({State.DEAD, State.CANCELLED})
"""How a job has ended that will not succeed by itself."""

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
    left: list[str] = []
    for blocker in wanted:
        word, _, parent = blocker.partition(":")
        if parent not in states:
            left.append(blocker)
        elif blocker not in met_by(parent, states[parent]):
            is_gone = states[parent] is None and word == SUCCESS
            left.append(gone(parent) if is_gone else blocker)
    return tuple(left)


def fate(job_id: str, state: State | None) -> str:
    """Return how a job that others wait for has ended, in words; None is deleted."""
    return f"{job_id} {'was deleted' if state is None else f'is {state}'}"


def gone(job_id: str) -> str:
    """Return what takes the place of a wish for the success of a job that is deleted."""
    return f"{GONE}:{job_id}"


def is_gone(blocker: str) -> bool:
    """Whether a blocker waits for a job that was deleted."""
    return blocker.startswith(f"{GONE}:")


def wish_for(job_id: str) -> str:
    """Return the blocker of a job that waits for another's success."""
    return f"{SUCCESS}:{job_id}"


def has_failed(state: State | None) -> bool:
    """Whether a job will not succeed by itself; None is deleted."""
    return state is None or state in FAILED


def unwanted_by(job_id: str, state: State | None) -> str:
    """Return the blocker of those who wanted the success of a job that has failed."""
    return gone(job_id) if state is None else wish_for(job_id)


def refuse_cycles(waiting: Mapping[str, Iterable[str]]) -> None:
    """Raise Circle when jobs wait for each other: given is for which others each of them waits."""
    from graphlib import CycleError, TopologicalSorter  # few commands need what takes long to load

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
        for child, blocked_by in found.items():
            for parent in map(parent_of, blocked_by):
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
