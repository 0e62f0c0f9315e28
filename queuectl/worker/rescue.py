"""What any command does for workers that were killed together with their supervisor and guard.

Nobody was left to end what they ran, so the next command of this home does it, on the same host.
"""

from __future__ import annotations

from queuectl.domain.settings import from_stored
from queuectl.home import Home
from queuectl.stores.base import Store
from queuectl.worker import pidfile
from queuectl.worker.processes import is_alive, is_here, rouse
from queuectl.worker.upkeep import Upkeep


def end_abandoned_runs(home: Home, store: Store) -> None:
    """Kill what killed workers of this home on this host had in hand, and take their jobs back.

    Where a supervisor lives it does that itself; one that stands still is let go on. Raises
    StoreError when a file or the store fails.
    """
    supervisors = [entry for entry in pidfile.living(home) if entry.role == pidfile.SUPERVISOR]
    for entry in supervisors:
        rouse(entry.process.pid)
    lost = [
        worker
        for worker in store.workers()
        if worker.home == str(home.root)
        and is_here(worker.process)
        and not is_alive(worker.process)
    ]
    if lost and not supervisors:
        Upkeep(store, home).recover(from_stored(store.settings()))
    pidfile.remove(home, ())
