"""The prompt on a terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory

from queuectl.cli.session import Session
from queuectl.domain.errors import ExitCode
from queuectl.domain.view import looks_secret
from queuectl.home import Home, open_private
from queuectl.shell.commands import Leave, run_line
from queuectl.shell.line import is_continued

PROMPT = "queuectl > "
_CONTINUED = "         > "
_WRITTEN_OUT = "fg:ansidefault"
"""A style that looks like none. Without a style the final blank of the prompt is a move of the
cursor, where programs that drive the shell (expect and the like) look for a blank."""

_PASSWORD_IN_ADDRESS = re.compile(r"://[^\s/@]*:[^\s@]+@")
_NAMED_VALUE = re.compile(r"([\w-]+)[\"']?\s*[=:]")


class PrivateHistory(FileHistory):
    """What was typed, in a file of mode 0600, without lines that hold a secret."""

    def __init__(self, home: Home) -> None:
        home.make()
        os.close(open_private(home.history_file, os.O_WRONLY | os.O_APPEND))
        super().__init__(str(home.history_file))

    def store_string(self, string: str) -> None:
        """Append a line, unless it looks as if it held a secret."""
        if not holds_secret(string):
            super().store_string(string)


def holds_secret(line: str) -> bool:
    """Whether a line has an address with a password, or sets a variable whose name tells."""
    if _PASSWORD_IN_ADDRESS.search(line):
        return True
    return any(looks_secret(found.group(1)) for found in _NAMED_VALUE.finditer(line))


def run_prompt(session: Session) -> int:
    """Read and run lines until the user leaves; return 0, whatever the commands ended with."""
    prompt: PromptSession[str] = PromptSession(history=PrivateHistory(session.place().home))

    def ask(text: str) -> str:
        return prompt.prompt([(_WRITTEN_OUT, text)])

    while True:
        try:
            run_line(read_command(ask), session)
        except KeyboardInterrupt:
            continue
        except (EOFError, Leave):
            return ExitCode.OK


def read_command(ask: Callable[[str], str]) -> str:
    """Ask for a line, and for more while it ends with a backslash."""
    line = ask(PROMPT)
    while is_continued(line):
        line = line[:-1] + ask(_CONTINUED)
    return line
