"""What is made of a copy before it becomes the store, so that the past does not come twice."""

from __future__ import annotations

from datetime import datetime

from queuectl.domain import state_machine
from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen
from queuectl.domain.hooks import hook_of, is_owed, told
from queuectl.domain.job import WAITING, Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import DELIVERY_QUEUE, delivery_queue, is_of_deliveries
from queuectl.domain.schedule import Schedule, skip_missed
from queuectl.domain.stats import counted
from queuectl.stores.base import Store
from queuectl.system.cron import Cron
from queuectl.transfer.backup import MADE_AT

_INTERRUPTED = "interrupted: the store was restored from a backup"
_DEFAULT = "default"


@frozen
class Wishes:
    """How a restored store shall be: all `paused`, with missed runs, with old deliveries."""

    paused: bool = False
    catch_up: bool = False
    deliver: bool = False


@frozen
class Settled:
    """What was done to a copy: how many jobs that ran were given back, and so on."""

    given_back: int
    skipped: tuple[str, ...]
    undelivered: int
    paused: tuple[str, ...]


def settle(store: Store, wishes: Wishes) -> Settled:
    """Make of a copy what can go on now."""
    store.set_meta(MADE_AT, None)
    for worker in store.workers():
        store.unregister(worker.id)
    given_back = _give_back(store)
    skipped = () if wishes.catch_up else _skip_missed(store)
    undelivered = 0 if wishes.deliver else _forget_deliveries(store)
    paused = _pause_all(store) if wishes.paused else ()
    return Settled(given_back, skipped, undelivered, paused)


def _give_back(store: Store) -> int:
    """Give the runs back that went on when the copy was made; they count as no attempt."""
    now, number = store.now(), 0
    running = Filter(frozenset({State.PROCESSING}))
    for job in list(store.find(running, Page(with_history=True))):
        end = state_machine.release(job, now, Outcome(error=_INTERRUPTED))
        number += store.commit(end)
    return number


def _skip_missed(store: Store) -> tuple[str, ...]:
    """Let schedules go on from now; return those of which a run was due since."""
    now = store.now()
    return tuple(each.name for each in store.schedules(due_by=now) if _skip(store, each, now))


def _skip(store: Store, schedule: Schedule, now: datetime) -> bool:
    try:
        cron = Cron(schedule.cron, schedule.tz)
    except InvalidInput:
        return False  # no worker here can serve it, and doctor says so
    after = skip_missed(schedule, now, cron.following, cron.latest)
    return store.save_schedule(after, schedule)


def _forget_deliveries(store: Store) -> int:
    """Cancel what hooks were still to be told, and note as told what they would be told of."""
    now, number = store.now(), 0
    for job in _deliveries(store):
        number += store.commit(state_machine.cancel(job, now))
    while not (pending_events := store.pending_events()).is_empty:
        store.record_events(
            pending_events, counted(pending_events.finished, pending_events.enqueued)
        )
    for hook in store.hooks():
        if is_owed(hook):
            store.save_hook(told(hook), hook)
    return number


def _deliveries(store: Store) -> list[Job]:
    chosen = Filter(WAITING, deliveries=True)
    return [job for job in store.find(chosen, Page()) if hook_of(job.id) is not None]


def _pause_all(store: Store) -> tuple[str, ...]:
    """Pause every queue there is, and those that schedules and hooks put jobs into.

    Returns their names as people type them: `hooks` stands for the queues of all deliveries.
    """
    named = (str(each.fields.get("queue") or _DEFAULT) for each in store.schedules())
    hooks = (delivery_queue(hook.name) for hook in store.hooks())
    queues = {_DEFAULT, *store.counts().by_queue, *store.queue_limits(), *named, *hooks}
    if any(map(is_of_deliveries, queues)):
        queues.add(DELIVERY_QUEUE)
    for queue in sorted(queues):
        store.set_queue_limit(queue, paused=True)
    return tuple(sorted(queue for queue in queues if not is_of_deliveries(queue)))
