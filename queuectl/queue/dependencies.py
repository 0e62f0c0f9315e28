"""Which jobs a new or changed job may wait for: those that exist, and no circle of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from queuectl.domain import dependencies
from queuectl.domain.dependencies import blockers, parents, parents_in, refuse_cycles
from queuectl.domain.errors import Circle, InvalidInput, NotFound, QueuectlError
from queuectl.domain.frozen import replace
from queuectl.queue.read import resolve

if TYPE_CHECKING:
    from queuectl.domain.job_fields import Spec
    from queuectl.domain.request import Request
    from queuectl.stores.base import Store

Resolve = Callable[[str], str]
"""Turns an id, or a prefix of one, into the id of a job that exists. Raises NotFound, Conflict."""


def with_parents(
    spec: Spec,
    resolve: Resolve,
    batch: Mapping[str, Spec] | None = None,
    has_batch: Callable[[str], bool] = lambda _name: True,
) -> Spec:
    """Return a specification whose parents are ids that exist, or stand in the same batch.

    `has_batch` says which whole batches there are to wait for. Raises NotFound, InvalidInput for
    a job that would wait for its own batch, or Conflict where a prefix fits several.
    """
    in_batch = batch or {}

    def found(word: str) -> str:
        if word in in_batch:
            return word
        if (name := dependencies.batch_of_parent(word)) is not None:
            if name == spec.batch:
                raise InvalidInput(f"a job of batch '{name}' cannot wait for all of it")
            if not has_batch(name):
                raise NotFound(f"no batch '{name}' to wait for", "queuectl batch list shows them")
            return word
        try:
            return resolve(word)
        except NotFound as fault:
            raise NotFound(f"no job '{word}' to wait for", hint=fault.hint) from None

    def all_found(words: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(found, words)))

    return replace(
        spec,
        after=all_found(spec.after),
        after_any=all_found(spec.after_any),
        after_fail=all_found(spec.after_fail),
    )


def checked(
    store: Store, requests: Sequence[Request]
) -> tuple[list[Request], dict[str, QueuectlError]]:
    """Return a batch with its parents found, and why some of it is refused, by id.

    What waits for a job of the batch that is refused is refused with it.
    """
    batch = {request.spec.id: request.spec for request in requests}
    look_up = cache(partial(resolve, store))  # thousands may wait for one
    has_batch = cache(lambda name: store.batches.get(name) is not None)
    refused: dict[str, QueuectlError] = {}
    found: list[Request] = []
    for request in requests:
        if request.spec.has_parents:
            try:
                request = replace(
                    request, spec=with_parents(request.spec, look_up, batch, has_batch)
                )
            except QueuectlError as fault:
                refused[request.spec.id] = fault
        found.append(request)
    _refuse_circles(store, found, refused)
    _refuse_orphans(found, refused)
    return found, refused


def _refuse_circles(
    store: Store, found: Sequence[Request], refused: dict[str, QueuectlError]
) -> None:
    """Refuse every job that is in a circle; a batch may have several."""
    batch = {request.spec.id: parents(request.spec) for request in found}
    left = batch | _ahead(store, batch)
    while True:
        try:
            refuse_cycles(left)
        except Circle as fault:
            refused |= {job_id: fault for job_id in fault.path if job_id in batch}
            left = {job_id: others for job_id, others in left.items() if job_id not in refused}
        else:
            return


def _ahead(store: Store, batch: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return for which jobs those wait that are there already and that a batch waits for.

    One of them may wait for an id of the batch: that of a job which has been deleted.
    """
    ahead: dict[str, tuple[str, ...]] = {}
    names = [each for others in batch.values() for each in others]
    while names:
        name = names.pop()
        if name not in batch and name not in ahead:
            job = store.get(name)
            ahead[name] = tuple(sorted(parents_in(job.blocked_by))) if job else ()
            names += ahead[name]
    return ahead


def _refuse_orphans(found: Sequence[Request], refused: dict[str, QueuectlError]) -> None:
    """Refuse what waits for jobs that are refused, from generation to generation."""
    size = -1
    while size < len(refused):
        size = len(refused)
        for request in found:
            lost = next((each for each in parents(request.spec) if each in refused), None)
            if lost is not None and request.spec.id not in refused:
                refused[request.spec.id] = NotFound(f"no job '{lost}' to wait for")


def refuse_circle(store: Store, spec: Spec) -> None:
    """Raise Circle when a job would come to wait for itself, by way of jobs that wait."""

    def look(ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        return {job_id: job.blocked_by for job_id in ids if (job := store.get(job_id)) is not None}

    dependencies.refuse_circle(spec.id, blockers(spec), look)
