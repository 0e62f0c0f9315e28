"""One look at a store: what a prompt, a screen or a page shows of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime

from queuectl.domain.dependencies import Obstacles, parents_in
from queuectl.domain.errors import NotFound, StoreRefused
from queuectl.domain.frozen import fresh, frozen, replace
from queuectl.domain.hooks import Hook
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Counts, Filter, Page
from queuectl.domain.queue_limits import QueueLimits
from queuectl.domain.schedule import Schedule
from queuectl.domain.settings import Value, as_dict
from queuectl.domain.times import EPOCH
from queuectl.domain.views import NO_CONTEXT, WaitContext, unserved_by
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation.run_log import LogText, LogWanted, read_log
from queuectl.queue import Queue
from queuectl.queue.read import find_parent

BUCKET_SECONDS = 2.0
BUCKETS = 90
_MOST_RUNNING = 1000
_MOST_PARENTS = 100

_SOMEBODY = Job(Spec("?", ""), State.PROCESSING, EPOCH, EPOCH, EPOCH)
"""Stands for a job of which nothing is known: it may be doing what it is waited for."""


@frozen
class Wanted:
    """What to look at, beside counts, queues and workers.

    Of the jobs that match `chosen` the `depth` that changed last, none with 0; or, where there
    are `groups`, the newest of each: so many of some states, any where none are named. Groups
    are read again only when the counts have changed. `with_reasons` adds what runs, what is dead
    and why jobs wait; `with_names` schedules, hooks and settings; `log` the output of one run.
    """

    chosen: Filter = fresh(Filter)
    depth: int = 100
    groups: tuple[tuple[frozenset[State], int], ...] = ()
    with_reasons: bool = False
    with_names: bool = False
    log: LogWanted | None = None


@frozen
class Snapshot:
    """One look at a store.

    `is_known` says that there has been one; `trouble` why there cannot be one now. `rates` are
    the jobs completed in each bucket of `BUCKET_SECONDS`.
    """

    address: str = ""
    is_known: bool = False
    trouble: str = ""
    now: datetime = EPOCH
    counts: Counts = fresh(Counts)
    queue_limits: QueueLimits = fresh(dict)
    workers: tuple[LiveWorker, ...] = ()
    jobs: tuple[Job, ...] = ()
    rates: tuple[int, ...] = ()
    per_minute: float = 0.0
    running: Mapping[str, Job] = fresh(dict)
    dead: tuple[Job, ...] = ()
    wait_context: WaitContext = NO_CONTEXT
    schedules: tuple[Schedule, ...] = ()
    hooks: tuple[Hook, ...] = ()
    deliveries: Counts = fresh(Counts)
    settings: Mapping[str, Value] = fresh(dict)
    log: LogText | None = None

    @property
    def paused(self) -> list[str]:
        """The names of the queues that are paused."""
        return [name for name, limit in self.queue_limits.items() if limit.paused]


class Meter:
    """Counts what is completed between looks, in buckets of a few seconds of a steady clock."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._first_at = 0.0
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS)

    def see(self, at: float, completed: int) -> None:
        """Note how many completed jobs there are at a moment, in seconds."""
        if self._last is None:
            self._first_at, self._last = at, completed
        done = max(0, completed - self._last)
        self._last = completed
        number = int(at // BUCKET_SECONDS)
        if self._buckets and self._buckets[-1][0] == number:
            done += self._buckets.pop()[1]
        self._buckets.append((number, done))

    def per_minute(self, at: float) -> float:
        """Return how many jobs are completed a minute, by the last minute that was seen."""
        since = int((at - 60) // BUCKET_SECONDS)
        done = sum(count for number, count in self._buckets if number > since)
        seen = min(60.0, max(at - self._first_at, BUCKET_SECONDS))
        return done * 60 / seen

    def rates(self, at: float) -> tuple[int, ...]:
        """Return how many jobs were completed in each bucket since the first look."""
        now = int(at // BUCKET_SECONDS)
        counted = dict(self._buckets)
        start = max(int(self._first_at // BUCKET_SECONDS), now - BUCKETS + 1)
        return tuple(counted.get(number, 0) for number in range(start, now + 1))


def look(queue: Queue, wanted: Wanted, meter: Meter, last: Snapshot | None = None) -> Snapshot:
    """Return what is in the store now; with `last` its groups of jobs where no count differs."""
    counts, moment = queue.counts(), time.monotonic()
    meter.see(moment, counts.of(State.COMPLETED))
    is_unchanged = wanted.groups and last is not None and counts == last.counts
    snapshot = Snapshot(
        address=queue.address,
        is_known=True,
        now=queue.now(),
        counts=counts,
        queue_limits=queue.queue_limits(),
        workers=tuple(queue.workers()),
        jobs=last.jobs if last and is_unchanged else tuple(read_jobs(queue, wanted)),
        rates=meter.rates(moment),
        per_minute=meter.per_minute(moment),
        log=_look_at_log(queue, wanted.log) if wanted.log else None,
    )
    if wanted.with_names:
        snapshot = _with_names(queue, snapshot)
    return _with_reasons(queue, snapshot, wanted) if wanted.with_reasons else snapshot


def _look_at_log(queue: Queue, wanted: LogWanted) -> LogText:
    try:
        return read_log(queue, wanted)
    except NotFound as fault:
        return LogText(wanted, None, notice=str(fault))


def _with_names(queue: Queue, snapshot: Snapshot) -> Snapshot:
    return replace(
        snapshot,
        schedules=tuple(queue.schedules.all()),
        hooks=tuple(queue.hooks.all()),
        deliveries=queue.counts(deliveries=True),
        settings=as_dict(queue.settings()),
    )


def _with_reasons(queue: Queue, snapshot: Snapshot, wanted: Wanted) -> Snapshot:
    running = _newest(queue, Filter(frozenset({State.PROCESSING})), _MOST_RUNNING)
    dead = _newest(queue, Filter(frozenset({State.DEAD})), wanted.depth)
    states, roots = fates(queue, (*snapshot.jobs, *dead))
    waiting = {job.spec.queue for job in snapshot.jobs if job.state in WAITING}
    limits = snapshot.queue_limits
    firsts = {
        name: queue.store.first_ready(name)
        for name in waiting
        if name in limits and limits[name].limit
    }
    return replace(
        snapshot,
        running={job.id: job for job in running},
        dead=tuple(sorted(dead, key=lambda job: job.failed_at or job.updated_at, reverse=True)),
        wait_context=WaitContext(
            limits,
            states.get,
            unserved_by(worker.record for worker in snapshot.workers),
            firsts.get,
            roots.get,
        ),
    )


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
                known[job_id] = find_parent(queue.store, job_id)
            except StoreRefused:
                known[job_id] = _SOMEBODY  # whose record is damaged
        return known[job_id]

    obstacles = Obstacles(find)
    states: dict[str, State | None] = {}
    roots: dict[str, str | None] = {}
    waiting = [job for job in known.values() if job is not None and job.state in WAITING]
    for parent in {parent for job in waiting for parent in parents_in(job.blocked_by)}:
        found = find(parent)
        root = obstacles.before(found) if found is not None else None
        states[parent] = found.state if found is not None else None
        roots[parent] = root.reason if root is not None else None
    return states, roots


def _newest(queue: Queue, chosen: Filter, limit: int) -> list[Job]:
    return list(queue.find(chosen, Page(limit=limit, newest_first=True)))


def read_jobs(queue: Queue, wanted: Wanted) -> Iterable[Job]:
    """Return the jobs that are wanted; the running ones first where the latest changes are.

    Jobs of one state change about in the order of their arrival, so the newest of each state
    hold the latest changes, and reading them costs the same however many there are. A job that
    changes between two readings is in both; the later one is right.
    """
    states = (wanted.chosen.states or State) if wanted.depth else ()
    once: dict[str, Job] = {}
    for group, limit in wanted.groups or [(frozenset({each}), wanted.depth) for each in states]:
        found = _newest(queue, replace(wanted.chosen, states=group), limit)
        once.update((job.id, job) for job in found)
    if wanted.groups:
        return once.values()
    return sorted(once.values(), key=_changed_at, reverse=True)[: wanted.depth]


def _changed_at(job: Job) -> tuple[bool, datetime, int]:
    return job.state is State.PROCESSING, job.updated_at, job.seq
