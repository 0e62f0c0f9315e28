"""`enqueue --dry-run`: what would become of each job, and when it would be due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from queuectl.cli.enqueue_words import InputJob
from queuectl.cli.refusals import Refusals
from queuectl.domain.errors import Conflict, JobExists, NotFound, QueuectlError
from queuectl.domain.job import State
from queuectl.domain.request import Request
from queuectl.domain.times import iso_or_none
from queuectl.presentation.console import print_line
from queuectl.presentation.due import due_text
from queuectl.queue import Queue


def tell(
    queue: Queue, jobs: Iterable[Sequence[InputJob]], refusals: Refusals, *, as_json: bool
) -> int:
    """Say what would be stored, and refuse what would be refused; return the exit code.

    An id that comes twice in a batch, and what a store itself refuses, is found only in earnest.
    """
    rows = []
    for chunk in jobs:
        for job in chunk:
            try:
                request, verb = _tried(queue, job)
            except QueuectlError as fault:
                refusals.add(fault, job.where)
                refusals.tell(fault, job.where)
                continue
            if as_json:
                due = iso_or_none(request.run_at)
                rows.append({"id": request.spec.id, "result": f"would {verb}", "run_at": due})
                continue
            due = due_text(request.run_at) if request.run_at else ""
            print_line(f"Would {verb} job '{request.spec.id}'{due}")
    if as_json:
        from queuectl.presentation import tables

        tables.write_json(rows)
    refusals.close()
    return refusals.code


def _tried(queue: Queue, job: InputJob) -> tuple[Request, str]:
    """Return a request and what would be done. Raises what it would be refused with."""
    if isinstance(job.result, QueuectlError):
        raise job.result
    request = job.result
    try:
        known = queue.get(request.spec.id)
    except NotFound:
        return request, "enqueue"
    if not request.replace:
        raise JobExists(f"job '{known.id}' exists already (--replace replaces it)")
    if known.state is State.PROCESSING:
        raise Conflict(f"job '{known.id}' is processing and cannot be replaced")
    return request, "replace"
