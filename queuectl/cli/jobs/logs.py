"""The output of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click

from queuectl.cli.jobs.follow import STREAMS, Choice, ending, follow, prefixes, print_run
from queuectl.cli.jobs.show import ids_argument
from queuectl.cli.root import Command
from queuectl.cli.session import Session, for_each, pass_session, print_error, print_hint
from queuectl.domain.errors import InvalidInput, NotFound, QueuectlError
from queuectl.domain.views import exit_code


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
        return _follow_each(session, ids, Choice(streams, lines))
    choice = Choice(streams, lines)
    if len(ids) > 1:
        choice = replace(choice, prefixes=prefixes(ids, colors=session.colors))

    def act(word: str) -> None:
        job = queue.get(word)
        if not job.runs:
            print_hint(f"job '{job.id}' has not run yet")
            return
        if attempt is not None and attempt > job.runs:
            raise NotFound(f"job '{job.id}' has no run {attempt}: there are {job.runs}")
        print_run(queue, job, attempt or job.runs, choice)

    return for_each(ids, act)


def _follow_each(session: Session, ids: Sequence[str], choice: Choice) -> int:
    """Follow jobs; return the exit code of the first that cannot be followed to its end.

    Without such, that of the job where there is one alone, else 0.
    """
    queue, found = session.reading(), list[str]()
    code = for_each(ids, lambda word: found.append(queue.resolve(word)))
    named = list(dict.fromkeys(found))
    is_alone = len(named) == 1 and not code
    if not is_alone:
        choice = replace(choice, prefixes=prefixes(named, colors=session.colors))

    def refuse(refusal: QueuectlError) -> None:
        nonlocal code
        print_error(refusal)
        code = code or refusal.exit_code

    settled = follow(queue, named, choice, lambda job: print_hint(ending(job)), refuse)
    return exit_code(settled[0]) if is_alone and settled else code
