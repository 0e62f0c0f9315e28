"""The audit trail: who has changed what, when, and by which words.

It says which jobs, queues, schedules, hooks or settings, and never what was in a job or a hook, so
that nothing secret gets into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from queuectl.domain.frozen import frozen
from queuectl.domain.times import iso

MOST_ENTRIES = 100_000
"""So many entries are kept at most; the oldest go first."""

MOST_TARGETS = 20
"""So many of the things that one act has changed are named."""


@frozen
class AuditEntry:
    """One act: `act` is the command's words, `targets` are the first things that it changed.

    `number` says how many they are in all, and `about` what else was said: a filter, a value.
    """

    at: datetime
    who: str
    act: str
    targets: tuple[str, ...] = ()
    number: int = 1
    about: str = ""


def as_dict(entry: AuditEntry) -> dict[str, object]:
    """Return an entry as JSON has it."""
    return {
        "at": iso(entry.at),
        "who": entry.who,
        "act": entry.act,
        "targets": [*entry.targets],
        "number": entry.number,
        "about": entry.about,
    }


def to_document(entry: AuditEntry) -> dict[str, object]:
    """Return what a store keeps of an entry, beside its time and who it was."""
    return {
        "act": entry.act, "targets": [*entry.targets], "number": entry.number, "about": entry.about
    }  # fmt: skip


def from_document(at: datetime, who: str, document: Mapping[str, object]) -> AuditEntry:
    """Return the entry that a store keeps so; fields that are not there are empty."""
    targets, number = document.get("targets"), document.get("number")
    return AuditEntry(
        at=at,
        who=who,
        act=str(document.get("act", "")),
        targets=tuple(map(str, targets)) if isinstance(targets, list) else (),
        number=number if isinstance(number, int) else 1,
        about=str(document.get("about", "")),
    )


def targets_text(entry: AuditEntry) -> str:
    """Return what an act has changed in words: names, or how many there are."""
    names = ", ".join(entry.targets)
    more = entry.number - len(entry.targets)
    if not names:
        return f"{entry.number:,} jobs" if entry.number != 1 else ""
    return f"{names} and {more:,} more" if more > 0 else names
