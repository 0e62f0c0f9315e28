"""The shell: the commands of the command line at a prompt, or one a line from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.cli.session import Session
    from queuectl.queue import Queue
    from queuectl.system.home import Location


_FIRST_LOOK_SECONDS, _FIRST_LOOK_SECONDS_AT_SERVER = 1.0, 0.1
"""How long the start-up screen waits for what is in the store. A file answers at once, or late
because the machine is slow, and then a newcomer shall still be told what to type."""


def run_shell(session: Session, *, file: str | None = None, keep_going: bool = False) -> int:
    """Run a file of commands, standard input where it is no terminal, or the prompt.

    Returns the exit code. Raises InvalidInput when the file cannot be read or in a shell.
    """
    from queuectl.domain.errors import InvalidInput
    from queuectl.system.home import working_directory

    if session.in_shell:
        raise InvalidInput("this is the shell already")
    inner = session.fork()
    inner.in_shell = True
    if file is None and sys.stdin.isatty():
        return _run_prompt(inner)
    from queuectl.shell.script import run_script

    if file is not None:
        try:
            with Path(file).open(encoding="utf-8", errors="surrogateescape") as lines:
                return run_script(lines, inner, keep_going=keep_going)
        except OSError as fault:
            working_directory(file)  # which may be gone
            raise InvalidInput(f"cannot read {file}: {fault.strerror}") from fault
    return run_script(sys.stdin, inner, keep_going=keep_going)


def _run_prompt(session: Session) -> int:
    """Follow the store, which takes its time, while the prompt is loaded, which does too."""
    from queuectl.queue import Queue
    from queuectl.shell.followed_jobs import Followed, open_followed
    from queuectl.shell.snapshot import Live
    from queuectl.shell.startup import HeldKeys, show
    from queuectl.system.store_url import is_mongo

    place = session.location()
    followed = Followed()
    live = Live(place, followed)

    def opener(meant: Location, make: bool) -> Queue:
        if meant == place:
            return open_followed(meant, followed, make=make)
        return Queue.open(meant) if make else Queue.look(meant)

    session.opener = opener
    live.start()
    try:
        with HeldKeys() as keys:
            is_far = is_mongo(place.store_url)
            longest = _FIRST_LOOK_SECONDS_AT_SERVER if is_far else _FIRST_LOOK_SECONDS
            show(live.wait_for_first(longest), colors=session.colors)
            keys.show()
            from queuectl.shell.prompt import Prompt

            return Prompt(session, live, followed, keys.let_go).run()
    finally:
        live.stop()
