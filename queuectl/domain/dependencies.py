"""Which jobs a job waits for, and what becomes of that when one of them ends.

A blocker is a condition and the id of a parent, written `success:ID`, `failure:ID` or `end:ID`.
Releasing removes members of a set, so doing it twice, or in two orders, comes to the same. A
parent that is buried or cancelled has failed; one that is deleted counts as cancelled. A blocker
whose condition was not met stays: the parent may be retried. One that was deleted may not; what
waits for its success waits for `gone:ID` from then on, which no later job of that id can meet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from queuectl.domain.errors import Circle, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.settings import CANCEL

SUCCESS, FAILURE, END = "success", "failure", "end"
GONE = "gone"
TURN = "turn:"
"""The blocker of a job whose batch lets only so many at once go to workers; it names no parent."""

BATCH_PREFIX = "batch:"
"""How a parent begins that is no job, but all jobs of the batch whose name follows."""

CANNOT_START = "cannot start: "
"""How the last error of a job begins that was cancelled with its parent."""

FAILED = frozenset({State.DEAD, State.CANCELLED})
"""How a job has ended that will not succeed by itself."""

Look = Callable[[Collection[str]], Mapping[str, Iterable[str]]]
"""Returns what jobs wait for, by id; those that are not there may be left out."""

_MET_BY_SUCCESS = (SUCCESS, END)
_MET_BY_FAILURE = (FAILURE, END)


def blockers(spec: Spec) -> tuple[str, ...]:
    """Return every blocker that a specification asks for."""
    asked = ((SUCCESS, spec.after), (FAILURE, spec.after_fail), (END, spec.after_any))
    found = dict.fromkeys(f"{word}:{job_id}" for word, ids in asked for job_id in ids)
    return (*found, *turn_of(spec))


def turn_of(spec: Spec) -> tuple[str, ...]:
    """Return the blocker of a job that is let go in turn with others of its batch, if it is one."""
    return (TURN,) if spec.at_once and spec.batch else ()


def holds_turn(job: Job) -> bool:
    """Whether a job is one of those that its batch has let go and that have not ended."""
    spec = job.spec
    return bool(spec.at_once and spec.batch) and not job.blocked_by and job.state not in SETTLED


def parents_in(blocked_by: Iterable[str]) -> set[str]:
    """Return the ids that blockers name; their turn in a batch names none."""
    return {parent_of(blocker) for blocker in blocked_by if blocker != TURN}


def batch_of_parent(parent: str) -> str | None:
    """Return the batch that a parent stands for, or None where it is a job."""
    return parent[len(BATCH_PREFIX) :] if parent.startswith(BATCH_PREFIX) else None


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


def left_after_edit(blocked_by: Collection[str], before: Spec, after: Spec) -> tuple[str, ...]:
    """Return what a job waits for once it has another specification: what is gone stays gone."""
    had = blockers(before)
    left = []
    for blocker in blockers(after):
        lost = gone(parent_of(blocker))
        if blocker in blocked_by or blocker not in had:
            left.append(blocker)
        elif lost in blocked_by and blocker == wish_for(parent_of(blocker)):
            left.append(lost)
    return tuple(left)


def fate(job_id: str, state: State | None) -> str:
    """Return how a job that others wait for has ended, in words; None is deleted."""
    return f"{job_id} {'was deleted' if state is None else f'is {state}'}"


def root_cause(job_id: str, state: State | None, error: str | None) -> str:
    """Return why the children of a job that has failed are cancelled; None is deleted.

    What was cancelled with a parent of its own hands on which that was.
    """
    if state is State.CANCELLED and error and error.startswith(CANNOT_START):
        return error.removeprefix(CANNOT_START)
    return fate(job_id, state)


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
    came_from = dict.fromkeys(sorted(parents_in(wanted)), job_id)
    ahead = list(came_from)
    while ahead and job_id not in came_from:
        found = look(ahead)
        ahead = []
        for child, blocked_by in found.items():
            for parent in sorted(parents_in(blocked_by)):
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


Find = Callable[[str], Job | None]
"""Returns a job by its id, None when there is none."""


@frozen
class Obstacle:
    """The job at the root: how it has ended (None: it was deleted), and which job waits for it."""

    job_id: str
    state: State | None
    child_id: str

    def __str__(self) -> str:
        return fate(self.job_id, self.state)

    @property
    def remedy(self) -> str:
        """Return the command that lets the chain go on.

        What was deleted cannot be retried, nor can a later job of its id stand for it: the one
        job that names it must cease to. So must one that waits for the failure of what has
        completed, which would most likely complete again.
        """
        if self.state in (None, State.COMPLETED):
            return f"edit {self.child_id}"
        batch = batch_of_parent(self.job_id)
        return f"retry --batch {batch}" if batch else f"retry {self.job_id}"

    @property
    def reason(self) -> str:
        """Return how the root has ended, and what to edit where no retry of it can help."""
        return f"{self}; {self.remedy}" if self.state is None else str(self)


class Obstacles:
    """Looks for roots along chains of jobs that wait for each other, each job once."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._found: dict[str, Obstacle | None] = {}

    def before(self, job: Job) -> Obstacle | None:
        """Return what keeps a waiting job from ever starting by itself; None where nothing does.

        One that is to be cancelled with its parent will not wait for long.
        """
        path = [job]
        while path:
            latest = path[-1]
            if latest.id not in self._found:
                self._found[latest.id] = None  # also ends a circle, which no store should hold
                path += self._ahead(latest)
                continue
            path.pop()
            if self._found[latest.id] is None:
                self._found[latest.id] = self._root(latest)
        return self._found[job.id]

    def _ahead(self, job: Job) -> list[Job]:
        """Return the jobs that one waits for, and that wait themselves and are not known yet."""
        ids = parents_in(_blockers(job))
        found = [self._readable(job_id) for job_id in ids if job_id not in self._found]
        return [each for each in found if each is not None and each.state in WAITING]

    def _readable(self, job_id: str) -> Job | None:
        try:
            return self._find(job_id)
        except StoreRefused:
            return None

    def _root(self, job: Job) -> Obstacle | None:
        """Return the first obstacle among what a job waits for, or behind it."""
        for blocker in _blockers(job):
            if blocker == TURN:
                continue
            word, _, job_id = blocker.partition(":")
            try:
                parent = None if word == GONE else self._find(job_id)
            except StoreRefused:
                continue  # its record is damaged, so that nobody knows how it has ended
            direct = _direct(job, word, job_id, parent)
            if direct is not None and not _ends_with_it(job, word):
                return direct
            behind = self._found.get(job_id) if direct is None and parent is not None else None
            if behind is not None:
                return behind
        return None


def _blockers(job: Job) -> tuple[str, ...]:
    return job.blocked_by if job.state in WAITING else ()


def _direct(job: Job, word: str, job_id: str, parent: Job | None) -> Obstacle | None:
    """Return a parent that has ended otherwise than a job waits for."""
    state = None if parent is None else parent.state
    has_missed = has_failed(state) if word in (SUCCESS, GONE) else state is State.COMPLETED
    return Obstacle(job_id, state, job.id) if has_missed and word != END else None


def _ends_with_it(job: Job, word: str) -> bool:
    """Whether a job is about to be cancelled because of a parent that has failed."""
    return word in (SUCCESS, GONE) and job.spec.on_parent_failure == CANCEL
