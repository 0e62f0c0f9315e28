"""`run`: enqueue one job, follow it, and end with its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any

import click

from queuectl.cli import run_input
from queuectl.cli.enqueue_options import (
    EnqueueCommand,
    enqueue_options,
    options_from,
    requests_of,
)
from queuectl.cli.enqueue_words import InputJob
from queuectl.cli.job_input import STANDARD_INPUT
from queuectl.cli.logs import ending, follow
from queuectl.cli.root import examples
from queuectl.cli.run_output import Choice
from queuectl.cli.session import Session, refuse_native_windows, remember_jobs
from queuectl.domain.errors import Conflict, ExitCode, InvalidInput, QueuectlError
from queuectl.domain.frozen import replace
from queuectl.domain.views import exit_code, reason
from queuectl.presentation.console import end_line, print_error, print_hint
from queuectl.queue import Queue

_CANCEL_SECONDS = 10.0


@examples("""
    queuectl run "make test"
    queuectl run build -- make -j4 "all tests"
    queuectl run --max-retries 3 "./flaky.sh"
    echo hi | queuectl run -i -- cat
""")
@click.command(cls=EnqueueCommand)
@enqueue_options
@click.option("-i", "--pass-stdin", is_flag=True,
              help="Read standard input to its end, and let the command read that.")  # fmt: skip
@click.pass_context
def run(ctx: click.Context, /, pass_stdin: bool, **options: Any) -> int:
    """Enqueue one job, follow its output, and end with its exit code.

    It is tried once, unless --max-retries or the job's own field says more.
    Where no worker is alive, one is started for that job alone. A job that cannot start, as it
    waits for one that is dead, cancelled or deleted, is left waiting, and the exit code is 1.

    The exit code is else the job's own: 128+N where signal N ended it, 124 where it took too long,
    143 where it was cancelled.
    """
    session = ctx.ensure_object(Session)
    requested = options_from(ctx, options)
    items = requested.items()  # before a store is made
    if pass_stdin:
        run_input.require_own(session, requested.source.file)
    queue = session.queue()
    once = replace(queue.settings(), max_retries=1)
    jobs = [*chain.from_iterable(requested.jobs(items, queue, once))]
    job_id = _enqueue_one(queue, jobs, pass_stdin=pass_stdin)
    remember_jobs(queue, [job_id])
    try:
        _provide_worker(session, queue, job_id)
        job = next(follow(queue, [job_id], Choice(has_worker=True, from_first=True)))
    except KeyboardInterrupt:
        _cancel(queue, job_id)
        return ExitCode.INTERRUPTED
    if isinstance(job, QueuectlError):
        raise job
    if code := exit_code(job):
        print_hint(ending(job))
    if not (pass_stdin or session.in_shell) and requested.source.file != STANDARD_INPUT:
        run_input.hint_at_unread()
    return code


def _enqueue_one(queue: Queue, jobs: Sequence[InputJob], *, pass_stdin: bool) -> str:
    if len(jobs) != 1:
        raise InvalidInput(f"run takes one job, not {len(jobs)}", hint="use queuectl enqueue")
    if isinstance(jobs[0].result, QueuectlError):
        raise jobs[0].result
    if jobs[0].result.hold:
        raise InvalidInput("run cannot follow a job that is held", hint="use queuectl enqueue")
    (request,) = requests_of(jobs)
    with run_input.passed(queue, request) if pass_stdin else nullcontext(request) as request:
        result = queue.enqueue_requests([request])[0]
        if result.error:
            raise result.error
        if pass_stdin and result.is_other_job:
            raise Conflict(
                f"job '{result.job_id}' with this unique key waits or runs already, "
                "without this input"
            )
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
    takers = [
        each
        for each in living
        if each.record.stop is None
        and not each.record.is_drained
        and each.record.takes_from(job.spec.queue)
    ]
    if takers:
        is_taken = any(job_id in each.job_ids for each in takers)
        is_busy = all(each.slots_in_use == each.record.slots for each in takers)
        is_new = not queue.get(job_id).runs  # or it was taken, and is held up by its own rules
        if is_busy and is_new and not (is_taken or job.blocked_by):
            who = "the only worker" if len(takers) == 1 else f"each of {len(takers)} workers"
            print_hint(f"job '{job_id}' waits, as {who} is busy: queuectl status shows with what")
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
