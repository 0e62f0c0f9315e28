"""`queuectl watch`: the queue on a whole screen, as it changes."""

from __future__ import annotations

import sys

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
def watch(session: Session, words: tuple[str, ...]) -> None:
    """Watch counts, workers and jobs live; read logs, cancel, retry and delete."""
    from queuectl.domain.errors import InvalidInput

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("watch needs a terminal", hint="queuectl status --json is for programs")
    # A store that cannot be used is refused before the screen is taken.
    address = session.reading().address
    session.close()
    from queuectl.watch.app import Watch

    Watch(session.location(), address, " ".join(words), colors=session.colors).run()
