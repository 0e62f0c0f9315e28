"""What would become of new jobs, of which nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, InvalidInput, JobExists, QueuectlError
from queuectl.queue.dependencies import refuse_circle
from queuectl.queue.enqueue import EnqueueResult, checked
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    from queuectl.domain.request import Request
    from queuectl.stores.base import Store


def tried(store: Store, requests: Sequence[Request], *, atomic: bool) -> list[EnqueueResult]:
    """Return what `enqueue` would return for requests, in the order given.

    They are one batch: what one of them waits for may stand anywhere among them. Raises what
    `enqueue` raises with `atomic`, and in a moved store.
    """
    require_in_use(store)
    if atomic and any(request.replace for request in requests):
        raise InvalidInput("an atomic batch cannot replace jobs")
    requests, faults = checked(store, requests)
    if atomic and faults:
        raise next(iter(faults.values()))
    ids = [request.spec.id for request in requests]
    if atomic and len({*ids}) < len(ids):
        twice = next(each for at, each in enumerate(ids) if each in ids[:at])
        raise Conflict(f"nothing was enqueued: the id '{twice}' is there twice")
    batch = _Batch(store)
    results = []
    for request in requests:
        fault = faults.get(request.spec.id)
        result = EnqueueResult(request.spec.id, error=fault) if fault else batch.add(request)
        if atomic and result.is_other_job:
            key = request.spec.unique
            raise Conflict(f"nothing was enqueued: another job has the unique key '{key}'")
        if atomic and result.error:
            raise Conflict(f"nothing was enqueued: {result.error}")
        results.append(result)
    return results


class _Batch:
    """The requests of a batch that would be stored so far."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: set[str] = set()
        self._owners: dict[str, str] = {}

    def add(self, request: Request) -> EnqueueResult:
        """Return what would become of one more."""
        spec = request.spec
        owner = self._owner(spec.unique) if spec.unique else None
        if owner is not None and not (request.replace and owner == spec.id):
            return EnqueueResult(owner, is_other_job=True)
        job = self._store.get(spec.id)
        is_taken = job is not None or spec.id in self._ids
        try:
            if is_taken and not request.replace:
                raise JobExists(f"job '{spec.id}' exists already (--replace replaces it)")
            if job is not None:
                if spec.has_parents:
                    refuse_circle(self._store, spec)
                state_machine.replace_job(job, spec, request.run_at, self._store.now())
        except QueuectlError as refusal:
            return EnqueueResult(spec.id, error=refusal)
        self._ids.add(spec.id)
        if spec.unique:
            self._owners[spec.unique] = spec.id
        return EnqueueResult(spec.id, replaced=is_taken, run_at=request.run_at)

    def _owner(self, unique: str) -> str | None:
        return self._owners.get(unique) or self._store.unique_key_owner(unique)
