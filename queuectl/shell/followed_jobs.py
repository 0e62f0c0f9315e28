"""The jobs of this shell: who enqueued or retried them here gets a notice when they end."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.query import Filter
from queuectl.domain.request import Request
from queuectl.presentation.tables import duration
from queuectl.queue import Queue
from queuectl.queue.bulk import ChangeResult
from queuectl.queue.enqueue import EnqueueResult
from queuectl.system.home import Location

Notice = tuple[State, str]
"""How a job ended, and the line that says so."""

MOST = 1000
"""No more jobs are followed; of larger batches the first are."""

_AT_ONCE = 50
_NAMED_SINGLY = 5


class FollowedJobs:
    """The ids of jobs that have not been seen to end, and those that ended without a notice yet.

    They are jobs of the store at `location`. While a command runs there are no notices, and what
    it shows by itself needs none.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._ids: dict[str, None] = {}
        self._ended: dict[str, Job] = {}

    def open(self, location: Location, make: bool) -> Queue:
        """Open the queue of a place as `Queue.open` does, or `Queue.look` without `make`.

        In the store that is followed, new jobs are followed.
        """
        if location != self._location:
            return Queue.open(location) if make else Queue.look(location)
        queue = FollowedQueue.open(location) if make else FollowedQueue.look(location)
        queue.followed = self
        return queue

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Iterable[str]) -> None:
        """Follow some more jobs."""
        with self._lock:
            self._ids.update(dict.fromkeys(islice(ids, MOST - len(self._ids))))

    def forget(self, job_id: str) -> bool:
        """Follow a job no longer, without a notice; return whether it was followed."""
        with self._lock:
            self._ended.pop(job_id, None)
            return self._ids.pop(job_id, self) is None

    def look(self, queue: Queue) -> bool:
        """Find out which of some of the jobs, others the next time, have ended; return if any."""
        with self._lock:
            some = list(islice(self._ids, _AT_ONCE))
            for job_id in some:
                self._ids[job_id] = self._ids.pop(job_id)
        ended = {}
        for job_id in some:
            job = queue.store.get(job_id)
            if job is None:
                self.forget(job_id)
            elif job.state in SETTLED and self.forget(job_id):
                ended[job_id] = job
        with self._lock:
            self._ended.update(ended)
        return bool(ended)

    def take_notices(self) -> list[Notice]:
        """Return the notices that have not been shown."""
        with self._lock:
            taken, self._ended = self._ended, {}
        return notices(list(taken.values()))


def notices(ended: Sequence[Job]) -> list[Notice]:
    """Return a line for each job that has ended, or for each state when they are many."""
    if len(ended) <= _NAMED_SINGLY:
        return [(job.state, notice(job)) for job in ended]
    lines = []
    for state in State:
        ids = [job.id for job in ended if job.state is state]
        if ids:
            more = " …" if len(ids) > _NAMED_SINGLY else ""
            lines.append((state, f"{len(ids)} jobs {state}: {' '.join(ids[:_NAMED_SINGLY])}{more}"))
    return lines


def notice(job: Job) -> str:
    """Return how a job ended: `job3 completed in 5.0 s`; of a dead one also what may be next."""
    if job.state is State.COMPLETED and job.outcome:
        return f"{job.id} completed in {duration(job.outcome.duration)}"
    text = f"{job.id} {job.state}" + (f": {job.last_error}" if job.last_error else "")
    return f"{text}; next: logs {job.id}, retry {job.id}" if job.state is State.DEAD else text


class FollowedQueue(Queue):
    """A queue whose new jobs are followed, until somebody here has seen how they ended."""

    followed: FollowedJobs

    def enqueue_requests(
        self, requests: Sequence[Request], *, atomic: bool = False
    ) -> Sequence[EnqueueResult]:
        """Store new jobs, and follow them."""
        results = super().enqueue_requests(requests, atomic=atomic)
        self.followed.add(result.job_id for result in results if not result.error)
        return results

    def retry(self, job_id: str, *, only: Filter | None = None) -> Job:
        """Start a job afresh, and follow it."""
        job = super().retry(job_id, only=only)
        self.followed.add([job.id])
        return job

    def retry_dead(self, job_id: str) -> Job:
        """Start a dead job afresh, and follow it."""
        job = super().retry_dead(job_id)
        self.followed.add([job.id])
        return job

    def retry_all(self, chosen: Filter) -> Iterator[ChangeResult]:
        """Start many jobs afresh, and follow them."""
        for result in super().retry_all(chosen):
            if result.error is None:
                self.followed.add([result.job.id])
            yield result

    def get(self, word: str) -> Job:
        """Return one job; one that has ended needs no notice any more."""
        job = super().get(word)
        if job.state in SETTLED:
            self.followed.forget(job.id)
        return job
