"""What a worker knows of its host, and whether that is drained."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import datetime

from queuectl.domain.errors import StoreRefused
from queuectl.domain.host import HostReport
from queuectl.domain.times import UTC
from queuectl.stores.base import Store
from queuectl.version import __version__

log = logging.getLogger("queuectl.worker")


def host_report(store: Store, *, is_drained: bool) -> HostReport:
    """Return what there is to tell of this host. Raises StoreError."""
    load = None
    with suppress(OSError, AttributeError):
        load = round(os.getloadavg()[0], 2)
    ahead = (datetime.now(UTC) - store.now()).total_seconds()
    return HostReport(
        version=__version__,
        processors=_processors(),
        load=load,
        clock_offset=round(ahead, 3),
        is_drained=is_drained,
    )


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_host_drained(store: Store, host: str) -> bool:
    """Whether the workers of a host are to take no jobs. Raises StoreUnavailable.

    A record that cannot be read drains no host.
    """
    try:
        record = store.hosts.get(host)
    except StoreRefused as fault:
        log.warning("%s", fault)
        return False
    return record is not None and record.drained_at is not None
