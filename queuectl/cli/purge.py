"""Deleting settled jobs by what they have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, TypeVar

import click

from queuectl.cli.params import QueueName, States
from queuectl.cli.progress import Progress
from queuectl.cli.session import Session, note, pass_session, say
from queuectl.cli.tree import Command
from queuectl.domain.durations import parse_duration
from queuectl.domain.errors import ExitCode, InvalidInput
from queuectl.domain.filters import Filter, parse_states
from queuectl.domain.job import SETTLED, State
from queuectl.domain.request import check_name
from queuectl.keeping import Purged

_F = TypeVar("_F", bound=Callable[..., Any])

UNNAMED = frozenset({State.COMPLETED, State.CANCELLED})
"""What `purge` deletes when no state is named: the DLQ is there to be looked at."""

_OPTIONS = (
    click.option(
        "--older-than", metavar="TIME", help="Only what ended longer ago: 12h, 7d, 2 weeks."
    ),
    click.option(
        "--queue", "queue_name", type=QueueName(), metavar="NAME", help="Only this queue."
    ),
    click.option("--label", multiple=True, metavar="LABEL", help="Only with this label (repeat)."),
    click.option("--dry-run", is_flag=True, help="Only tell how many there are."),
    click.option("--yes", "-y", is_flag=True, help="Ask no question."),
)


def _purge_options(function: _F) -> _F:
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), function)


@click.command(
    cls=Command,
    epilog="""
    queuectl purge --older-than 7d
    queuectl purge --state completed --queue imports --dry-run
    """,
)
@click.option(
    "--state", type=States(), metavar="STATE,...", help="Which; completed,cancelled unless said."
)
@_purge_options
@pass_session
def purge(session: Session, /, state: str | None, **options: Any) -> int:
    """Delete settled jobs that nobody needs any more, with their logs."""
    return _purge(session, _settled(state) if state is not None else UNNAMED, **options)


@click.command(
    "purge",
    cls=Command,
    epilog="""
    queuectl dlq purge --older-than 30d
    queuectl dlq purge --yes
    """,
)
@_purge_options
@pass_session
def purge_dead(session: Session, /, **options: Any) -> int:
    """Delete dead jobs, with their logs."""
    return _purge(session, frozenset({State.DEAD}), **options)


def _settled(words: str) -> frozenset[State]:
    states = parse_states(words)
    if unsettled := sorted(states - SETTLED):
        raise InvalidInput(
            f"{unsettled[0]} jobs cannot be purged",
            hint="queuectl cancel stops jobs, and purge deletes completed, cancelled, dead ones",
        )
    return states


def _purge(
    session: Session,
    states: frozenset[State],
    *,
    older_than: str | None,
    queue_name: str | None,
    label: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> int:
    age = parse_duration(older_than, "--older-than") if older_than is not None else None
    name = check_name("queue", queue_name) if queue_name is not None else None
    queue = session.queue()
    chosen = Filter(states, name, label, _before(queue.now(), age))
    is_asked = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    if dry_run or is_asked:
        count = queue.count(chosen)
        what = f"{count:,} {_words(states)} job(s)"
        if dry_run:
            say(f"Would delete {what}")
            return ExitCode.OK
        if count and not click.confirm(f"Delete {what} with their logs?", err=True):
            note("nothing was deleted")
            return ExitCode.FAILED
    done = Purged()
    with Progress() as progress:
        for done in queue.purge(chosen):
            progress.show(f"{done.deleted:,} jobs deleted")
    say(f"Deleted {done.deleted:,} job(s)")
    if done.kept:
        note(f"{done.kept:,} kept: other jobs wait for them, or somebody changed them just now")
    return ExitCode.OK


def _before(now: datetime, age: float | None) -> datetime | None:
    """Return the instant before which a job must have ended."""
    if age is None:
        return None
    try:
        return now - timedelta(seconds=age)
    except OverflowError:
        raise InvalidInput("--older-than reaches back too far") from None


def _words(states: frozenset[State]) -> str:
    return " or ".join(state.value for state in State if state in states)
