"""`run` and `wait`: commands that end with the exit code of a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from queuectl.cli.enqueue_options import EnqueueCommand, InputJob, options_from, requests_of
from queuectl.cli.job_options import enqueue_options
from queuectl.cli.jobs.follow import Choice, ending, follow
from queuectl.cli.session import Session, end_line, print_error, print_hint
from queuectl.domain.errors import ExitCode, InvalidInput, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.views import exit_code, reason
from queuectl.queue import Queue

_CANCEL_SECONDS = 10.0


def refuse_native_windows() -> None:
    """Raise where no worker can run: job control there is another world."""
    if os.name == "nt":
        raise QueuectlError("workers need Linux or macOS", hint="on Windows run queuectl in WSL")


@click.command(
    cls=EnqueueCommand,
    epilog="""
    queuectl run "make test"
    queuectl run build -- make -j4 "all tests"
    """,
)
@enqueue_options
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> int:
    """Enqueue one job, follow its output, and end with its exit code.

    Where no worker is alive, one is started for that job alone. A job that cannot start, as it
    waits for one that is dead, cancelled or deleted, is left waiting, and the exit code is 1.
    """
    session = ctx.ensure_object(Session)
    asked = options_from(ctx, options)
    items = asked.items()  # before a store is made
    queue = session.queue()
    job_id = _enqueue_one(queue, list(asked.entries(items, queue)))
    try:
        _provide_worker(session, queue, job_id)
        job = follow(queue, [job_id], Choice(has_worker=True), _tell_of_failure)[0]
    except KeyboardInterrupt:
        _cancel(queue, job_id)
        return ExitCode.INTERRUPTED
    return exit_code(job)


def _tell_of_failure(job: Job) -> None:
    if exit_code(job):
        print_hint(ending(job))


def _enqueue_one(queue: Queue, entries: Sequence[InputJob]) -> str:
    if len(entries) != 1:
        raise InvalidInput(f"run takes one job, not {len(entries)}", hint="use queuectl enqueue")
    if isinstance(entries[0].result, QueuectlError):
        raise entries[0].result
    result = queue.enqueue_requests(requests_of(entries))[0]
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
    wanted, living = job.spec.queue, queue.workers()
    if job.blocked_by and not living:
        what = reason(job, queue.now(), wait_context=queue.wait_context())
        print_hint(f"job '{job_id}' {what}, and no worker is running: queuectl worker start")
    for worker in living:
        queues = worker.record.queues
        if worker.record.stop is None and (not queues or wanted in queues):
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
