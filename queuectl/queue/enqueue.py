"""Bringing new jobs in; a request may replace a job that waits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, overload

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, InvalidInput, JobExists, QueuectlError
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.queue_limits import OPEN
from queuectl.stores.rules import require_in_use

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.domain.alike import AlikeRequests
    from queuectl.domain.job import Job
    from queuectl.domain.job_fields import Spec
    from queuectl.domain.request import Request
    from queuectl.domain.state_machine import Transition
    from queuectl.queue.signing import Signer
    from queuectl.stores.base import Store


@frozen
class EnqueueResult:
    """What became of one request: `job_id` stands in the store unless `error` says otherwise.

    `is_other_job` says that it is another job, which has the request's unique key; `run_at` is when
    it is due, where the request said so.
    """

    job_id: str
    replaced: bool = False
    is_other_job: bool = False
    error: QueuectlError | None = None
    run_at: datetime | None = None


class AllNew(Sequence[EnqueueResult]):
    """What became of many requests that are all stored as new jobs, in their order."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> EnqueueResult: ...

    @overload
    def __getitem__(self, at: slice) -> AllNew: ...

    def __getitem__(self, at: int | slice) -> EnqueueResult | AllNew:
        return AllNew(self.ids[at]) if isinstance(at, slice) else EnqueueResult(self.ids[at])


def enqueue(
    store: Store, requests: Sequence[Request], *, atomic: bool, signer: Signer | None = None
) -> Sequence[EnqueueResult]:
    """Store what requests ask for; return what became of each, in the order given.

    With a `signer` each job is signed, as it is stored.

    Raises Conflict with `atomic` for an id or a unique key that is taken, and in a moved store.
    """
    require_in_use(store)
    if not (atomic or signer or isinstance(requests, list)):
        from queuectl.domain.alike import AlikeRequests  # of many jobs only

        if isinstance(requests, AlikeRequests) and requests.are_distinct:
            return _enqueue_alike(store, requests)
    if atomic and any(request.replace for request in requests):
        raise InvalidInput("an atomic batch cannot replace jobs")
    requests, faults = checked(store, requests)
    if atomic and faults:
        raise next(iter(faults.values()))
    if signer:
        requests = [replace(each, spec=signer.sign(each.spec)) for each in requests]
    first = {request.spec.id: request for request in reversed(requests)}
    if atomic and len(first) < len(requests):
        twice = next(each.spec.id for each in requests if each is not first[each.spec.id])
        raise Conflict(f"nothing was enqueued: the id '{twice}' is there twice")
    now = store.now()
    jobs = [
        state_machine.enqueue(
            request.spec, request.run_at, now, delayed=request.delayed, paused=request.hold
        )
        for request in requests
        if request is first[request.spec.id] and request.spec.id not in faults
    ]
    names = _batches_of(store, jobs)
    refused = store.insert(jobs, atomic=atomic)
    _reopen(store, names)
    if refused and atomic:
        taken = first[sorted(refused)[0]].spec
        why = _why_taken(store, taken)
        raise type(why)(f"nothing was enqueued: {why}")
    if not refused and len(jobs) == len(requests):
        return [EnqueueResult(request.spec.id, run_at=request.run_at) for request in requests]
    results, seen = [], set[str]()
    for request in requests:
        job_id = request.spec.id
        is_taken = job_id in refused or job_id in seen
        seen.add(job_id)
        if job_id in faults:
            results.append(EnqueueResult(job_id, error=faults[job_id]))
        else:
            stored = EnqueueResult(job_id, run_at=request.run_at)
            results.append(_refused(store, request) if is_taken else stored)
    return results


def _batches_of(store: Store, jobs: Sequence[Job]) -> Collection[str]:
    """Return the batches that new jobs are in, of each of which there is a record then."""
    if all(job.spec.batch is None for job in jobs):
        return ()
    from queuectl.queue import batches  # which few jobs are in

    return batches.prepare(store, (job.spec for job in jobs))


def _reopen(store: Store, names: Collection[str]) -> None:
    if names:
        from queuectl.queue import batches

        batches.reopen(store, names)


def _enqueue_alike(store: Store, requests: AlikeRequests) -> Sequence[EnqueueResult]:
    """Store jobs that have no parents and need one slot, with no more for each than its row."""
    from queuectl.domain.alike import AlikeJobs

    model = requests.model
    job = state_machine.enqueue(model.spec, model.run_at, store.now(), delayed=model.delayed)
    names = _batches_of(store, [job])
    refused = store.insert(AlikeJobs(job, requests.ids, requests.commands))
    _reopen(store, names)
    if not refused:
        return AllNew(requests.ids)
    return [
        _refused(store, request) if request.spec.id in refused else EnqueueResult(request.spec.id)
        for request in requests
    ]


def checked(
    store: Store, requests: Sequence[Request]
) -> tuple[Sequence[Request], Mapping[str, QueuectlError]]:
    """Look at what only some jobs ask for: parents, and more slots than one."""
    faults: dict[str, QueuectlError] = {}
    specs = [request.spec for request in requests]
    if any(spec.has_parents for spec in specs):
        from queuectl.queue import dependencies  # few jobs wait for others

        requests, faults = dependencies.checked(store, requests)
    if any(spec.at_once or spec.max_fails for spec in specs):
        from queuectl.queue.batches import without_batch  # few jobs are in one

        faults |= without_batch(specs)
    if any(spec.slots > 1 for spec in specs):
        queue_limits = store.queue_limits()
        for request in requests:
            try:
                queue_limits.get(request.spec.queue, OPEN).require(request.spec)
            except InvalidInput as fault:
                faults.setdefault(request.spec.id, fault)
    return requests, faults


def _refused(store: Store, request: Request) -> EnqueueResult:
    """Return what becomes of a request whose id, or whose unique key, a job has already."""
    spec = request.spec
    holder = store.unique_key_owner(spec.unique) if spec.unique else None
    if holder is not None and not (request.replace and holder == spec.id):
        return EnqueueResult(holder, is_other_job=True)
    if request.replace:
        return _replace(store, request)
    if spec.unique and store.get(spec.id) is None:  # the key has become free since
        return enqueue(store, [request], atomic=False)[0]
    return EnqueueResult(spec.id, error=_why_taken(store, spec))


def _why_taken(store: Store, spec: Spec) -> Conflict:
    if spec.unique and store.get(spec.id) is None:
        return Conflict(f"another job has the unique key '{spec.unique}'")
    return JobExists(f"job '{spec.id}' exists already (--replace replaces it)")


def _replace(store: Store, request: Request) -> EnqueueResult:
    from queuectl.queue.change import change

    def decide(job: Job, now: datetime) -> Transition:
        return state_machine.replace_job(
            job, request.spec, request.run_at, now, delayed=request.delayed, paused=request.hold
        )

    try:
        if request.spec.has_parents:
            from queuectl.queue.dependencies import refuse_circle

            refuse_circle(store, request.spec)
        change(store, request.spec.id, decide)
    except QueuectlError as refusal:
        return EnqueueResult(request.spec.id, error=refusal)
    return EnqueueResult(request.spec.id, replaced=True, run_at=request.run_at)
