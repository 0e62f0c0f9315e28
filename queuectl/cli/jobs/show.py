"""Listing jobs, and looking at one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from queuectl.cli.completions import JobId
from queuectl.cli.filters import filter_of, filter_options
from queuectl.cli.listing import page_options, write_page
from queuectl.cli.root import Command
from queuectl.cli.session import Session, on_terminal, pass_session, print_hint
from queuectl.domain.errors import Conflict
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.domain.views import as_dict
from queuectl.presentation import tables
from queuectl.presentation.columns import job_columns
from queuectl.queue import Queue

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")

_F = TypeVar("_F", bound=Callable[..., Any])


def ids_argument(*states: State, required: bool = True) -> Callable[[_F], _F]:
    """Give a command the ids of jobs, for which those in `states` (any, if none) are offered."""
    metavar = "ID..." if required else "[ID]..."
    return click.argument("ids", nargs=-1, required=required, metavar=metavar, type=JobId(*states))


def clock_of(queue: Queue) -> tables.Clock:
    """Return how times are written on this standard output."""
    return tables.Clock(queue.now(), on_terminal(), queue.wait_context())


@click.command(
    "list",
    cls=Command,
    epilog="""
    queuectl list --state pending,failed
    queuectl list --queue imports --limit 20 --newest
    queuectl list --text backup --since yesterday --exit-code 75
    queuectl list --state dead --json
    queuectl list --deliveries
    """,
)
@filter_options("Only these states.", careful=False)
@page_options
@pass_session
def list_jobs(session: Session, /, **options: Any) -> None:
    """List jobs in order of arrival, dead ones included."""
    queue = session.reading()
    chosen = filter_of(options, queue.now())
    columns = job_columns
    if chosen.deliveries:
        from queuectl.presentation.hook_columns import (
            delivery_columns as columns,  # which few ask for
        )
    if write_page(session, chosen, columns, options):
        _tell_of_nothing(session, chosen, options["after"])


def _tell_of_nothing(session: Session, chosen: Filter, after: str | None) -> None:
    if after is not None:
        print_hint(f"no more jobs after '{after}'")
    elif chosen.deliveries:
        session.hint("no such deliveries: queuectl hook list shows the hooks")
    elif chosen == Filter() or not session.reading().counts().total:
        session.hint('no jobs yet: queuectl enqueue hello "echo Hello"')
    else:
        print_hint("no such jobs: queuectl status counts those there are")


@click.command(cls=Command, epilog="queuectl show job1")
@click.argument("job_id", metavar="ID", type=JobId())
@json_option
@pass_session
def show(session: Session, job_id: str, as_json: bool) -> None:
    """Show everything about one job, with every attempt."""
    show_job(session, job_id, as_json=as_json)


def show_job(session: Session, job_id: str, *, as_json: bool, only: State | None = None) -> None:
    """Write one job, which must be in the state `only` where that is given."""
    queue = session.reading()
    job = queue.get(job_id)
    if only and job.state is not only:
        raise Conflict(f"job '{job.id}' is {job.state}, not {only}", hint=f"queuectl show {job.id}")
    if as_json:
        tables.write_json(as_dict(job, queue.now(), queue.wait_context()))
        return
    from queuectl.presentation.job_details import write_details

    write_details(job, clock_of(queue), colors=session.colors)
    if job.outcome and (job.outcome.stdout or job.outcome.stderr):
        more = ", --attempt N that of an earlier run" if job.runs > 1 else ""
        print_hint(f"queuectl logs {job.id} shows all of the output{more}")
