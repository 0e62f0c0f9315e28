"""`run` and `wait`: commands that end with the exit code of a job."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from queuectl.cli import render
from queuectl.cli.asked import EnqueueCommand, asked_from, requests_of, spec_options
from queuectl.cli.follow import Choice, ending, follow
from queuectl.cli.jobs import json_option
from queuectl.cli.session import Session, complain, note, pass_session, say
from queuectl.cli.tree import Command
from queuectl.domain.errors import ExitCode, InvalidInput, NotFound, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.request import check_name
from queuectl.domain.view import as_dict, exit_code
from queuectl.queue import Queue
from queuectl.when import parse_duration

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
@spec_options
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> int:
    """Enqueue one job, follow its output, and end with its exit code.

    Where no worker is alive, one is started for that job alone.
    """
    session = ctx.ensure_object(Session)
    queue = session.queue()
    job_id = _enqueue_one(ctx, queue, options)
    try:
        _provide_worker(session, queue, job_id)
        job = follow(queue, [job_id], Choice())[0]
    except KeyboardInterrupt:
        _cancel(queue, job_id)
        raise
    if exit_code(job):
        note(ending(job))
    return exit_code(job)


def _enqueue_one(ctx: click.Context, queue: Queue, options: dict[str, Any]) -> str:
    asked = asked_from(ctx, options)
    entries = list(asked.entries(queue))
    if len(entries) != 1:
        raise InvalidInput(f"run takes one job, not {len(entries)}", hint="use queuectl enqueue")
    if isinstance(entries[0].result, QueuectlError):
        raise entries[0].result
    result = queue.enqueue(requests_of(entries))[0]
    if result.error:
        raise result.error
    return result.job_id


def _provide_worker(session: Session, queue: Queue, job_id: str) -> None:
    """Start a worker for this one job unless one is alive that will take it."""
    wanted = queue.get(job_id).spec.queue
    for worker in queue.workers():
        queues = worker.record.queues
        if worker.record.stop is None and (not queues or wanted in queues):
            return
    refuse_native_windows()
    from queuectl.worker import manager

    manager.start(session.place(), only=job_id)


def _cancel(queue: Queue, job_id: str) -> None:
    """Cancel the job that is followed, and wait a little for it to end."""
    try:
        queue.cancel(job_id)
        note(f"cancelling job '{job_id}'")
        next(queue.wait([job_id], _CANCEL_SECONDS))
    except QueuectlError as fault:
        complain(fault)


@click.command(
    cls=Command,
    epilog="""
    queuectl wait job1 && echo "job1 is done"
    queuectl wait --queue imports --timeout 600
    """,
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--queue", "queue_name", metavar="NAME", help="Every job of this queue.")
@click.option("--all", "every", is_flag=True, help="Every job that is not settled now.")
@click.option("--timeout", metavar="SECONDS", help="Wait no longer; the exit code is then 124.")
@json_option
@pass_session
def wait(
    session: Session,
    ids: tuple[str, ...],
    queue_name: str | None,
    every: bool,
    timeout: str | None,
    as_json: bool,
) -> int:
    """Wait until jobs are completed, dead or cancelled.

    Ends with the code of the one job; of several with 1 if any did not complete.
    """
    if bool(ids) + (queue_name is not None) + every != 1:
        raise InvalidInput("name the jobs, or --queue NAME, or --all")
    seconds = None if timeout is None else parse_duration(timeout, "--timeout")
    queue = session.queue()
    named = [queue.resolve(word) for word in dict.fromkeys(ids)]
    chosen = check_name("queue", queue_name) if queue_name is not None else None
    array = render.JsonArray() if as_json else None
    codes = []
    for job in _settled(queue, named or queue.unsettled(chosen), seconds, forgive=not named):
        codes.append(exit_code(job))
        if array:
            array.add(as_dict(job, queue.now()))
        else:
            say(ending(job))
    if array:
        array.close()
    if len(named) == 1:
        return codes[0]
    return ExitCode.FAILED if any(codes) else ExitCode.OK


def _settled(queue: Queue, ids: list[str], seconds: float | None, *, forgive: bool) -> list[Job]:
    """Wait for every job; with `forgive` one that is deleted meanwhile does not count."""
    deadline = None if seconds is None else time.monotonic() + seconds
    found: list[Job] = []
    for job_id in ids:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            found += queue.wait([job_id], left)
        except NotFound:
            if not forgive:
                raise
    return found
