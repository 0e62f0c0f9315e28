"""What is noted of hosts whose workers are gone: which jobs were taken back from them, and why."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from queuectl.domain.errors import StoreRefused
from queuectl.domain.host import MOST_LOSSES, HostRecord, Loss, host_of
from queuectl.domain.settings import Settings
from queuectl.domain.worker_record import WorkerRecord
from queuectl.stores.base import Store
from queuectl.stores.hosts import change_host
from queuectl.system.polling import Timer

log = logging.getLogger("queuectl.worker")

KEPT = timedelta(days=7)
"""How long is told of a host that has no workers any more, and of the jobs that it lost."""

_LOOK_SECONDS = 600.0


class HostKeeper:
    """Notes what becomes of the hosts of one store, and forgets it in the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._timer = Timer(_LOOK_SECONDS, first=_LOOK_SECONDS)

    def note_losses(self, losses: Sequence[Loss]) -> None:
        """Note jobs that were taken back from workers of a host."""
        by_host: dict[str, list[Loss]] = {}
        for loss in losses:
            by_host.setdefault(host_of(loss.worker), []).append(loss)
        for host, some in by_host.items():

            def with_losses(record: HostRecord, some: Sequence[Loss] = some) -> HostRecord:
                return record.changed(losses=(*record.losses, *some)[-MOST_LOSSES:])

            self._change(host, with_losses)

    def note_gone(self, worker: WorkerRecord) -> None:
        """Note when a worker was last heard of that is about to be forgotten."""

        def seen(record: HostRecord) -> HostRecord:
            before = record.seen_at or worker.heartbeat_at
            return record.changed(seen_at=max(before, worker.heartbeat_at))

        self._change(worker.host, seen)

    def _change(self, host: str, change: Callable[[HostRecord], HostRecord]) -> None:
        """Change what is kept of a host; what cannot be noted is no fault of whoever notes it."""
        try:
            if not change_host(self._store, host, change):
                log.warning("host '%s': what became of it was not noted", host)
        except StoreRefused as fault:
            log.warning("%s", fault)

    def tick(self, _settings: Settings) -> None:
        """Forget hosts of which nothing was heard for long, but for those that are drained."""
        if not self._timer.rings() or not self._store.try_acquire_turn("hosts", _LOOK_SECONDS):
            return
        before = self._store.now() - KEPT
        for record in self._store.hosts.all():
            if record.drained_at is None and record.latest < before:
                self._store.hosts.remove(record.name)
