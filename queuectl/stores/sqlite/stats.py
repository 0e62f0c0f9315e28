"""What happened in the embedded store, and the figures made of it.

Events and arrivals are written with what they tell of; here they are read, counted and forgotten.
Minutes are kept by their number since 1970.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import serialization
from queuectl.stores.base_events import BATCH, PendingEvents
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.retention import SqliteKeeping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from queuectl.domain.events import RunFinished
    from queuectl.domain.stats import Figures, Numbers, StatsBucket

_EVENTS = f"SELECT n, {', '.join(rows.EVENT)}, rest FROM events ORDER BY n LIMIT ?"
_COUNTED_BATCHES = "event_batches"
_COUNTED = "UPDATE arrivals SET jobs = jobs - ? WHERE minute = ? AND queue = ?"
_FIGURE = (
    "INSERT INTO figures VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET number = number + excluded.number"
)
_TOTAL = (
    "INSERT INTO totals VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET number = number + excluded.number"
)
_OLDEST = "SELECT minute, queue, name FROM figures WHERE minute < ? ORDER BY minute LIMIT ?"


class SqliteFigures(SqliteKeeping):
    """The part of `SqliteStore` that counts."""

    def pending_events(self, limit: int = BATCH) -> PendingEvents:
        """Return what was not processed yet; see `Store.pending_events`."""
        with translated(self._path):
            batches = self._counted_batches()
            found = self._connection.execute(_EVENTS, (limit,)).fetchall()
            arrived = self._connection.execute("SELECT minute, queue, jobs FROM arrivals")
            enqueued = {(queue, _instant(minute)): jobs for minute, queue, jobs in arrived}
        events = tuple(event for event in map(_readable, found) if event is not None)
        return PendingEvents(events, enqueued, (batches, found[-1][0] if found else 0))

    def record_events(self, events: PendingEvents, numbers: Mapping[StatsBucket, Numbers]) -> bool:
        """Count these events, in one transaction; see `Store.record_events`."""
        batches, last = events.token
        with self._writing():
            if self._counted_batches() != batches:
                return False
            execute, many = self._connection.execute, self._connection.executemany
            execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (_COUNTED_BATCHES, str(batches + 1))
            )
            execute("DELETE FROM events WHERE n <= ?", (last,))
            many(_COUNTED, _arrivals(events))
            execute("DELETE FROM arrivals WHERE jobs <= 0")
            many(_FIGURE, _by_minute(numbers))
            many(_TOTAL, _by_queue(numbers))
        return True

    def _counted_batches(self) -> int:
        """Return how many batches were recorded: a reader compares it to see what is new."""
        found = self._connection.execute(
            "SELECT value FROM meta WHERE name = ?", (_COUNTED_BATCHES,)
        ).fetchone()
        return int(found[0]) if found else 0

    def figures(self, since: datetime) -> dict[StatsBucket, Figures]:
        """Return the figures of the latest minutes; see `Store.figures`."""
        from queuectl.domain.stats import from_numbers

        first = -(-to_millis(since) // rows.MINUTE)
        with translated(self._path):
            found = self._connection.execute(
                "SELECT minute, queue, name, number FROM figures WHERE minute >= ? "
                "ORDER BY minute, queue",
                (first,),
            ).fetchall()
        return {
            (queue, _instant(minute)): from_numbers({name: number for *_, name, number in group})
            for (minute, queue), group in groupby(found, itemgetter(0, 1))
        }

    def totals(self) -> dict[str, Figures]:
        """Return the figures of each queue; see `Store.totals`."""
        from queuectl.domain.stats import from_numbers

        with translated(self._path):
            found = self._connection.execute(
                "SELECT queue, name, number FROM totals ORDER BY queue"
            ).fetchall()
        return {
            queue: from_numbers({name: number for _, name, number in group})
            for queue, group in groupby(found, itemgetter(0))
        }

    def forget_figures(self, before: datetime, limit: int = BATCH) -> int:
        """Remove the figures of old minutes; see `Store.forget_figures`."""
        with self._writing():
            return self._connection.execute(
                f"DELETE FROM figures WHERE (minute, queue, name) IN ({_OLDEST})",
                (-(-to_millis(before) // rows.MINUTE), limit),
            ).rowcount


def _readable(row: Sequence[Any]) -> RunFinished | None:
    """Return the event in a row, or None, noted once, when there is none."""
    try:
        return rows.event_from_row(row[1:])
    except serialization.UNREADABLE:
        serialization.note_unreadable("events", row[0])
        return None


def _instant(minute: int) -> datetime:
    return from_millis(minute * rows.MINUTE)


def _number(minute: datetime) -> int:
    return to_millis(minute) // rows.MINUTE


def _arrivals(events: PendingEvents) -> list[tuple[int, int, str]]:
    return [(jobs, _number(minute), queue) for (queue, minute), jobs in events.enqueued.items()]


def _by_minute(numbers: Mapping[StatsBucket, Numbers]) -> Iterator[tuple[int, str, str, int]]:
    for (queue, minute), found in numbers.items():
        for name, number in found.items():
            yield _number(minute), queue, name, number


def _by_queue(numbers: Mapping[StatsBucket, Numbers]) -> Iterator[tuple[str, str, int]]:
    for (queue, _), found in numbers.items():
        for name, number in found.items():
            yield queue, name, number
