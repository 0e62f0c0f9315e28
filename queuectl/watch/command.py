"""`queuectl watch`: the queue on a whole screen."""

from __future__ import annotations

import click

from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session


@click.command(
    cls=Command,
    epilog="""
    queuectl watch
    queuectl watch failed,dead
    queuectl watch queue=imports
    """,
)
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@pass_session
def watch(session: Session, words: tuple[str, ...]) -> int:
    """Watch counts, workers and jobs live; read logs, cancel, retry and delete."""
    from queuectl.watch import run_watch

    return run_watch(session, " ".join(words))
