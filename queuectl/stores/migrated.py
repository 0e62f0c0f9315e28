"""What a store knows of having been moved: whoever changes it, and workers, ask before they do.

Deleting is left to people, who may want to empty a store that has been left.
"""

from __future__ import annotations

from queuectl.domain.errors import Conflict
from queuectl.stores.base import Store

MOVED_TO = "moved_to"
"""The mark of a store that is being moved, or was: the address of the other one."""

MOVING = "moving"
"""Beside that, the mark of a store of which not all has been moved yet."""

ARRIVING = "arriving"
"""The mark of a store that is being filled from another one, until all of that is there."""


def require_in_use(store: Store) -> None:
    """Raise Conflict for a store whose jobs are, or will be, in another one."""
    elsewhere = store.get_meta(MOVED_TO)
    if elsewhere and store.get_meta(MOVING):
        raise Conflict(
            f"this store is being moved to {elsewhere}, or was not moved completely",
            hint=f"run queuectl migrate --to {elsewhere} again, or queuectl migrate --release",
        )
    if elsewhere:
        raise Conflict(
            f"this store was moved to {elsewhere}",
            hint="name that one with --store, or use this one again: queuectl migrate --release",
        )
    if store.get_meta(ARRIVING):
        raise Conflict(
            "another store is being moved here, and not all of it has come",
            hint="run queuectl migrate there again, which goes on where it stopped; "
            "or use what has come: queuectl migrate --release",
        )
