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
from queuectl.stores.exchange import PendingEvents
from queuectl.stores.records import BATCH
from queuectl.stores.sqlite import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from queuectl.domain.events import RunFinished
    from queuectl.domain.stats import Figures, Numbers, StatsBucket
    from queuectl.stores.sqlite.database import Database

_EVENTS = f"SELECT n, {', '.join(rows.EVENT)}, rest FROM events ORDER BY n LIMIT ?"
_RECORDED_BATCHES = "event_batches"
_COUNTED = "UPDATE arrivals SET jobs = jobs - ? WHERE minute = ? AND queue = ?"
_TOGETHER = (
    "ON CONFLICT DO UPDATE SET number = CASE WHEN name LIKE '%\\_most' ESCAPE '\\' "
    "THEN max(number, excluded.number) ELSE number + excluded.number END"
)
"""What becomes of two numbers of one name; see `domain.stats.Numbers`."""

_FIGURE = f"INSERT INTO figures VALUES (?, ?, ?, ?) {_TOGETHER}"
_TOTAL = f"INSERT INTO totals VALUES (?, ?, ?) {_TOGETHER}"
_OLDEST = "SELECT minute, queue, name FROM figures WHERE minute < ? ORDER BY minute LIMIT ?"


class StatsTables:
    """Events and figures, as `components.Stats` says."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def pending_events(self, limit: int = BATCH) -> PendingEvents:
        """Return what was not processed yet; see `Stats.pending_events`."""
        batches = self._recorded_batches()
        found = self._db.rows(_EVENTS, (limit,))
        arrived = self._db.rows("SELECT minute, queue, jobs FROM arrivals")
        enqueued = {(queue, _instant(minute)): jobs for minute, queue, jobs in arrived}
        events = tuple(event for event in map(_readable, found) if event is not None)
        return PendingEvents(events, enqueued, (batches, found[-1][0] if found else 0))

    def has_pending(self) -> bool:
        """Whether anything was not processed yet."""
        return not self.pending_events(1).is_empty

    def record(self, events: PendingEvents, numbers: Mapping[StatsBucket, Numbers]) -> bool:
        """Count these events, in one transaction; see `Stats.record`."""
        batches, last = events.token
        with self._db.writing():
            if self._recorded_batches() != batches:
                return False
            execute, many = self._db.connection.execute, self._db.connection.executemany
            execute("REPLACE INTO meta VALUES (?, ?)", (_RECORDED_BATCHES, str(batches + 1)))
            execute("DELETE FROM events WHERE n <= ?", (last,))
            many(_COUNTED, _arrivals(events))
            execute("DELETE FROM arrivals WHERE jobs <= 0")
            many(_FIGURE, _by_minute(numbers))
            many(_TOTAL, _by_queue(numbers))
        return True

    def _recorded_batches(self) -> int:
        """Return how many batches were recorded: a reader compares it to see what is new."""
        found = self._db.row("SELECT value FROM meta WHERE name = ?", (_RECORDED_BATCHES,))
        return int(found[0]) if found else 0

    def figures(self, since: datetime) -> dict[StatsBucket, Figures]:
        """Return the figures of the latest minutes; see `Stats.figures`."""
        from queuectl.domain.stats import from_numbers

        found = self._db.rows(
            "SELECT minute, queue, name, number FROM figures WHERE minute >= ? "
            "ORDER BY minute, queue",
            (_first_minute(since),),
        )
        return {
            (queue, _instant(minute)): from_numbers({name: number for *_, name, number in group})
            for (minute, queue), group in groupby(found, itemgetter(0, 1))
        }

    def totals(self) -> dict[str, Figures]:
        """Return the figures of each queue; see `Stats.totals`."""
        from queuectl.domain.stats import from_numbers

        found = self._db.rows("SELECT queue, name, number FROM totals ORDER BY queue")
        return {
            queue: from_numbers({name: number for _, name, number in group})
            for queue, group in groupby(found, itemgetter(0))
        }

    def forget(self, before: datetime, limit: int = BATCH) -> int:
        """Remove the figures of old minutes; see `Stats.forget`."""
        with self._db.writing():
            return self._db.connection.execute(
                f"DELETE FROM figures WHERE (minute, queue, name) IN ({_OLDEST})",
                (_first_minute(before), limit),
            ).rowcount


def _first_minute(since: datetime) -> int:
    """Return the number of the first minute that began at an instant or later."""
    return -(-to_millis(since) // rows.MINUTE)


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
