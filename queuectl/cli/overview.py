"""The page of `--help`, of `help` at the prompt and of the manual: all commands in a few groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from textwrap import wrap

FIRST_LINES = (
    ('queuectl enqueue "echo Hello"', "put a command into the queue"),
    ("queuectl worker start", "start a worker, which runs what is in it"),
)
"""The two lines that one needs first, and what they do."""

_BEGINNING = (
    "Usage: queuectl [OPTIONS] [COMMAND] [ARGUMENT]...",
    "The job queue for shell commands. Without a command it opens the prompt.",
)
_END = (
    "queuectl help COMMAND explains one, queuectl help --all lists them all.",
    "Options of every command: --home DIR, --store URL, --no-color, -v, -h.",
)
_INDENT = "  "


def page(groups: Mapping[str, str], room: int) -> str:
    """Return the page for a terminal of so many columns; it fits a screen of 24 rows by 80."""
    beginning, end = ([row for text in texts for row in wrap(text, room)]
                      for texts in (_BEGINNING, _END))  # fmt: skip
    rows = [*_beside(FIRST_LINES, room), "", *_beside(groups.items(), room)]
    return "\n".join([*beginning, "", *rows, *end])


def names_in(words: str) -> list[str]:
    """Return the commands among the words of a group, without those of their own in brackets."""
    return re.sub(r"\([^)]*\)", "", words).split()


def _beside(rows: Iterable[tuple[str, str]], room: int) -> list[str]:
    """Return names with a text beside each, or below it where there is little room."""
    pairs = list(rows)
    column = max(len(name) for name, _ in pairs) + len(_INDENT)
    lines: list[str] = []
    for name, text in pairs:
        rest = room - len(_INDENT) - column
        if rest < len(text) and rest < room // 2:
            lines += [
                f"{_INDENT}{name}",
                *(f"{_INDENT * 2}{part}" for part in wrap(text, room - 4)),
            ]
            continue
        first, *others = wrap(text, rest)
        lines.append(f"{_INDENT}{name:<{column}}{first}")
        lines += [f"{_INDENT}{'':<{column}}{other}" for other in others]
    return lines
