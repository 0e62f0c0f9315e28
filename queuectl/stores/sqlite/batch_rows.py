"""The record of a batch as a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queuectl.domain.times import to_millis
from queuectl.stores import records

if TYPE_CHECKING:
    from queuectl.domain.batch import Batch

COLUMNS = ("name", "rev", "created_at", "is_open", "unmade", "queue", "rest", "record")


def to_row(batch: Batch) -> list[Any]:
    """Return the values of a record's columns."""
    return [
        batch.name, batch.rev, to_millis(batch.created_at), int(batch.is_open), batch.unmade,
        batch.queue, batch.rest, records.batch_to_text(batch),
    ]  # fmt: skip
