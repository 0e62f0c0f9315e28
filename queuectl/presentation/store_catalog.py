"""What there is in a store, as completion wants to know it: a little of each kind, and quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from queuectl import stores
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.query import Counts, Filter, Page
from queuectl.domain.queue_limits import OPEN, QueueLimits
from queuectl.domain.settings import Value, as_dict
from queuectl.domain.text import printable
from queuectl.presentation.catalog import Known
from queuectl.queue import Queue
from queuectl.system.home import Location

_T = TypeVar("_T")

MOST_JOBS = 200
"""No more jobs are offered at once."""

_WIDEST_COMMAND = 60


def open_existing(place: Location) -> Queue | None:
    """Open the store of a place if there is one; make nothing. Raises as `Queue.open` does."""
    store = stores.open_existing(place.store_url)
    return None if store is None else Queue(store, place.home)


def job_help(job: Job) -> str:
    """Return what stands beside a job's id: its state and its command."""
    command = printable(command_text(job.spec.command))
    if len(command) > _WIDEST_COMMAND:
        command = command[: _WIDEST_COMMAND - 1] + "…"
    return f"{job.state.value:<10}  {command}"


def live_workers(queue: Queue) -> list[Known]:
    """Return the workers that are alive, by pid, with what each is doing."""
    return [
        (
            str(worker.record.process.pid),
            f"{worker.state} {worker.job_id or ''} on {worker.record.host}".replace("  ", " "),
        )
        for worker in queue.workers()
    ]


def named_queues(counts: Counts, queue_limits: QueueLimits) -> list[Known]:
    """Return the queues there are: how many jobs each has and how many wait, whether it is shut."""
    found = []
    for name in dict.fromkeys((*counts.by_queue, *queue_limits)):
        states, lane = counts.by_queue.get(name, {}), queue_limits.get(name, OPEN)
        number, waiting = sum(states.values()), states.get(State.PENDING, 0)
        told = f"{number:,} job{'s' * (number != 1)}, {waiting:,} pending"
        told += f", {lane.used} of {lane.limit} slots" if lane.limit else ""
        found.append((name, told + (", paused" if lane.paused else "")))
    return found


def named_schedules(queue: Queue) -> list[Known]:
    """Return the schedules, each with its cron expression."""
    return [(each.name, f"{each.cron} {each.tz}") for each in queue.schedules.all()]


def named_hooks(queue: Queue) -> list[Known]:
    """Return the hooks, each with what it tells."""
    return [(each.name, each.when or ", ".join(each.events)) for each in queue.hooks.all()]


class StoreCatalog:
    """Asks the store of a place anew each time; knows nothing when that does not work."""

    def __init__(self, find_location: Callable[[], Location]) -> None:
        self._find_place = find_location

    def _ask(self, question: Callable[[Queue], _T], otherwise: _T) -> _T:
        try:
            queue = open_existing(self._find_place())
            if queue is None:
                return otherwise
            with queue:
                return question(queue)
        except QueuectlError:
            return otherwise

    def jobs(self, word: str, states: frozenset[State]) -> Iterable[Known]:
        """Return the newest jobs whose id begins with `word`; see `Catalog.jobs`."""
        chosen = Filter(states=states, id_prefix=word)
        page = Page(limit=MOST_JOBS, newest_first=True)
        return self._ask(lambda queue: [(j.id, job_help(j)) for j in queue.find(chosen, page)], [])

    def queues(self) -> Iterable[Known]:
        """Return the queues there are."""
        return self._ask(lambda queue: named_queues(queue.counts(), queue.queue_limits()), [])

    def schedules(self) -> Iterable[Known]:
        """Return the schedules."""
        return self._ask(named_schedules, [])

    def hooks(self) -> Iterable[Known]:
        """Return the hooks."""
        return self._ask(named_hooks, [])

    def workers(self) -> Iterable[Known]:
        """Return the workers that are alive."""
        return self._ask(live_workers, [])

    def settings(self) -> Mapping[str, Value]:
        """Return the settings in force."""
        return self._ask(lambda queue: as_dict(queue.settings()), {})
