"""What runs of a command have used before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.job import State
from queuectl.domain.query import Filter, Order, Page

if TYPE_CHECKING:
    from queuectl.domain.field_checks import Command
    from queuectl.stores.base import Store

_MOST_JOBS, _MOST_RUNS = 1000, 20
"""Among how many jobs that completed last it is looked for, and how many runs are enough."""


def usual_memory(store: Store, command: Command) -> int | None:
    """Return the most bytes that the last runs of a command used that succeeded.

    None where none is known. Those of the jobs that completed last are looked through.
    """
    chosen = Filter(states=frozenset({State.COMPLETED}))
    found: list[int] = []
    for job in store.find(chosen, Page(_MOST_JOBS, newest_first=True, order=Order.ENDED)):
        used = job.outcome.peak_memory if job.outcome else None
        if used is not None and job.spec.command == command:
            found.append(used)
            if len(found) == _MOST_RUNS:
                break
    return max(found, default=None)
