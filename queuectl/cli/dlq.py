"""The dead letter queue: jobs that never succeeded."""

from __future__ import annotations

from typing import Any

import click

from queuectl.cli.bulk import RETRY, carry_out, do_one, purge_all
from queuectl.cli.completions import JobId
from queuectl.cli.filters import filter_of, filter_options
from queuectl.cli.jobs import show_job
from queuectl.cli.listing import ListCommand, page_options, write_page
from queuectl.cli.root import Group, examples, json_option
from queuectl.cli.session import Session, for_each, hint_at_missing_workers, pass_session
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.frozen import replace
from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.presentation.columns import dead_columns
from queuectl.presentation.console import print_hint

_DEAD = Filter(states=frozenset({State.DEAD}))
_RETRY_DEAD = replace(RETRY, act=lambda queue, job_id: queue.retry_dead(job_id))


@click.group(cls=Group, epilog="queuectl dlq list")
def dlq() -> None:
    """The dead letter queue: look at its jobs, retry or purge them."""


@examples("""
    queuectl dlq list --newest
    queuectl dlq list --text timeout --since 2d
    queuectl dlq list --json
""")
@dlq.command("list", cls=ListCommand)
@filter_options(states=None, careful=False)
@page_options
@pass_session
def list_dead(session: Session, /, **options: Any) -> None:
    """List the dead jobs with their last error."""
    queue = session.reading()
    chosen = filter_of(options, queue, _DEAD.states)
    if not write_page(session, chosen, dead_columns, options):
        return
    if options["after"] is not None:
        print_hint(f"no more dead jobs after '{options['after']}'")
    elif chosen.deliveries:
        session.hint("no such dead deliveries: queuectl list --deliveries shows all")
    elif queue.counts().of(State.DEAD):
        print_hint("no such dead jobs: queuectl dlq list shows all")
    else:
        session.hint("the dead letter queue is empty: queuectl list shows all jobs")


@dlq.command("show", epilog="queuectl dlq show job1")
@click.argument("job_id", metavar="ID", type=JobId(State.DEAD))
@json_option
@pass_session
def show_dead(session: Session, job_id: str, as_json: bool) -> None:
    """Show everything about one dead job."""
    show_job(session, job_id, as_json=as_json, only=State.DEAD)


@examples("""
    queuectl dlq retry job1 job2
    queuectl dlq retry --all
    queuectl dlq retry --all --deliveries
""")
@dlq.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...", type=JobId(State.DEAD))
@click.option("--all", "-a", "every", is_flag=True, help="Retry every dead job.")
@click.option("--deliveries", is_flag=True, help="With --all: what hooks could not tell, instead.")
@pass_session
def retry_dead(session: Session, ids: tuple[str, ...], every: bool, deliveries: bool) -> int:
    """Put dead jobs back to pending with all of their attempts."""
    if every == bool(ids):
        raise InvalidInput("name the jobs, or --all", hint="queuectl dlq list shows them")
    queue = session.reading()
    if not every:
        code = for_each(ids, lambda word: do_one(queue, _RETRY_DEAD, word))
    elif queue.counts(deliveries=deliveries).of(State.DEAD):
        code = carry_out(queue, RETRY, replace(_DEAD, deliveries=deliveries))
    else:
        what = "no delivery is dead" if deliveries else "the dead letter queue is empty"
        session.hint(f"{what}: nothing to retry")
        return ExitCode.OK
    hint_at_missing_workers(queue)
    return code


@examples("""
    queuectl dlq purge --older-than 30d --yes
    queuectl dlq purge
""")
@dlq.command("purge")
@filter_options(states=None)
@pass_session
def purge_dead(session: Session, /, **options: Any) -> int:
    """Delete dead jobs, with their logs."""
    return purge_all(session, _DEAD.states, options)
