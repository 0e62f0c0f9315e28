"""`queuectl watch`: the queue on a whole screen, as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.cli.session import Session


def run_watch(session: Session, typed: str = "") -> int:
    """Show the queue until the user leaves; `typed` is a first filter. Returns the exit code.

    Raises InvalidInput away from a terminal, and what opening the store raises.
    """
    import sys

    from queuectl.domain.errors import ExitCode, InvalidInput

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("watch needs a terminal", hint="queuectl status --json is for programs")
    session.reading()  # a store that cannot be used is refused before the screen is taken
    session.close()
    from queuectl.watch.app import Watch

    Watch(session.location(), typed, colors=session.colors).run()
    return ExitCode.OK
