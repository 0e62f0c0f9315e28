"""The thread that talks to the store, so that no screen or page waits for it."""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from queuectl.domain.dependencies import Obstacles, parent_of
from queuectl.domain.errors import NotFound, QueuectlError, StoreError, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import QueueLimits
from queuectl.domain.times import EPOCH
from queuectl.domain.views import WaitContext, unserved_by
from queuectl.presentation.run_log import LogText, LogWanted, read_log
from queuectl.presentation.snapshot import Meter, Snapshot, Wanted
from queuectl.presentation.store_catalog import open_existing
from queuectl.queue import Queue
from queuectl.system.home import Location

INTERVAL_SECONDS = 0.5
RETRY_SECONDS = 1.0
_BUSY_SHARE = 4
"""Looking takes at most about one part in so many of the time, however slow the store is."""
_MOST_RUNNING = 1000
_MOST_PARENTS = 100

_SOMEBODY = Job(Spec("?", ""), State.PROCESSING, EPOCH, EPOCH, EPOCH)
"""Stands for a job of which nothing is known: it may be doing what it is waited for."""

Action = Callable[[Queue], str]
"""Something to do with the queue; returns the line that tells what became of it."""


@frozen
class Seen:
    """What the thread has found. `trouble` says why the store is not to be had now.

    `message` tells what became of the latest of the `told` actions.
    """

    snapshot: Snapshot | None = None
    trouble: str = ""
    message: str = ""
    told: int = 0
    log: LogText | None = None


class Feed(threading.Thread):
    """Looks at the store again and again, does what is asked, and calls `changed` after each.

    It looks every `interval` seconds, and when it is woken. `seen`, `wanted` and `log_wanted`
    hold values that are replaced whole, never changed.
    """

    def __init__(
        self,
        place: Location,
        wanted: Wanted,
        changed: Callable[[], None],
        *,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        super().__init__(name="feed", daemon=True)
        self.seen = Seen()
        self.wanted = wanted
        self.log_wanted: LogWanted | None = None
        self._location = place
        self._changed = changed
        self._interval = interval
        self._asked: queues.SimpleQueue[Action] = queues.SimpleQueue()
        self._woken = threading.Event()
        self._ended = False
        self._asking_since: float | None = None
        self._meter = Meter()

    def ask(self, action: Action) -> None:
        """Have something done as soon as the store answers."""
        self._asked.put(action)
        self.wake()

    def wake(self) -> None:
        """Look again now."""
        self._woken.set()

    def silence(self) -> float:
        """Return for how many seconds the store has been asked something and not answered."""
        since = self._asking_since
        return 0.0 if since is None else time.monotonic() - since

    def end(self) -> None:
        """Stop, after the look that is being taken."""
        self._ended = True
        self.wake()

    def run(self) -> None:
        """Serve until the end; a store that is away is opened again."""
        while not self._ended:
            self._asking_since = time.monotonic()
            try:
                with Queue.look(self._location) as queue:
                    self._serve(queue)
                if queue.missing:
                    self._await_store()
            except QueuectlError as fault:
                self._publish(replace(self.seen, trouble=str(fault)))
                self._asking_since = None
                self._sleep(RETRY_SECONDS)

    def _await_store(self) -> None:
        """Sleep until there is a store."""
        while not self._ended:
            self._sleep(self._interval)
            if found := open_existing(self._location):
                found.close()
                return

    def _serve(self, queue: Queue) -> None:
        while not self._ended:
            self._asking_since = started = time.monotonic()
            self._act(queue)
            log = self._look_at_log(queue)
            self._publish(replace(self.seen, snapshot=self._look(queue), log=log, trouble=""))
            self._asking_since = None
            if queue.missing:
                return
            self._sleep(max(self._interval, _BUSY_SHARE * (time.monotonic() - started)))

    def _sleep(self, seconds: float) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def _publish(self, seen: Seen) -> None:
        self.seen = seen
        self._changed()

    def _act(self, queue: Queue) -> None:
        while not self._asked.empty():
            action = self._asked.get()
            try:
                message = action(queue)
            except StoreError:
                raise
            except QueuectlError as refusal:
                message = str(refusal)
            self._publish(replace(self.seen, message=message, told=self.seen.told + 1))

    def _look(self, queue: Queue) -> Snapshot:
        wanted, counts, moment = self.wanted, queue.counts(), time.monotonic()
        self._meter.see(moment, counts.of(State.COMPLETED))
        running = _newest(queue, Filter(frozenset({State.PROCESSING})), _MOST_RUNNING)
        dead = _newest(queue, Filter(frozenset({State.DEAD})), wanted.depth)
        jobs, workers = tuple(latest(queue, wanted)), tuple(queue.workers())
        queue_limits, (states, roots) = queue.queue_limits(), fates(queue, (*jobs, *dead))
        return Snapshot(
            address=queue.address,
            now=queue.now(),
            counts=counts,
            workers=workers,
            running={job.id: job for job in running},
            jobs=jobs,
            dead=tuple(sorted(dead, key=_buried_at, reverse=True)),
            rates=self._meter.rates(moment),
            per_minute=self._meter.per_minute(moment),
            wait_context=WaitContext(
                queue_limits,
                states.get,
                unserved_by(worker.record.queues for worker in workers),
                _firsts(queue, jobs, queue_limits).get,
                roots.get,
            ),
            standing=_standing(queue) if wanted.with_standing else (),
        )

    def _look_at_log(self, queue: Queue) -> LogText | None:
        if self.log_wanted is None:
            return None
        try:
            return read_log(queue, self.log_wanted)
        except NotFound as fault:
            return LogText(self.log_wanted, None, notice=str(fault))


def _standing(queue: Queue) -> tuple[tuple[str, int], ...]:
    schedules = ((each.name, each.rev) for each in queue.schedules.all())
    deliveries = (
        (f"{name} {state.value}", number)
        for name, states in sorted(queue.counts(deliveries=True).by_queue.items())
        for state, number in sorted(states.items())
    )
    return (*schedules, *((each.name, each.rev) for each in queue.hooks.all()), *deliveries)


def fates(
    queue: Queue, jobs: Iterable[Job]
) -> tuple[dict[str, State | None], dict[str, str | None]]:
    """Return how the parents of waiting jobs stand, and why they cannot start, by their id.

    So the store is not asked while the screen is drawn, and each time for a few of them alone.
    """
    known: dict[str, Job | None] = {job.id: job for job in jobs}
    left = _MOST_PARENTS

    def find(job_id: str) -> Job | None:
        nonlocal left
        if job_id not in known:
            if not left:
                return _SOMEBODY
            left -= 1
            try:
                known[job_id] = queue.store.get(job_id)
            except StoreRefused:
                known[job_id] = _SOMEBODY  # whose record is damaged
        return known[job_id]

    obstacles = Obstacles(find)
    states: dict[str, State | None] = {}
    roots: dict[str, str | None] = {}
    waiting = [job for job in known.values() if job is not None and job.state in WAITING]
    for parent in {parent_of(blocker) for job in waiting for blocker in job.blocked_by}:
        found = find(parent)
        root = obstacles.before(found) if found is not None else None
        states[parent] = found.state if found is not None else None
        roots[parent] = root.reason if root is not None else None
    return states, roots


def _firsts(queue: Queue, jobs: Iterable[Job], queue_limits: QueueLimits) -> dict[str, Job | None]:
    """Return which job goes first in each limited queue of those that the waiting ones are in."""
    waiting = {job.spec.queue for job in jobs if job.state in WAITING}
    limited = (name for name in waiting if name in queue_limits and queue_limits[name].limit)
    return {name: queue.store.first_ready(name) for name in limited}


def _newest(queue: Queue, chosen: Filter, limit: int) -> list[Job]:
    return list(queue.find(chosen, Page(limit=limit, newest_first=True)))


def latest(queue: Queue, wanted: Wanted) -> Iterable[Job]:
    """Return the jobs that changed last, the running ones first.

    Jobs of one state change about in the order of their arrival, so the newest of each state
    hold the latest changes, and reading them costs the same however many there are. A job that
    changes between two readings is in both; the later one is right.
    """
    found: list[Job] = []
    for state in wanted.chosen.states or State:
        chosen = replace(wanted.chosen, states=frozenset({state}))
        found += _newest(queue, chosen, wanted.depth)
    once = {job.id: job for job in found}.values()
    return sorted(once, key=_changed_at, reverse=True)[: wanted.depth]


def _changed_at(job: Job) -> tuple[bool, datetime, int]:
    return job.state is State.PROCESSING, job.updated_at, job.seq


def _buried_at(job: Job) -> datetime:
    return job.failed_at or job.updated_at
