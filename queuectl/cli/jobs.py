"""Listing jobs, and looking at one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from queuectl.cli import render
from queuectl.cli.columns import job_columns
from queuectl.cli.params import JobId, QueueName, States
from queuectl.cli.session import Session, note, on_terminal, pass_session
from queuectl.cli.tree import Command
from queuectl.domain.errors import Conflict
from queuectl.domain.filters import Filter, Page, parse_states
from queuectl.domain.job import State
from queuectl.domain.request import check_name
from queuectl.domain.view import as_dict
from queuectl.queue import Queue

TEXT_LIMIT = 100
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")

_F = TypeVar("_F", bound=Callable[..., Any])


def ids_argument(*states: State, required: bool = True) -> Callable[[_F], _F]:
    """Give a command the ids of jobs, for which those in `states` (any, if none) are offered."""
    metavar = "ID..." if required else "[ID]..."
    return click.argument("ids", nargs=-1, required=required, metavar=metavar, type=JobId(*states))


def clock_of(queue: Queue) -> render.Clock:
    """Return how times are written on this standard output."""
    return render.Clock(queue.now(), on_terminal(), queue.surroundings())


@click.command(
    "list",
    cls=Command,
    epilog="""
    queuectl list --state pending,failed
    queuectl list --queue imports --limit 20
    queuectl list --state dead --json
    """,
)
@click.option("--state", type=States(), metavar="STATE,...", help="Only these states.")
@click.option("--queue", "queue_name", type=QueueName(), metavar="NAME", help="Only this queue.")
@click.option("--label", multiple=True, metavar="LABEL", help="Only with this label (repeat).")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N; 0 is all.")
@json_option
@pass_session
def list_jobs(
    session: Session,
    state: str | None,
    queue_name: str | None,
    label: tuple[str, ...],
    limit: int | None,
    as_json: bool,
) -> None:
    """List jobs in order of arrival, dead ones included."""
    chosen = Filter(
        states=parse_states(state) if state is not None else frozenset(),
        queue=check_name("queue", queue_name) if queue_name is not None else None,
        labels=label,
    )
    queue = session.queue()
    if as_json:
        write_json_list(queue, chosen, limit)
        return
    if limit is None:
        limit = TEXT_LIMIT
    clock = clock_of(queue)
    found = queue.find(chosen, Page(limit=limit or None))
    shown = render.table(found, job_columns(clock), colors=session.colors)
    if not shown:
        _tell_of_nothing(queue, chosen)
    elif shown == limit:
        _tell_what_was_cut(queue, chosen, shown)


def write_json_list(queue: Queue, chosen: Filter, limit: int | None = None) -> None:
    """Write the jobs as one JSON array, with all of their fields."""
    array, around = render.JsonArray(), queue.surroundings()
    for job in queue.find(chosen, Page(limit=limit or None, with_output=True, with_history=True)):
        array.add(as_dict(job, queue.now(), around))
    array.close()


def _tell_of_nothing(queue: Queue, chosen: Filter) -> None:
    if chosen == Filter() or not queue.counts().total:
        note('no jobs yet: queuectl enqueue hello "echo Hello"')
    else:
        note("no such jobs: queuectl status counts those there are")


def _tell_what_was_cut(queue: Queue, chosen: Filter, shown: int) -> None:
    total = queue.counts().matching(chosen)
    if total is None:
        note(f"the first {shown}: --limit 0 shows all")
    elif total > shown:
        note(f"{shown} of {total:,} jobs: --limit 0 shows all")


@click.command(cls=Command, epilog="queuectl show job1")
@click.argument("job_id", metavar="ID", type=JobId())
@json_option
@pass_session
def show(session: Session, job_id: str, as_json: bool) -> None:
    """Show everything about one job, with every attempt."""
    show_job(session, job_id, as_json=as_json)


def show_job(session: Session, job_id: str, *, as_json: bool, only: State | None = None) -> None:
    """Write one job, which must be in the state `only` where that is given."""
    queue = session.queue()
    job = queue.get(job_id)
    if only and job.state is not only:
        raise Conflict(f"job '{job.id}' is {job.state}, not {only}", hint=f"queuectl show {job.id}")
    if as_json:
        render.write_json(as_dict(job, queue.now(), queue.surroundings()))
        return
    from queuectl.cli.details import write_details

    write_details(job, clock_of(queue), colors=session.colors)
    if job.outcome and (job.outcome.stdout or job.outcome.stderr):
        note(f"queuectl logs {job.id} shows all of the output")
