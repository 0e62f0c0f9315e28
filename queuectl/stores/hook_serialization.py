"""Hook <-> text: a hook is kept as one text, because nothing looks for what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from json import dumps, loads
from typing import Any

from queuectl.domain.hooks import Format, Hook, Target
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores.serialization import UNREADABLE, note_unreadable

_TIMES = ("created_at", "changed_at", "alone_since")


def hook_to_text(hook: Hook) -> str:
    """Return a hook as one text of JSON, its times in milliseconds."""
    document = asdict(hook)
    for name in _TIMES:
        if document[name] is not None:
            document[name] = to_millis(document[name])
    return dumps(document)


def hook_from_text(text: str) -> Hook:
    """Return the hook in a text."""
    document = loads(text)
    for name in _TIMES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    document["target"] = Target(document["target"])
    document["format"] = Format(document["format"])
    document["events"] = tuple(document["events"])
    document["labels"] = tuple(document["labels"])
    return Hook(**document)


def readable_hooks(found: Iterable[tuple[str, Any]]) -> list[Hook]:
    """Return the hooks in pairs of name and text; one that cannot be read is passed over."""
    hooks = []
    for name, text in found:
        try:
            hooks.append(hook_from_text(text))
        except UNREADABLE:
            note_unreadable("hooks", name)
    return hooks
