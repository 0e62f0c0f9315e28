"""What any command does for workers and couriers that were killed together with who replaces them.

Nobody was left to end what they ran, so the next command of this home does it, on the same host.
"""

from __future__ import annotations

import os

from queuectl.domain.settings import Settings, from_stored
from queuectl.maintenance.abandoned_deliveries import are_left, take_back, taken
from queuectl.maintenance.maintenance import Maintenance
from queuectl.stores.base import Store
from queuectl.system import pidfile
from queuectl.system.home import Home
from queuectl.system.processes import is_alive, is_here, rouse

_POSTROOM_SECONDS = 0.5
"""How long a postroom that has lost its courier is waited for; else the next command looks."""


def end_abandoned_runs(home: Home, store: Store) -> None:
    """Kill what killed workers and couriers of this home on this host left, and take it back.

    Where a supervisor lives it does that itself; one that stands still is let go on. Raises
    StoreError when a file or the store fails.
    """
    entries = pidfile.registered(home)
    supervisors = {
        entry.process.pid
        for entry in entries
        if entry.role == pidfile.SUPERVISOR and is_alive(entry.process)
    }
    for pid in supervisors:
        rouse(pid)
    lost = [
        worker
        for worker in store.workers()
        if worker.home == str(home.root)
        and is_here(worker.process)
        and not is_alive(worker.process)
    ]
    if lost and not supervisors:
        Maintenance(store, home).recover(from_stored(store.settings()))
    couriers = {
        entry.process.pid
        for entry in entries
        if entry.role == pidfile.COURIER
        and is_here(entry.process)
        and not is_alive(entry.process)
        and entry.supervisor not in supervisors
    }
    is_clear = not couriers or _take_back_deliveries(home, store, from_stored(store.settings()))
    pidfile.remove(home, couriers if is_clear else ())


def _take_back_deliveries(home: Home, store: Store, settings: Settings) -> bool:
    """Let what a dead courier had in hand be delivered again; return whether nothing is left."""
    if not are_left(home, store):
        return True
    lock = taken(home, _POSTROOM_SECONDS)
    if lock is None:
        return False
    try:
        take_back(home, store, settings.max_interruptions)
    finally:
        os.close(lock)
    return True
