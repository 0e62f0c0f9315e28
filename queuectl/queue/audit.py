"""Noting who has changed what, as each act of a person or of the dashboard ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from queuectl.domain.audit import MOST_TARGETS, AuditEntry
from queuectl.domain.frozen import frozen
from queuectl.domain.times import iso

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from queuectl.domain.query import Filter
    from queuectl.stores.base import Store

T = TypeVar("T")


@frozen
class Note:
    """One change that is to be noted: of one thing that is named, or of a number of jobs."""

    at: datetime
    act: str
    target: str = ""
    number: int = 1
    about: str = ""


def write(store: Store, who: str, notes: Sequence[Note]) -> None:
    """Note changes; those that were made one after the other by the same words are one act."""
    acts = [[*group] for _, group in groupby(notes, key=lambda note: (note.act, note.about))]
    store.audit.add([
        AuditEntry(
            at=same[-1].at,
            who=who,
            act=same[0].act,
            targets=tuple(note.target for note in same if note.target)[:MOST_TARGETS],
            number=sum(note.number for note in same),
            about=same[0].about,
        )
        for same in acts
    ])  # fmt: skip


def counted(
    results: Iterator[T], total: Callable[[int, T], int], note: Callable[[int], None]
) -> Iterator[T]:
    """Yield what becomes of many jobs, and note in the end how many were changed, if any were.

    `total` returns how many there are with one more result.
    """
    number = 0
    try:
        for result in results:
            number = total(number, result)
            yield result
    finally:
        if number:
            note(number)


def filter_text(chosen: Filter) -> str:
    """Return which jobs a filter means, as the options of the command line say it."""
    words = {
        "state": ",".join(sorted(state.value for state in chosen.states)),
        "queue": chosen.queue,
        "batch": chosen.batch,
        "label": ",".join(chosen.labels),
        "text": " ".join(chosen.texts),
        "exit-code": chosen.exit_code,
        "older-than": chosen.unchanged_since and iso(chosen.unchanged_since),
        "since": chosen.changed_since and iso(chosen.changed_since),
    }
    return " ".join(f"{name}={value}" for name, value in words.items() if value not in (None, ""))


def person() -> str:
    """Return who runs this program, and on which machine: `me@host`."""
    import os
    import socket

    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return f"{name}@{socket.gethostname()}"
