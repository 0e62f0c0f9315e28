"""Plain commands, one a line, as xargs, parallel and simple schedulers read them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from queuectl.transfer.foreign.entry import Context, Entry, numbered_lines, stem_of

_FOR_ITSELF = re.compile(
    r"(?:cd|export|source|\.|set|unset|ulimit|umask|wait|module|conda\s+(?:de)?activate)(?:\s|$)"
)
"""What says nothing to the lines below, as each one is a job of its own."""

_ENDS = {"for": "done", "while": "done", "until": "done", "if": "fi", "case": "esac", "{": "}"}
_INSIDE = frozenset("do done then else elif fi esac }".split())
_ASSIGNMENTS = re.compile(r"""(?:[A-Za-z_]\w*=(?:[^\s"';&|]|"[^"]*"|'[^']*')*\s*)+""")
_BEHIND = re.compile(r"(?<![&>\\])&\s*$")


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield a job for each line that is neither blank nor a comment."""
    for number, line in numbered_lines(data):
        command = line.strip()
        if not command or command.startswith("#"):
            continue
        entry = Entry(number, command, identity=command, name=stem_of(command))
        yield _read(entry, command, context)


def _read(entry: Entry, command: str, context: Context) -> Entry:
    from queuectl.domain.frozen import replace

    why = _why_none(command)
    if why:
        return replace(entry, refused=why)
    return replace(entry, fields={"command": command, "cwd": context.cwd})


def _why_none(command: str) -> str:
    """Return why a line is no command by itself; empty if it is one."""
    backslashes = len(command) - len(command.rstrip("\\"))
    if backslashes % 2:
        return "it goes on in the next line: write it as one line"
    first = command.split()[0]
    is_open = first in _ENDS and _ENDS[first] not in command.rpartition(";")[2]
    if first in _INSIDE or is_open:
        return f"'{first}' is a part of several lines: write them as one"
    if _BEHIND.search(command):
        return "with & at its end it would run behind the queue's back: write it without"
    is_alone = _FOR_ITSELF.match(command) and not any(mark in command for mark in ";&|")
    if is_alone or _ASSIGNMENTS.fullmatch(command):
        shown = "a variable" if _ASSIGNMENTS.fullmatch(command) else f"'{first}'"
        why = f"{shown} alone means nothing to the other lines, which are jobs of their own"
        return f"{why}: write it before each command, with &&"
    return ""
