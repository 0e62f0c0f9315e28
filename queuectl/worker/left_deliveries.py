"""What a home's courier had in hand when it was killed together with those who would know.

A supervisor that lives puts another courier in the place of one that has died. Where it was killed
too, the workers that come next look here, on the same host.
"""

from __future__ import annotations

import socket

from queuectl.home import Home
from queuectl.stores.base import Store
from queuectl.worker import pidfile
from queuectl.worker.processes import is_alive, is_here


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
    return bool(store.held_by(courier_id(home)))
