"""How messages read at the prompt: without the word `queuectl`, and broken between words alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import get_terminal_size

from queuectl.cli.root import COMMANDS
from queuectl.presentation import console
from queuectl.presentation.layout import width

_NAMES = "|".join(map(re.escape, COMMANDS))
_TO_TYPE = re.compile(rf"(?<![\w./-])(?<!\| )(?<!\$\()queuectl (?=(?:{_NAMES})\b)")
"""The program before one of its commands, where a line of the system's shell is not meant."""


@contextmanager
def as_at_prompt() -> Iterator[None]:
    """Let messages and help texts of the commands within read as they do at the prompt."""
    console.reword, console.wrap = without_program, wrapped
    try:
        yield
    finally:
        console.reword, console.wrap = str, str


def without_program(text: str) -> str:
    """Return a text whose commands are as one types them at the prompt."""
    text = text.removeprefix("queuectl: ").replace("queuectl --help", "help")
    return _TO_TYPE.sub("", text)


def wrapped(line: str) -> str:
    """Return a line broken between its words, to fit the terminal on standard error if any."""
    if not sys.stderr.isatty():
        return line
    room = get_terminal_size().columns
    rows = [""]
    for word in line.split(" "):
        longer = f"{rows[-1]} {word}" if rows[-1] else word
        if width(longer) <= room or not rows[-1]:
            rows[-1] = longer
        else:
            rows.append(word)
    return "\n".join(rows)
