"""What a specification may ask of other jobs and of its queue, as the store has them."""

from __future__ import annotations

from queuectl.domain.dependencies import parent_of, parents
from queuectl.domain.errors import InvalidInput, NotFound
from queuectl.domain.job import Spec
from queuectl.domain.lanes import OPEN
from queuectl.stores.base import Store


def require_room(store: Store, spec: Spec) -> None:
    """Raise InvalidInput for more slots than the limit of the job's queue."""
    if spec.slots == 1:
        return
    limit = store.lanes().get(spec.queue, OPEN).limit
    if limit and spec.slots > limit:
        raise InvalidInput(
            f"job '{spec.id}' needs {spec.slots} slots, queue {spec.queue} has {limit}"
        )


def require_parents(store: Store, spec: Spec, known: Spec) -> None:
    """Raise NotFound for a new parent that is not there, InvalidInput for a circle.

    The parents in `known` were accepted before, and may have been deleted since.
    """
    accepted = frozenset(parents(known))
    ahead = [parent for parent in parents(spec) if parent not in accepted]
    new, seen = frozenset(ahead), set[str]()
    while ahead:
        parent = ahead.pop()
        if parent == spec.id:
            raise InvalidInput(f"job '{spec.id}' would wait for itself")
        if parent in seen:
            continue
        seen.add(parent)
        found = store.get(parent)
        if found is not None:
            ahead.extend(map(parent_of, found.waits_for))
        elif parent in new:
            raise NotFound(f"job '{spec.id}' cannot wait for '{parent}', which does not exist")
