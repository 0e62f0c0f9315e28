"""Listing jobs, page by page, and looking at one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from queuectl.cli.completions import JobId
from queuectl.cli.filters import filter_of, filter_options
from queuectl.cli.root import Command, examples, json_option, with_options
from queuectl.cli.session import Session, pass_session
from queuectl.domain.errors import Conflict
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.views import as_dict
from queuectl.presentation import tables
from queuectl.presentation.columns import job_columns
from queuectl.presentation.console import on_terminal, print_hint
from queuectl.queue import Queue

TEXT_LIMIT = 100
"""How many jobs text shows unless said."""

page_options = with_options(
    click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N; 0 is all."),
    click.option("--after", type=JobId(), metavar="ID", help="Those after this one in the order."),
    click.option("--newest", is_flag=True, help="The latest that came first."),
    json_option,
)
"""Gives a command the options that say which page of a listing is wanted, and how."""


def clock_of(queue: Queue) -> tables.Clock:
    """Return how times are written on this standard output."""
    return tables.Clock(queue.now(), on_terminal(), queue.wait_context())


def jobs_as_dicts(queue: Queue, jobs: Iterable[Job]) -> Iterator[dict[str, Any]]:
    """Yield jobs with all of their fields, as JSON has them."""
    wait_context = queue.wait_context()
    return (as_dict(job, queue.now(), wait_context) for job in jobs)


def write_page(
    session: Session,
    chosen: Filter,
    columns: Callable[[tables.Clock], list[tables.Column[Job]]],
    options: dict[str, Any],
) -> bool:
    """Write the page that the options mean, as a table or as JSON; tell whether it is empty.

    Raises NotFound when the job after which it begins is gone.
    """
    queue, limit = session.reading(), options["limit"]
    after = queue.get(options["after"]).seq if options["after"] else 0
    if options["as_json"]:
        array = tables.JsonArray()
        page = Page(limit or None, after, options["newest"], True, True)
        for job in jobs_as_dicts(queue, _found(queue, chosen, page)):
            array.add(job)
        array.close()
        return False
    limit = TEXT_LIMIT if limit is None else limit
    rows = _Rows(queue, chosen, Page(limit or None, after, options["newest"]))
    count = tables.table(rows, columns(clock_of(queue)), colors=session.colors)
    if rows.last is not None:
        total = queue.counts(deliveries=bool(chosen.deliveries)).matching(chosen)
        kind = "deliveries" if chosen.deliveries else "jobs"
        if total is None:
            what = f"{count:,} {kind}, and there are more"
        else:
            what = f"{count} of {total:,} {kind}"
        print_hint(f"{what}: --after {rows.last.id} shows the next, --limit 0 all")
    return not count


def _found(queue: Queue, chosen: Filter, page: Page) -> Iterator[Job]:
    """Return the jobs of a page; while they are searched for, a person sees that."""
    jobs = queue.find(chosen, page)
    if not (chosen.is_search and sys.stderr.isatty()):
        return jobs
    from queuectl.cli.progress import while_slow

    return while_slow(jobs, f"looking through {queue.counts().total:,} jobs")


class _Rows:
    """The jobs of a page; afterwards `last` is the last of them if there are more."""

    def __init__(self, queue: Queue, chosen: Filter, page: Page) -> None:
        self._jobs = _found(queue, chosen, replace(page, limit=page.limit and page.limit + 1))
        self._limit = page.limit
        self.last: Job | None = None

    def __iter__(self) -> Iterator[Job]:
        latest = None
        for number, job in enumerate(self._jobs):
            if number == self._limit:
                self.last = latest
                return
            yield job
            latest = job


@examples("""
    queuectl list --state pending,failed
    queuectl list --queue imports --limit 20 --newest
    queuectl list --text backup --since yesterday --exit-code 75
    queuectl list --state dead --json
    queuectl list --deliveries
""")
@click.command("list", cls=Command)
@filter_options("Only these states.", careful=False)
@page_options
@pass_session
def list_jobs(session: Session, /, **options: Any) -> None:
    """List jobs in order of arrival, dead ones included."""
    queue = session.reading()
    chosen = filter_of(options, queue.now())
    columns = job_columns
    if chosen.deliveries:
        from queuectl.presentation.named_columns import (
            delivery_columns as columns,  # which few ask for
        )
    if not write_page(session, chosen, columns, options):
        return
    if options["after"] is not None:
        print_hint(f"no more jobs after '{options['after']}'")
    elif chosen.deliveries:
        session.hint("no such deliveries: queuectl hook list shows the hooks")
    elif chosen == Filter() or not queue.counts().total:
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
