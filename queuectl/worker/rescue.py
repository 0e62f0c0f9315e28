"""What any command does for workers that were killed together with their supervisor and guard.

Nobody was left to end what they ran, so the next command of this home does it, on the same host.
"""

from __future__ import annotations

from queuectl.domain.settings import from_stored
from queuectl.home import Home
from queuectl.stores.base import Store
from queuectl.worker import pidfile
from queuectl.worker.processes import is_alive, is_here
from queuectl.worker.upkeep import Upkeep


def end_abandoned_runs(home: Home, store: Store) -> None:
    """Kill what killed workers of this host had in hand, and take their jobs back.

    Where a supervisor lives it does that itself. Raises StoreError when a file or the store fails.
    """
    entries = [entry for entry in pidfile.registered(home) if is_here(entry.process)]
    alive = {entry.process.pid for entry in entries if is_alive(entry.process)}
    if any(
        entry.role == pidfile.WORKER
        and entry.process.pid not in alive
        and entry.supervisor not in alive
        for entry in entries
    ):
        Upkeep(store, home).recover(from_stored(store.settings()))
    pidfile.remove(home, ())
