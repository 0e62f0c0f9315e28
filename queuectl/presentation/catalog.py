"""What there is in a store, as completion wants to know it: a little of each kind, and quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TypeVar

from queuectl import stores
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.query import Counts, Filter, Page
from queuectl.domain.queue_limits import OPEN, QueueLimits
from queuectl.domain.settings import Value
from queuectl.domain.text import counted, printable
from queuectl.presentation.snapshot import Meter, Snapshot, Wanted, look
from queuectl.queue import Queue
from queuectl.system.home import Location

Known = tuple[str, str]
"""A word that may be typed, and one line on what it means."""

_T = TypeVar("_T")

MOST_JOBS = 200
"""No more jobs are offered at once."""

NAMES = Wanted(depth=0, with_names=True)
"""What may be named, but for the jobs."""

_WIDEST_COMMAND = 60


def open_existing(location: Location) -> Queue | None:
    """Open the store of a place if there is one; make nothing. Raises as `Queue.open` does."""
    store = stores.open_existing(location.store_url)
    return None if store is None else Queue(store, location.home)


def jobs_beginning(queue: Queue, word: str, states: frozenset[State]) -> list[Job]:
    """Return the newest jobs in some states, or any, whose id begins with a word."""
    page = Page(limit=MOST_JOBS, newest_first=True)
    return list(queue.find(Filter(states=states, id_prefix=word), page))


def named_jobs(jobs: Iterable[Job]) -> list[Known]:
    """Return the first jobs, each with its state and its command."""
    return [(job.id, job_help(job)) for job in islice(jobs, MOST_JOBS)]


def job_help(job: Job) -> str:
    """Return what stands beside a job's id: its state and its command."""
    command = printable(command_text(job.spec.command))
    if len(command) > _WIDEST_COMMAND:
        command = command[: _WIDEST_COMMAND - 1] + "…"
    return f"{job.state.value:<10}  {command}"


def named_queues(counts: Counts, queue_limits: QueueLimits) -> list[Known]:
    """Return the queues there are: how many jobs each has and how many wait, whether it is shut."""
    rows = []
    for name in dict.fromkeys((*counts.by_queue, *queue_limits)):
        states, limit = counts.by_queue.get(name, {}), queue_limits.get(name, OPEN)
        number, waiting = sum(states.values()), states.get(State.PENDING, 0)
        text = f"{number:,} job{'s' * (number != 1)}, {waiting:,} pending"
        text += f", {limit.used} of {limit.limit} slots" if limit.limit else ""
        rows.append((name, text + (", paused" if limit.paused else "")))
    return rows


class Catalog:
    """What a snapshot of a store holds that a word may name. It never raises."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known of the store now; here nothing."""
        return Snapshot()

    def jobs(self, word: str, states: frozenset[State]) -> Iterable[Known]:
        """Return some jobs for what has been typed of an id; no states means any."""
        jobs = self.snapshot.jobs
        return named_jobs(
            job for job in jobs if job.id.startswith(word) and (not states or job.state in states)
        )

    def queues(self) -> Iterable[Known]:
        """Return the queues that have jobs, or about which something was decided."""
        snapshot = self.snapshot
        return named_queues(snapshot.counts, snapshot.queue_limits)

    def schedules(self) -> Iterable[Known]:
        """Return the schedules, each with its cron expression."""
        return [(each.name, f"{each.cron} {each.tz}") for each in self.snapshot.schedules]

    def batches(self) -> Iterable[Known]:
        """Return the batches; here none."""
        return ()

    def hosts(self) -> Iterable[Known]:
        """Return the hosts that have workers, each with how many."""
        snapshot, number = self.snapshot, dict[str, int]()
        for each in () if snapshot.trouble else snapshot.workers:
            number[each.record.host] = number.get(each.record.host, 0) + 1
        return [(name, counted(count, "worker")) for name, count in sorted(number.items())]

    def hooks(self) -> Iterable[Known]:
        """Return the hooks, each with the events that it is for."""
        return [(each.name, each.when or ", ".join(each.events)) for each in self.snapshot.hooks]

    def workers(self) -> Iterable[Known]:
        """Return the workers that are alive, by their pid, with what each is doing."""
        snapshot = self.snapshot
        return [
            (
                str(each.record.process.pid),
                f"{each.state} {each.job_id or ''} on {each.record.host}".replace("  ", " "),
            )
            for each in (() if snapshot.trouble else snapshot.workers)
        ]

    def settings(self) -> Mapping[str, Value]:
        """Return the settings in force."""
        return self.snapshot.settings


class StoreCatalog(Catalog):
    """Asks the store of a place anew each time; knows nothing when that does not work."""

    def __init__(self, find_location: Callable[[], Location]) -> None:
        self._find_location = find_location

    def _ask(self, question: Callable[[Queue], _T], otherwise: _T) -> _T:
        try:
            queue = open_existing(self._find_location())
            if queue is None:
                return otherwise
            with queue:
                return question(queue)
        except QueuectlError:
            return otherwise

    @property
    def snapshot(self) -> Snapshot:
        """What is in the store, but for its jobs."""
        return self._ask(lambda queue: look(queue, NAMES, Meter()), Snapshot())

    def jobs(self, word: str, states: frozenset[State]) -> Iterable[Known]:
        """Return the newest jobs whose id begins with `word`."""
        return named_jobs(self._ask(lambda queue: jobs_beginning(queue, word, states), []))

    def hosts(self) -> Iterable[Known]:
        """Return the hosts there are, and whether each is drained."""

        def ask(queue: Queue) -> list[Known]:
            views = {view.name: view.state for view in queue.hosts.views(queue.workers())}
            return [(name, views.get(name, "")) for name in queue.hosts.names()]

        return self._ask(ask, [])

    def batches(self) -> Iterable[Known]:
        """Return the batches, each with how many jobs it has, and how many have ended."""
        return self._ask(
            lambda queue: [
                (each.name, f"{each.done:,} of {each.total:,} done") for each in queue.batches()
            ],
            [],
        )
