"""When a worker with limited orders has nothing left to do, and what any does before it leaves."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from queuectl.domain.errors import StoreError
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.query import Filter
from queuectl.domain.worker_record import StopRequest
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Store
from queuectl.stores.exchange import NO_OFFER, Leaving, Offer
from queuectl.system.processes import is_live
from queuectl.worker.options import WorkerOptions
from queuectl.worker.signals import Control

log = logging.getLogger("queuectl.worker")

_EVENTS_SECONDS = 0.5
"""How long a worker that drains processes events until it looks whether it shall stop."""


def is_done(
    store: Store, options: WorkerOptions, control: Control, offer: Offer = NO_OFFER
) -> bool:
    """Whether a worker with limited orders has nothing left to do, but for schedules.

    Raises StoreError.
    """
    if options.only is not None:
        job = store.get(options.only)
        return job is None or job.state in SETTLED or _cannot_start(store, job)
    if options.suspects:
        return not store.ready_suspects(options.queues, 1, offer)
    if not options.drain:
        return False
    # a courier delivers what hooks were told of the last jobs
    has_events = store.hooks.all() and not process_all_events(store, _EVENTS_SECONDS)
    if has_events or store.notify_children():
        control.rouse()  # go on soon, once somebody could ask to stop
        return False
    counts = store.counts().only(deliveries=False)
    unfinished = frozenset({State.PROCESSING, State.FAILED})
    filters = [Filter(unfinished, queue) for queue in options.queues or (None,)]
    if any(map(counts.matching, filters)) or store.make_due_claimable():
        return False
    served = options.queues
    to_make = (each for each in store.batches.unmade() if not served or each.queue in served)
    if any(batch.waits for batch in to_make) or store.batches.let_go():
        return False
    return not store.ready_suspects(options.queues, 1, offer)  # which are for others to run


def _cannot_start(store: Store, job: Job) -> bool:
    """Whether a job waits for another that has ended otherwise."""
    if not job.blocked_by:
        return False
    from functools import partial

    from queuectl.domain.dependencies import Obstacles
    from queuectl.queue.read import find_parent

    return Obstacles(partial(find_parent, store)).before(job) is not None


def leave(
    store: Store,
    worker_id: str,
    control: Control,
    options: WorkerOptions,
    call_courier: Callable[[], None] | None,
) -> None:
    """Sign off a worker that has no job in hand; a fault of the store is only logged.

    It unregisters last, so that it is listed (as stopping) until it is about to end.
    """
    try:
        try:
            store.workers.ask_to_stop([worker_id], StopRequest.GRACEFUL)
            now = store.now()
            if not any(is_live(each, now) and not each.stop for each in store.workers.all()):
                _process_last_events(store, control, options.timings.leave)
                store.tidy(0.0)
            if call_courier and store.has_ready_deliveries(untried=options.drain):
                call_courier()
        finally:
            store.workers.unregister(worker_id)
    except StoreError as fault:
        log.warning("%s", fault)


def _process_last_events(store: Store, control: Control, seconds: float) -> None:
    """Process the events that nobody who stays will, unless the worker shall leave at once."""
    ends_at = time.monotonic() + seconds

    def between() -> None:
        if control.stop_level > 1 or time.monotonic() >= ends_at:
            raise Leaving

    store.between = between
    with contextlib.suppress(Leaving):
        between()
        process_all_events(store)
    store.between = lambda: None
