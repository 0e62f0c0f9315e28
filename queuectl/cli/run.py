"""`run`: enqueue one job, follow it, and end with its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import click

from queuectl.cli.enqueue_options import (
    EnqueueCommand,
    enqueue_options,
    options_from,
    requests_of,
)
from queuectl.cli.enqueue_words import InputJob
from queuectl.cli.logs import ending, follow
from queuectl.cli.root import examples
from queuectl.cli.run_output import Choice
from queuectl.cli.session import Session, refuse_native_windows
from queuectl.domain.errors import ExitCode, InvalidInput, QueuectlError
from queuectl.domain.views import exit_code, reason
from queuectl.presentation.console import end_line, print_error, print_hint
from queuectl.queue import Queue

_CANCEL_SECONDS = 10.0


@examples("""
    queuectl run "make test"
    queuectl run build -- make -j4 "all tests"
""")
@click.command(cls=EnqueueCommand)
@enqueue_options
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> int:
    """Enqueue one job, follow its output, and end with its exit code.

    Where no worker is alive, one is started for that job alone. A job that cannot start, as it
    waits for one that is dead, cancelled or deleted, is left waiting, and the exit code is 1.
    """
    session = ctx.ensure_object(Session)
    requested = options_from(ctx, options)
    items = requested.items()  # before a store is made
    queue = session.queue()
    job_id = _enqueue_one(queue, [*chain.from_iterable(requested.jobs(items, queue))])
    try:
        _provide_worker(session, queue, job_id)
        job = next(follow(queue, [job_id], Choice(has_worker=True)))
    except KeyboardInterrupt:
        _cancel(queue, job_id)
        return ExitCode.INTERRUPTED
    if isinstance(job, QueuectlError):
        raise job
    if code := exit_code(job):
        print_hint(ending(job))
    return code


def _enqueue_one(queue: Queue, jobs: Sequence[InputJob]) -> str:
    if len(jobs) != 1:
        raise InvalidInput(f"run takes one job, not {len(jobs)}", hint="use queuectl enqueue")
    if isinstance(jobs[0].result, QueuectlError):
        raise jobs[0].result
    if jobs[0].result.hold:
        raise InvalidInput("run cannot follow a job that is held", hint="use queuectl enqueue")
    result = queue.enqueue_requests(requests_of(jobs))[0]
    if result.error:
        raise result.error
    if result.is_other_job:
        print_hint(
            f"job '{result.job_id}' with this unique key waits or runs already; following that"
        )
    return result.job_id


def _provide_worker(session: Session, queue: Queue, job_id: str) -> None:
    """Start a worker for this one job unless one is alive that will take it.

    Raises CannotStart for a job that waits for what will not come by itself.
    """
    job = queue.get(job_id)
    if stuck := queue.cannot_start()(job):
        raise stuck
    living = queue.workers()
    if job.blocked_by and not living:
        what = reason(job, queue.now(), wait_context=queue.wait_context())
        print_hint(f"job '{job_id}' {what}, and no worker is running: queuectl worker start")
    for worker in living:
        queues = worker.record.queues
        if worker.record.stop is None and (not queues or job.spec.queue in queues):
            return
    refuse_native_windows()
    from queuectl.worker.supervision import manager

    manager.start(session.location(), only=job_id, log_format=queue.settings().log_format)


def _cancel(queue: Queue, job_id: str) -> None:
    """Cancel the job that is followed, and wait a little for it to end."""
    end_line()
    try:
        queue.cancel(job_id)
        print_hint(f"cancelling job '{job_id}'")
        next(queue.wait([job_id], _CANCEL_SECONDS))
    except QueuectlError as fault:
        print_error(fault)
