"""How things stand, as commands and the dashboard tell it: queues, workers, and how many jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job import State
from queuectl.domain.job_fields import DEFAULT_QUEUE
from queuectl.domain.query import Counts
from queuectl.domain.queue_limits import DELIVERY_QUEUE, OPEN, QueueLimit, QueueLimits
from queuectl.domain.times import iso
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation import tables
from queuectl.presentation.columns import STATE_STYLES
from queuectl.queue import Queue


@frozen
class QueueView:
    """One queue as people see it: what was decided about it, and its jobs by state."""

    name: str
    limit: QueueLimit
    states: Mapping[State, int]


def counts_of(queue: Queue, name: str | None) -> Counts:
    """Return how many jobs there are, in all queues or in one."""
    counts = queue.counts()
    return counts if name is None else Counts({name: counts.by_queue.get(name, {})})


def workers_for(queue: Queue, name: str | None) -> list[LiveWorker]:
    """Return the workers that are alive, all or those that take from a queue."""
    workers = queue.workers()
    if name is None:
        return workers
    return [each for each in workers if each.record.takes_from(name)]


def queue_views(
    counts: Counts, queue_limits: QueueLimits, name: str | None = None
) -> list[QueueView]:
    """Return every queue that has jobs or about which something was decided, by name.

    That of deliveries, which has no jobs as a rule, is among them while it is paused. With `name`
    it is that queue alone.
    """
    if name is not None:
        return [QueueView(name, queue_limits.get(name, OPEN), counts.by_queue.get(name, {}))]
    states, decided = counts.by_queue, set(queue_limits)
    if not queue_limits.get(DELIVERY_QUEUE, OPEN).paused:
        decided.discard(DELIVERY_QUEUE)
    names = sorted({*decided, *states}, key=lambda name: (name != DEFAULT_QUEUE, name))
    return [QueueView(name, queue_limits.get(name, OPEN), states.get(name, {})) for name in names]


def totals(counts: Counts) -> dict[str, int]:
    """Return how many jobs there are in each state, and in all."""
    return {**{state.value: counts.of(state) for state in State}, "total": counts.total}


def view_as_dict(view: QueueView) -> dict[str, Any]:
    """Return a queue as `--json` prints it; `limit` is null when there is none."""
    return {
        "name": view.name,
        "paused": view.limit.paused,
        "limit": view.limit.limit or None,
        "used": view.limit.used if view.limit.limit else None,
        "counts": totals(Counts({view.name: view.states})),
    }


def queue_columns() -> list[tables.Column[QueueView]]:
    """Return the columns of a listing of queues."""

    def counted(state: State) -> tables.Column[QueueView]:
        return tables.Column(
            state.value.upper(),
            lambda view: f"{view.states[state]:,}" if view.states.get(state) else "",
            optional=True,
            style=lambda _view: STATE_STYLES[state],
        )

    return [
        tables.Column("QUEUE", lambda view: view.name),
        tables.Column(
            "PAUSED", lambda view: "paused" if view.limit.paused else "", optional=True,
            style=lambda _view: "yellow",
        ),
        tables.Column("SLOTS", _slots, optional=True),
        *map(counted, State),
    ]  # fmt: skip


def _slots(view: QueueView) -> str:
    return f"{view.limit.used} of {view.limit.limit}" if view.limit.limit else ""


def status_as_dict(queue: Queue, name: str | None = None) -> dict[str, Any]:
    """Return how things stand, in all queues or in one, as `--json` prints it."""
    counts, limits = counts_of(queue, name), queue.queue_limits()
    return {
        "store": queue.address,
        "home": str(queue.home.root),
        "counts": totals(counts),
        "workers": [worker_as_dict(worker) for worker in workers_for(queue, name)],
        "queues": [view_as_dict(view) for view in queue_views(counts, limits, name)],
    }


def worker_as_dict(worker: LiveWorker) -> dict[str, Any]:
    """Return a worker as `--json` prints it."""
    record = worker.record
    return {
        "id": record.id,
        "pid": record.process.pid,
        "host": record.host,
        "home": record.home,
        "state": worker.state,
        "job": worker.job_id,
        "jobs": list(worker.job_ids),
        "slots": record.slots,
        "queues": list(record.queues),
        "started_at": iso(record.started_at),
        "heartbeat_at": iso(record.heartbeat_at),
    }
