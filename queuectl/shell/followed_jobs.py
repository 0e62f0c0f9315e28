"""The jobs of this shell: who enqueued or retried them here is told when they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.query import Filter
from queuectl.domain.request import Request
from queuectl.presentation.tables import duration
from queuectl.queue import EnqueueResult, Queue
from queuectl.queue.bulk import ChangeResult
from queuectl.stores.base import Store
from queuectl.system.home import Home, Location

Notice = tuple[State, str]
"""How a job ended, and the line that says so."""

MOST = 1000
"""No more jobs are followed; of larger batches the first are."""

_AT_ONCE = 50
_TOLD_SINGLY = 5


class Followed:
    """The ids of jobs that have not been seen to end, and those that ended and are to be told of.

    While a command runs nothing is told, and what it shows by itself needs no telling.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, None] = {}
        self._ended: dict[str, Job] = {}
        self.on_notice: Callable[[], None] = lambda: None

    def add(self, ids: Iterable[str]) -> None:
        """Follow some more jobs."""
        with self._lock:
            self._ids.update(dict.fromkeys(islice(ids, MOST - len(self._ids))))

    def forget(self, job_id: str) -> bool:
        """Follow a job no longer, and tell nothing of it; return whether it was followed."""
        with self._lock:
            self._ended.pop(job_id, None)
            return self._ids.pop(job_id, self) is None

    def some(self) -> list[str]:
        """Return some of the ids, others the next time."""
        with self._lock:
            chosen = list(islice(self._ids, _AT_ONCE))
            for job_id in chosen:
                self._ids[job_id] = self._ids.pop(job_id)
            return chosen

    def tell(self, ended: Sequence[Job]) -> None:
        """Note that jobs have ended, to be shown when there is a prompt to show it above."""
        with self._lock:
            self._ended.update((job.id, job) for job in ended)
        self.on_notice()

    def take_notices(self) -> list[Notice]:
        """Return the notices that have not been shown."""
        with self._lock:
            taken, self._ended = self._ended, {}
        return notices(list(taken.values()))


def notices(ended: Sequence[Job]) -> list[Notice]:
    """Return a line for each job that has ended, or for each state when they are many."""
    if len(ended) <= _TOLD_SINGLY:
        return [(job.state, notice(job)) for job in ended]
    lines = []
    for state in State:
        ids = [job.id for job in ended if job.state is state]
        if ids:
            more = " …" if len(ids) > _TOLD_SINGLY else ""
            lines.append((state, f"{len(ids)} jobs {state}: {' '.join(ids[:_TOLD_SINGLY])}{more}"))
    return lines


def notice(job: Job) -> str:
    """Return how a job ended: `job3 completed in 5.0 s`; of a dead one also what may be next."""
    if job.state is State.COMPLETED and job.outcome:
        return f"{job.id} completed in {duration(job.outcome.duration)}"
    told = f"{job.id} {job.state}" + (f": {job.last_error}" if job.last_error else "")
    return f"{told}; next: logs {job.id}, retry {job.id}" if job.state is State.DEAD else told


class FollowedQueue(Queue):
    """A queue whose new jobs are followed, until somebody here has seen how they ended."""

    def __init__(self, store: Store, home: Home) -> None:
        super().__init__(store, home)
        self._followed = Followed()

    def follow_in(self, followed: Followed) -> None:
        """Say where the jobs are followed from now on."""
        self._followed = followed

    def enqueue_requests(
        self, requests: Sequence[Request], *, atomic: bool = False
    ) -> list[EnqueueResult]:
        """Store new jobs, and follow them."""
        results = super().enqueue_requests(requests, atomic=atomic)
        self._followed.add(result.job_id for result in results if not result.error)
        return results

    def retry(self, job_id: str, *, only: Filter | None = None) -> Job:
        """Start a job afresh, and follow it."""
        job = super().retry(job_id, only=only)
        self._followed.add([job.id])
        return job

    def retry_dead(self, job_id: str) -> Job:
        """Start a dead job afresh, and follow it."""
        job = super().retry_dead(job_id)
        self._followed.add([job.id])
        return job

    def retry_all(self, chosen: Filter) -> Iterator[ChangeResult]:
        """Start many jobs afresh, and follow them."""
        for told in super().retry_all(chosen):
            if told.error is None:
                self._followed.add([told.job.id])
            yield told

    def get(self, word: str) -> Job:
        """Return one job; one that has ended needs no notice any more."""
        job = super().get(word)
        if job.state in SETTLED:
            self._followed.forget(job.id)
        return job


def open_followed(place: Location, followed: Followed, *, make: bool = True) -> Queue:
    """Open the queue of a place as `Queue.open` does, with its new jobs followed.

    Without `make`, as `Queue.look` does.
    """
    queue = FollowedQueue.open(place) if make else FollowedQueue.look(place)
    queue.follow_in(followed)
    return queue
