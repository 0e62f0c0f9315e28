"""Deleting settled jobs by what they have in common."""

from __future__ import annotations

from typing import Any

import click

from queuectl.cli.filters import filter_of, filter_options, is_to_be_asked
from queuectl.cli.progress import Progress
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session, print_hint, print_line
from queuectl.domain.errors import ExitCode, InvalidInput, NothingDone
from queuectl.domain.job import SETTLED, State
from queuectl.queue.purge import Purged

UNNAMED = frozenset({State.COMPLETED, State.CANCELLED})
"""What `purge` deletes when no state is named: the DLQ is there to be looked at."""


@click.command(
    cls=Command,
    epilog="""
    queuectl purge --older-than 7d
    queuectl purge --state completed --queue imports --dry-run
    """,
)
@filter_options("In these states; completed,cancelled unless said.")
@pass_session
def purge(session: Session, /, **options: Any) -> int:
    """Delete settled jobs that nobody needs any more, with their logs."""
    return _purge(session, UNNAMED, options)


@click.command(
    "purge",
    cls=Command,
    epilog="""
    queuectl dlq purge --older-than 30d
    queuectl dlq purge --yes
    """,
)
@filter_options(states=None)
@pass_session
def purge_dead(session: Session, /, **options: Any) -> int:
    """Delete dead jobs, with their logs."""
    return _purge(session, frozenset({State.DEAD}), options)


def _purge(session: Session, unless_said: frozenset[State], options: dict[str, Any]) -> int:
    queue = session.reading(frees_room=True)
    chosen = filter_of(options, queue.now(), unless_said)
    _refuse_unsettled(chosen.states)
    is_dry = options["dry_run"]
    if is_dry or is_to_be_asked(options):
        count = queue.count(chosen)
        what = f"{count:,} {_words(chosen.states)} job(s)"
        if is_dry:
            print_line(f"Would delete {what}")
            return ExitCode.OK
        if count and not click.confirm(f"Delete {what} with their logs?", err=True):
            raise NothingDone("nothing was deleted")
    done = Purged()
    with Progress() as progress:
        for done in queue.purge(chosen):
            progress.show(f"{done.deleted:,} jobs deleted")
    print_line(f"Deleted {done.deleted:,} job(s)")
    if done.kept:
        print_hint(
            f"{done.kept:,} kept: jobs or schedules still need them, or they have just changed"
        )
    return ExitCode.OK


def _refuse_unsettled(states: frozenset[State]) -> None:
    if unsettled := sorted(states - SETTLED):
        raise InvalidInput(
            f"{unsettled[0]} jobs cannot be purged",
            hint="queuectl cancel stops jobs, and purge deletes completed, cancelled, dead ones",
        )


def _words(states: frozenset[State]) -> str:
    return " or ".join(state.value for state in State if state in states)
