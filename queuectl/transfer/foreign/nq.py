"""nq's files (`,TIME.PID` in its directory): what waits there, by the line that each begins with.

nq writes `exec` and the quoted command, and two line feeds when it starts it: what waits has none.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.transfer.foreign.entry import ONE_ATTEMPT, QUEUE, Context, Entry, plain_name

_NAME = re.compile(r",[0-9a-f]+\.\d+")
_ENDED = re.compile(r"\n\[((?:exited with status|killed by signal) \d+)\.?\]\s*\Z")
_QUOTED = re.compile(r"(?:'[^']*'|\\.|[^'\\\n])*")
_FLAGS = re.compile(r"-[acq]+")
_QUEUE = "nq"


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield the jobs of a directory, in the order in which nq runs them, or the one of a file.

    Raises InvalidInput where there are none.
    """
    files = list(_files(data, context.path))
    if not files:
        raise InvalidInput("there are no files of nq (,TIME.PID, beginning with exec) in it")
    entries = [_entry(name, text, context) for name, text in files]
    if any(each.is_taken for each in entries):
        yield Entry(0, "one at a time", kind=QUEUE, name=_QUEUE, where="all", limit=1)
    yield from entries


def _files(data: bytes, path: Path | None) -> Iterator[tuple[str, bytes]]:
    if path is None or not path.is_dir():
        if data.startswith(b"exec "):
            yield path.name if path else "standard input", data
        return
    for each in sorted(path.iterdir()):
        if _NAME.fullmatch(each.name) and each.is_file():
            yield each.name, each.read_bytes()


def _entry(name: str, data: bytes, context: Context) -> Entry:
    # what a job has written may be anything, and its command not
    text = data.decode(errors="surrogateescape")
    found = _QUOTED.match(text)
    line = found[0] if found else ""
    rest = text[len(line) :]
    entry = Entry(0, "", where=name)
    try:
        line.encode()
        words = _arguments(line)
    except ValueError as fault:
        return replace(entry, refused=f"its first line cannot be read: {fault}")
    entry = replace(
        entry,
        text=shlex.join(words),
        identity=f"{name} {shlex.join(words)}",
        name=plain_name(words[0].rpartition("/")[2]),
    )
    if ended := _ENDED.search(rest):
        return replace(entry, left=f"it has ended ({ended[1]})")
    if rest:
        return replace(entry, left="it runs in nq, or was broken off: it is listed, and not taken")
    where = f"runs in {context.cwd}: the file does not say where"
    fields = {"command": words, "cwd": context.cwd, "queue": _QUEUE, **ONE_ATTEMPT}
    return replace(entry, fields=fields, changes=(where,))


def _arguments(line: str) -> list[str]:
    """Return the arguments of a command as `exec nq -c make 'a b'` has them. Raises ValueError."""
    words = shlex.split(line)
    if words[:1] != ["exec"]:
        raise ValueError("it does not begin with exec")
    words = words[1:]
    if words and words[0].rpartition("/")[2] == "nq":
        words = words[1:]
        while words and _FLAGS.fullmatch(words[0]):
            words = words[1:]
        words = words[1:] if words[:1] == ["--"] else words
    if not words:
        raise ValueError("there is no command in it")
    return words
