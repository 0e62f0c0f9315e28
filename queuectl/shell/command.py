"""`queuectl shell`: the prompt, or a script of commands."""

from __future__ import annotations

import click

from queuectl.cli.completions import PathName
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session


@click.command(
    cls=Command,
    epilog="""
    queuectl shell
    queuectl shell nightly.queuectl
    printf 'status\\nlist\\n' | queuectl
    """,
)
@click.argument("file", required=False, type=PathName())
@click.option("--keep-going", is_flag=True, help="Go on after a command that fails.")
@pass_session
def shell(session: Session, file: str | None, keep_going: bool) -> int:
    """Open the prompt, or run a file of commands, one a line."""
    from queuectl.shell import run_shell

    return run_shell(session, file=file, keep_going=keep_going)
