"""The output of jobs."""

from __future__ import annotations

import click

from queuectl.cli.follow import STREAMS, Choice, ending, follow, prefixes, print_run
from queuectl.cli.jobs import ids_argument
from queuectl.cli.session import Session, for_each, note, pass_session
from queuectl.cli.tree import Command
from queuectl.domain.errors import ExitCode, InvalidInput, NotFound
from queuectl.domain.view import exit_code


@click.command(
    cls=Command,
    epilog="""
    queuectl logs job1
    queuectl logs job1 --attempt 2 --stderr
    queuectl logs -f job1 job2
    """,
)
@ids_argument()
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of run N, not the last.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="LINES", help="The last lines.")
@click.option("-f", "--follow", "live", is_flag=True, help="Go on until the job is settled.")
@click.option("--stderr", "only", flag_value="stderr", help="Standard error alone.")
@click.option("--stdout", "only", flag_value="stdout", help="Standard output alone.")
@pass_session
def logs(
    session: Session,
    ids: tuple[str, ...],
    attempt: int | None,
    lines: int | None,
    live: bool,
    only: str | None,
) -> int:
    """Show the output of jobs; of several, each line begins with its job's id."""
    if live and attempt is not None:
        raise InvalidInput("--attempt is over and cannot be followed", hint="leave out -f")
    queue = session.reading()
    streams = (only,) if only else STREAMS
    if live:
        named = list(dict.fromkeys(queue.resolve(word) for word in ids))
        choice = Choice(streams, lines, prefixes(named, colors=session.colors))
        found = follow(queue, named, choice, lambda job: note(ending(job)))
        return exit_code(found[0]) if len(named) == 1 else ExitCode.OK
    choice = Choice(streams, lines, prefixes(ids, colors=session.colors))

    def act(word: str) -> None:
        job = queue.get(word)
        if not job.runs:
            note(f"job '{job.id}' has not run yet")
            return
        if attempt is not None and attempt > job.runs:
            raise NotFound(f"job '{job.id}' has no run {attempt}: there are {job.runs}")
        print_run(queue, job, attempt or job.runs, choice)

    return for_each(ids, act)
