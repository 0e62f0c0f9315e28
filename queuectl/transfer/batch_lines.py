"""The record of a batch as one line of JSON, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from queuectl.domain.batch import Batch
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import check_batch, check_text
from queuectl.domain.job import State
from queuectl.domain.text import MASK
from queuectl.domain.times import UTC, iso, whole_millis
from queuectl.queue.sweep_text import from_text
from queuectl.stores.serialization import UNREADABLE

_TIMES = ("created_at", "ended_at", "last_end")
_Reader = Callable[[str, object], Any]


def batch_to_line(batch: Batch, *, masked: bool = False) -> dict[str, Any]:
    """Return a record as JSON has it; what is empty is left out.

    With `masked` its definition, in which there may be secrets, is hidden.
    """
    values: dict[str, Any] = {name: getattr(batch, name) for name in Batch.__match_args__}
    line = {
        name: iso(value) if name in _TIMES and value else value for name, value in values.items()
    }
    line |= {"ahead": list(batch.ahead), "counts": dict(batch.counts)}
    if masked and batch.definition:
        line["definition"] = MASK
    return {name: value for name, value in line.items() if value not in (None, "", [], {}, False)}


def unmade_in(line: Mapping[str, Any]) -> int:
    """Return how many jobs of a batch do not exist yet, as its line says."""
    return int(line.get("total", 0) - line.get("made", 0) - len(line.get("ahead", ())))


def _instant(name: str, raw: object) -> datetime:
    try:
        if isinstance(raw, str) and raw.endswith("Z"):
            return whole_millis(datetime.fromisoformat(raw[:-1]).replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{name} must be a time, not {shown(raw)}")


def _count(name: str, raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 2**62:
        return raw
    raise InvalidInput(f"{name} must be a whole number from 0, not {shown(raw)}")


def _flag(name: str, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    raise InvalidInput(f"{name} must be true or false, not {shown(raw)}")


def _rest(name: str, raw: object) -> str:
    if raw in (State.PENDING.value, State.CANCELLED.value):
        return str(raw)
    raise InvalidInput(f"{name} must be pending or cancelled, not {shown(raw)}")


def _numbers(name: str, raw: object) -> tuple[int, ...]:
    if not isinstance(raw, list):
        raise InvalidInput(f"{name} must be an array of numbers")
    return tuple(_count(name, each) for each in raw)


def _counts(name: str, raw: object) -> dict[str, int]:
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"{name} must be an object of states and numbers")
    return {str(state): _count(name, number) for state, number in raw.items()}


def _definition(name: str, raw: object) -> str:
    text = check_text(name, raw)
    try:
        from_text(text)
    except UNREADABLE as fault:
        raise InvalidInput(f"{name} cannot be read: {fault}") from None
    return text


_FIELDS: dict[str, _Reader] = {
    "name": check_batch, "created_at": _instant, "queue": check_text, "total": _count,
    "made": _count, "ahead": _numbers, "rest": _rest, "why": check_text,
    "definition": _definition, "at_once": _count, "max_fails": _count, "is_stopped": _flag,
    "ended_at": _instant, "last_end": _instant, "ends": _count, "told": _count,
    "counts": _counts, "rev": _count, "unknown": check_text,
}  # fmt: skip


def batch_from_line(fields: Mapping[str, Any]) -> Batch:
    """Return the record in a line, each field checked. Raises InvalidInput for what is wrong."""
    for name in fields:
        if name not in _FIELDS:
            raise InvalidInput(f"unknown field {shown(name)}")
    for name in ("name", "created_at"):
        if fields.get(name) is None:
            raise InvalidInput(f"field '{name}' is missing")
    values = {name: read(name, fields[name]) for name, read in _FIELDS.items() if name in fields}
    batch = Batch(**values)
    if batch.unmade > 0 and not batch.definition:
        raise InvalidInput(f"batch '{batch.name}' has jobs to be made, and no definition of them")
    return batch
