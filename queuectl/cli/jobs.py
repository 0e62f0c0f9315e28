"""Listing jobs, and looking at one."""

from __future__ import annotations

from typing import Any

import click

from queuectl.cli.completions import JobId, ListedWord
from queuectl.cli.filters import filter_of, filter_options
from queuectl.cli.listing import ListCommand, clock_of, page_options, write_page
from queuectl.cli.root import Command, examples, json_option
from queuectl.cli.session import Session, for_each, pass_session
from queuectl.domain.errors import Conflict, NotFound, nearest
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, State
from queuectl.domain.query import STATE_WORDS, Filter, parse_states
from queuectl.domain.text import counted
from queuectl.domain.views import as_dict
from queuectl.presentation import tables
from queuectl.presentation.columns import job_columns
from queuectl.presentation.console import print_hint
from queuectl.queue import Queue
from queuectl.queue.read import ALL


@examples("""
    queuectl list failed,dead
    queuectl list -q imports --sort priority -n 20
    queuectl list --text backup --since yesterday --exit-code 75
    queuectl list -s dead --json
    queuectl list -a --format '{id} {state} {exit_code}'
    queuectl list --deliveries
""")
@click.command("list", cls=ListCommand)
@click.argument("words", nargs=-1, metavar="[STATE | ID]...", type=ListedWord())
@filter_options("Only these states.", careful=False)
@page_options
@pass_session
def list_jobs(session: Session, /, words: tuple[str, ...], **options: Any) -> int:
    """List jobs: what runs, what runs next, what has ended.

    Off a terminal, and as JSON or CSV, they are in order of arrival unless --sort is given. What
    is longer than the screen goes through the pager (QUEUECTL_PAGER, PAGER, else less).
    """
    if ALL in words:
        words, options["every"] = tuple(word for word in words if word != ALL), True
    queue = session.reading()
    chosen = filter_of(options, queue)
    ids = [word for word in words if not _is_states(word)]
    for word in words:
        if word not in ids:
            chosen = replace(chosen, states=chosen.states | parse_states(word))
    named: list[Job] = []
    code = for_each(ids, lambda word: named.append(_named(queue, word)))
    columns = job_columns
    if chosen.deliveries:
        from queuectl.presentation.named_columns import (
            delivery_columns as columns,  # which few ask for
        )
    if ids and not named:
        return code
    if not write_page(session, chosen, columns, options, named if ids else None):
        return code
    if options["after"] is not None:
        print_hint(f"no more jobs after '{options['after']}'")
    elif chosen.deliveries:
        session.hint("no such deliveries: queuectl hook list shows the hooks")
    elif chosen == Filter() or not queue.counts().total:
        session.hint('no jobs yet: queuectl enqueue hello "echo Hello"')
    elif chosen.states == {State.FAILED} and (dead := queue.counts().of(State.DEAD)):
        print_hint(f"no job awaits a retry; dead: {counted(dead, 'job')} (queuectl list dead)")
    else:
        print_hint("no such jobs: queuectl status counts those there are")
    return code


def _is_states(word: str) -> bool:
    """Whether a word names states, and not a job."""
    return all(part.strip().lower() in STATE_WORDS for part in word.split(","))


def _named(queue: Queue, word: str) -> Job:
    """Return the job that a word names. Raises NotFound, with the line that may be meant."""
    try:
        return queue.get(word)
    except NotFound as fault:
        if word in queue.counts().by_queue:
            raise NotFound(str(fault), f"queuectl list -q {word} lists that queue") from None
        raise NotFound(f"{fault}{nearest(word, list(STATE_WORDS))}", fault.hint) from None


@examples("""
    queuectl show                                       (the latest job of this terminal)
    queuectl show job1
""")
@click.command(cls=Command)
@click.argument("job_id", metavar="[ID]", required=False, type=JobId())
@json_option
@pass_session
def show(session: Session, job_id: str | None, as_json: bool) -> None:
    """Show everything about one job, with every attempt."""
    if job_id is None:
        from queuectl.cli.latest import or_latest  # a listing has no use for it

        (job_id,) = or_latest(session, (), "name the job; at a terminal the latest needs no name")
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

    with session.paged():
        write_details(job, clock_of(queue), colors=session.colors)
    if job.outcome and (job.outcome.stdout or job.outcome.stderr):
        more = ", --attempt N that of an earlier run" if job.runs > 1 else ""
        print_hint(f"queuectl logs {job.id} shows all of the output{more}")
