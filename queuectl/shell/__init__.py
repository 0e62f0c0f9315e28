"""`queuectl shell`: the prompt, or a script of commands."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from queuectl.cli.completions import PathName
from queuectl.cli.root import Command
from queuectl.cli.session import Session, pass_session

_FIRST_LOOK_SECONDS, _FIRST_LOOK_SECONDS_AT_SERVER = 1.0, 0.1
"""How long the start-up screen waits for what is in the store. A file answers at once, or late
because the machine is slow, and then a newcomer shall still be told what to type."""

_INTERVAL_SECONDS = 1.0
_END_SECONDS = 1.0
"""A store that does not answer is waited for no longer in the end."""


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
    from queuectl.domain.errors import InvalidInput
    from queuectl.system.home import working_directory

    if session.in_shell:
        raise InvalidInput("this is the shell already")
    inner = session.fork()
    inner.in_shell = True
    if file is None and sys.stdin.isatty():
        return _run_prompt(inner)
    from queuectl.shell.script import run_script

    if file is None:
        return run_script(sys.stdin, inner, keep_going=keep_going)
    try:
        with Path(file).open(encoding="utf-8", errors="surrogateescape") as lines:
            return run_script(lines, inner, keep_going=keep_going)
    except OSError as fault:
        working_directory(file)  # which may be gone
        raise InvalidInput(f"cannot read {file}: {fault.strerror}") from fault


def _run_prompt(session: Session) -> int:
    """Follow the store, which takes its time, while the prompt is loaded, which does too."""
    from queuectl.presentation.catalog import NAMES
    from queuectl.presentation.follower import Follower
    from queuectl.shell.followed_jobs import FollowedJobs
    from queuectl.shell.startup import HeldKeys, show
    from queuectl.system.store_url import is_mongo, sqlite_path

    location = session.location()
    is_far = is_mongo(location.store_url)
    follower = Follower(
        location,
        NAMES,  # the jobs are read when the prompt is there
        address="MongoDB" if is_far else str(sqlite_path(location.store_url)),
        interval=_INTERVAL_SECONDS,
    )
    followed = FollowedJobs(location)
    session.opener = followed.open
    follower.start()
    try:
        with contextlib.closing(HeldKeys()) as keys:
            longest = _FIRST_LOOK_SECONDS_AT_SERVER if is_far else _FIRST_LOOK_SECONDS
            show(follower.first(longest), colors=session.colors)
            keys.show()
            from queuectl.shell.prompt import Prompt

            return Prompt(session, follower, followed, keys.close).run()
    finally:
        follower.end()
        follower.join(_END_SECONDS)
