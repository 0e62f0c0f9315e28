"""The dead letter queue: jobs that never succeeded."""

from __future__ import annotations

import click

from queuectl.cli import render
from queuectl.cli.chosen import RETRY, carry_out
from queuectl.cli.columns import dead_columns
from queuectl.cli.enqueue import hint_at_missing_workers
from queuectl.cli.jobs import TEXT_LIMIT, clock_of, json_option, show_job, write_json_list
from queuectl.cli.params import JobId
from queuectl.cli.purge import purge_dead
from queuectl.cli.session import Session, for_each, note, pass_session, say
from queuectl.cli.tree import Group
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.filters import Filter, Page
from queuectl.domain.job import State

_DEAD = Filter(states=frozenset({State.DEAD}))


@click.group(cls=Group, epilog="queuectl dlq list")
def dlq() -> None:
    """The dead letter queue: look at its jobs, retry or purge them."""


@dlq.command("list", epilog="queuectl dlq list --json")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N; 0 is all.")
@json_option
@pass_session
def list_dead(session: Session, limit: int | None, as_json: bool) -> None:
    """List the dead jobs with their last error."""
    queue = session.queue()
    if as_json:
        write_json_list(queue, _DEAD, limit)
        return
    limit = TEXT_LIMIT if limit is None else limit
    found = queue.find(_DEAD, Page(limit=limit or None))
    shown = render.table(found, dead_columns(clock_of(queue)), colors=session.colors)
    if not shown:
        note("the dead letter queue is empty: queuectl list shows all jobs")
    elif shown == limit and (total := queue.counts().of(State.DEAD)) > shown:
        note(f"{shown} of {total:,} jobs: --limit 0 shows all")


@dlq.command("show", epilog="queuectl dlq show job1")
@click.argument("job_id", metavar="ID", type=JobId(State.DEAD))
@json_option
@pass_session
def show_dead(session: Session, job_id: str, as_json: bool) -> None:
    """Show everything about one dead job."""
    show_job(session, job_id, as_json=as_json, only=State.DEAD)


@dlq.command(
    "retry",
    epilog="""
    queuectl dlq retry job1 job2
    queuectl dlq retry --all
    """,
)
@click.argument("ids", nargs=-1, metavar="[ID]...", type=JobId(State.DEAD))
@click.option("--all", "every", is_flag=True, help="Every dead job.")
@pass_session
def retry_dead(session: Session, ids: tuple[str, ...], every: bool) -> int:
    """Put dead jobs back to pending with all of their attempts."""
    if every == bool(ids):
        raise InvalidInput("name the jobs, or --all", hint="queuectl dlq list shows them")
    queue = session.queue()

    def act(word: str) -> None:
        say(f"Job '{queue.retry_dead(queue.resolve(word)).id}' is pending again")

    if not every:
        code = for_each(ids, act)
    elif queue.counts().of(State.DEAD):
        code = carry_out(queue, RETRY, _DEAD)
    else:
        note("the dead letter queue is empty: nothing to retry")
        return ExitCode.OK
    hint_at_missing_workers(queue)
    return code


dlq.add_command(purge_dead)
