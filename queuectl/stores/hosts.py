"""Changing what a store keeps of a host."""

from __future__ import annotations

from collections.abc import Callable

from queuectl.domain.host import HostRecord
from queuectl.stores.base import Store

_TRIES = 20


def change_host(store: Store, host: str, change: Callable[[HostRecord], HostRecord]) -> bool:
    """Change the record of a host, made where there is none; False when others were faster.

    Raises StoreRefused for one that is damaged.
    """
    for _ in range(_TRIES):
        before = store.hosts.get(host)
        record = before or HostRecord(host, 0, store.now())
        if store.hosts.save(change(record), before):
            return True
    return False
