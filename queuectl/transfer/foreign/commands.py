"""Plain commands, one a line, as xargs, parallel and simple schedulers read them."""

from __future__ import annotations

from collections.abc import Iterator

from queuectl.transfer.foreign.entry import Context, Entry, numbered_lines, stem_of

_FOR_ITSELF = ("cd", "export", "source", ".", "set", "module", "conda")
"""What says nothing to the lines below, as each one is a job of its own."""


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

    backslashes = len(command) - len(command.rstrip("\\"))
    if backslashes % 2:
        return replace(entry, refused="it goes on in the next line: write it as one line")
    words = command.split()
    if words[0] in _FOR_ITSELF and not any(mark in command for mark in ";&|"):
        why = f"'{words[0]}' alone means nothing to the other lines, which are jobs of their own"
        return replace(entry, refused=f"{why}: write it before each command, with &&")
    return replace(entry, fields={"command": command, "cwd": context.cwd})
