"""The end of a worker: what it still does for others, for a moment, and how it signs off."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from queuectl.domain.errors import StoreError
from queuectl.domain.worker_record import StopRequest
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Leaving, Store
from queuectl.system.processes import is_live
from queuectl.worker.signals import Control

log = logging.getLogger("queuectl.worker")

LEAVE_SECONDS = 1.0
"""How long the last worker tells what has happened; whoever reads figures does the rest, or the
next worker.
"""


def leave(
    store: Store,
    worker_id: str,
    control: Control,
    call_courier: Callable[[], None] | None,
    *,
    drains: bool,
) -> None:
    """Sign off a worker that has no job in hand; a fault of the store is only logged.

    It unregisters last, so that it is listed (as stopping) until it is about to end.
    """
    try:
        try:
            store.ask_to_stop([worker_id], StopRequest.GRACEFUL)
            now = store.now()
            if not any(is_live(each, now) and not each.stop for each in store.workers()):
                _tell_for_a_moment(store, control)
                store.tidy(0.0)
            if call_courier and store.has_ready_deliveries(untried=drains):
                call_courier()
        finally:
            store.unregister(worker_id)
    except StoreError as fault:
        log.warning("%s", fault)


def _tell_for_a_moment(store: Store, control: Control) -> None:
    """Tell what nobody who stays will tell, unless the worker shall leave at once."""
    ends_at = time.monotonic() + LEAVE_SECONDS

    def between() -> None:
        if control.stop_level > 1 or time.monotonic() >= ends_at:
            raise Leaving

    store.between = between
    with contextlib.suppress(Leaving):
        between()
        process_all_events(store)
    store.between = lambda: None
