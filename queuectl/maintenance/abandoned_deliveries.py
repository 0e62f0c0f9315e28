"""What a home's courier had in hand when it was killed together with those who would know.

A supervisor that lives puts another courier in the place of one that has died. Where it was killed
too, the next command looks here, and so do the workers that come next, on the same host.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time

from queuectl.domain import state_machine
from queuectl.stores.base import Store
from queuectl.system import pidfile
from queuectl.system.home import Home, open_private
from queuectl.system.processes import is_alive, is_here
from queuectl.system.run_processes import kill_run

_LOCK_SECONDS = 0.02
_KILL_SECONDS = 2.0


def taken(home: Home, patience: float = 0.0) -> int | None:
    """Return the lock that whoever delivers or takes deliveries back holds; None: somebody does.

    It is held for as long as any process has the descriptor open: until the postroom has ended
    of a courier that was killed, which `patience` (seconds) waits for.
    """
    lock = open_private(home.root / "courier.lock", os.O_RDWR)
    ends_at = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < ends_at:
                time.sleep(_LOCK_SECONDS)
                continue
            os.close(lock)
            return None
        return lock


def courier_id(home: Home) -> str:
    """Return by what the claims of a home's courier are known: the next one takes them back."""
    from hashlib import sha256

    return f"{socket.gethostname()}-courier-{sha256(str(home.root).encode()).hexdigest()[:8]}"


def are_left(home: Home, store: Store) -> bool:
    """Whether deliveries are in hand of a courier of this home, and none is there.

    Raises StoreError when the list of processes or the store cannot be read.
    """
    couriers = (entry for entry in pidfile.registered(home) if entry.role == pidfile.COURIER)
    if any(is_here(entry.process) and is_alive(entry.process) for entry in couriers):
        return False
    return bool(store.claimed_by(courier_id(home)))


def take_back(home: Home, store: Store, max_interruptions: int) -> None:
    """Kill what a courier of this home that is gone left running, and let it be delivered again.

    Only for who has the lock of `taken`: nobody delivers meanwhile. It costs no attempt; a
    delivery that was interrupted `max_interruptions` times is dead. Raises StoreError.
    """
    for job in store.claimed_by(courier_id(home)):
        if job.claim is not None:
            kill_run(job.claim.id, None, _KILL_SECONDS)
            store.commit(state_machine.expire(job, store.now(), max_interruptions))
