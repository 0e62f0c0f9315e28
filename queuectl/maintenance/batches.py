"""The upkeep of batches: whose turn is next, what has ended, and jobs that are still to be made."""

from __future__ import annotations

import logging
from datetime import timedelta

from queuectl.domain.errors import QueuectlError, StoreError
from queuectl.domain.settings import Settings
from queuectl.queue.batches import look_after
from queuectl.queue.lazy import LazyJobs, drop_old_rest
from queuectl.stores.base import Store

log = logging.getLogger("queuectl.worker")


class BatchKeeper:
    """Looks after the batches of one store for one worker; several may do so at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lazy = LazyJobs(store)

    def tick(self, settings: Settings) -> None:
        """Look after every batch that has not ended, or of whose end not all know."""
        if settings.retention_cancelled > 0:
            kept = timedelta(seconds=settings.retention_cancelled)
            drop_old_rest(self._store, self._store.now() - kept)
        self._store.batches.let_go()
        self._lazy.top_up()
        for record in self._store.batches.open():
            try:
                look_after(self._store, record)
            except StoreError:
                raise
            except QueuectlError as fault:
                log.warning("batch '%s': %s", record.name, fault)
            self._store.between()
