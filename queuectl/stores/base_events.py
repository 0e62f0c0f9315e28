"""The part of the contract of stores that is about what happened, and the figures made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from queuectl.domain.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from queuectl.domain.events import RunFinished
    from queuectl.domain.stats import Figures, Numbers, StatsBucket

BATCH = 1000
"""How many records are written at once, where there are many; then others may write."""


@frozen
class PendingEvents:
    """What has happened and is not in the figures yet: runs that ended, jobs that were enqueued.

    `enqueued` counts jobs by queue and minute. `token` is the store's own: how many batches were
    recorded before, and where this ends.
    """

    finished: tuple[RunFinished, ...]
    enqueued: Mapping[StatsBucket, int]
    token: tuple[int, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to process."""
        return not (self.finished or self.enqueued)


class Counting(Protocol):
    """A store that keeps events until they are processed, and figures for as long as is wanted."""

    def pending_events(self, limit: int = BATCH) -> PendingEvents:
        """Return what has happened and was not processed, at most `limit` runs, the oldest first.

        `commit` leaves an event (`event_of`) in the write that applies the change, so that
        each is processed once, whoever is killed. `insert` counts the jobs that it stores; on
        MongoDB those of a call that was cut short may be counted too, or twice if it is repeated.
        """
        ...

    def record_events(self, events: PendingEvents, numbers: Mapping[StatsBucket, Numbers]) -> bool:
        """Add to the figures, for the minute and for ever, and forget the events.

        All of it or nothing, also over a crash. False: somebody else recorded some of it meanwhile,
        and nothing was written.
        """
        ...

    def figures(self, since: datetime) -> dict[StatsBucket, Figures]:
        """Return the figures of all minutes that began at an instant or later."""
        ...

    def totals(self) -> dict[str, Figures]:
        """Return the figures of each queue since the store was made. They never fall."""
        ...

    def forget_figures(self, before: datetime, limit: int = BATCH) -> int:
        """Remove the figures of minutes that began before an instant; return how many records.

        At most `limit`, the oldest first. Totals stay.
        """
        ...
