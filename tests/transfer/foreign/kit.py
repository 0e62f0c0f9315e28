"""Reading a text as a file of another program, by a user of a machine that is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from queuectl.domain.frozen import replace
from queuectl.transfer.foreign import reader_of
from queuectl.transfer.foreign.entry import Context, Entry, with_digests

ME = Context(user="ada", uid=1000, home="/home/ada", cwd="/srv")


def entries_of(source: str, text: str | bytes, **known: Any) -> list[Entry]:
    """Return what a text is taken as; `known` are fields of the context."""
    data = text if isinstance(text, bytes) else text.encode()
    context = replace(ME, **known)
    return list(with_digests(source, reader_of(source)(data, context)))


def entry_of(source: str, text: str, **known: Any) -> Entry:
    """Return the one entry that a text is taken as."""
    (entry,) = entries_of(source, text, **known)
    return entry


def fields_of(entry: Entry) -> dict[str, Any]:
    """Return the fields of an entry that is taken."""
    assert entry.is_taken, entry
    return dict(entry.fields or {})


def path_in(folder: Path, name: str, text: str | bytes) -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
