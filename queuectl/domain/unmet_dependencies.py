"""Why a job cannot start by itself: one that it waits for has ended otherwise, or is gone.

Such a job may be revived by a retry of that one, so it waits on; but whoever waits for it is told.
"""

from __future__ import annotations

from collections.abc import Callable

from queuectl.domain.dependencies import END, GONE, SUCCESS, fate, has_failed
from queuectl.domain.errors import StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.settings import CANCEL

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
        is_final = self.state in (None, State.COMPLETED)
        return f"edit {self.child_id}" if is_final else f"retry {self.job_id}"

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
        ids = [blocker.partition(":")[2] for blocker in _blockers(job)]
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
