"""Whom a job waits for and who waits for it, with how each stands, as trees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from queuectl.domain.dependencies import batch_of_parent, parents
from queuectl.domain.errors import NotFound
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.queue import Queue

DEEPEST = 4
"""How many steps from a job its relatives are shown."""

MOST_SHOWN = 60
"""How many relatives of each kind."""

_MOST_OF_ONE = 20
SECONDS = 0.25
"""Once it has taken so long no further steps are made: to find who follows, jobs are searched."""

Values = dict[str, Any]
Relatives = Iterator[tuple[str, str, Job | None]]
"""How one is related to a job, its id, and the job itself where it is there."""


def family(queue: Queue, job: Job) -> Values:
    """Return the trees of a job's `parents` and of its `children`.

    Of each: how it is related, its `id`, how it stands (`state`, and `why` it cannot start), and
    its own `relatives`; of one that is in the tree already `is_again`, and none of these.
    """
    up, down = _Tree(queue, _parents), _Tree(queue, _children)
    return {
        "parents": up.of(job),
        "children": down.of(job) if job.has_dependents else [],
        "is_cut": up.is_cut or down.is_cut,
    }


class _Tree:
    """The relatives of one kind, as many as are shown."""

    def __init__(self, queue: Queue, next_of: Callable[[Queue, Job], Relatives]) -> None:
        self._queue, self._next_of = queue, next_of
        self._context = queue.wait_context()
        self._seen: set[str] = set()
        self._ends_at = time.monotonic() + SECONDS
        self.is_cut = False

    def of(self, job: Job, depth: int = 1) -> list[Values]:
        """Return the relatives of a job, with theirs."""
        rows: list[Values] = []
        for how, job_id, relative in self._next_of(self._queue, job):
            if len(self._seen) >= MOST_SHOWN or len(rows) >= _MOST_OF_ONE:
                self.is_cut = True
                break
            is_again = job_id in self._seen
            self._seen.add(job_id)
            rows.append({
                **self._standing(job_id, relative), "how": how, "id": job_id,
                "is_again": is_again,
                "relatives": self._next(relative, depth) if relative and not is_again else [],
            })  # fmt: skip
        return rows

    def _next(self, job: Job, depth: int) -> list[Values]:
        """Return the relatives of a relative, unless it is too far away."""
        if depth < DEEPEST and time.monotonic() < self._ends_at:
            return self.of(job, depth + 1)
        self.is_cut = self.is_cut or job.has_dependents or bool(parents(job.spec))
        return []

    def _standing(self, job_id: str, job: Job | None) -> Values:
        if job is None:
            state = self._context.state_of(job_id) if batch_of_parent(job_id) else None
            return {
                "state": state or "deleted",
                "job": None,
                "why": "",
                "batch": batch_of_parent(job_id),
            }
        return {
            "state": job.state, "job": job, "batch": None,
            "why": self._context.root_of(job_id) if job.blocked_by else None,
        }  # fmt: skip


def _parents(queue: Queue, job: Job) -> Relatives:
    spec = job.spec
    ways = (("after", spec.after), ("after any", spec.after_any), ("after fail", spec.after_fail))
    for how, job_id in ((how, job_id) for how, ids in ways for job_id in ids):
        yield how, job_id, found(queue, job_id)


def _children(queue: Queue, job: Job) -> Relatives:
    """Yield those who were to follow a job."""
    if not job.has_dependents:
        return
    for child in queue.find(Filter(parent=job.id), Page(limit=_MOST_OF_ONE + 1)):
        spec = child.spec
        how = "after" if job.id in spec.after else "after any"
        yield "after fail" if job.id in spec.after_fail else how, child.id, child


def found(queue: Queue, job_id: str) -> Job | None:
    """Return a job, or None where it is not there."""
    try:
        return queue.get(job_id)
    except NotFound:
        return None
