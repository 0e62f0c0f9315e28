"""The part of the contract of stores that is about what happened, and the figures made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from queuectl.domain.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from queuectl.domain.events import Ending
    from queuectl.domain.stats import Figures, Numbers, Place

BATCH = 1000
"""How many records are written at once, where there are many; then others may write."""


@frozen
class Untold:
    """What has happened and is not in the figures yet: runs that ended, jobs that were enqueued.

    `enqueued` counts jobs by queue and minute. `token` is the store's own: how often it was told
    before, and where this ends.
    """

    endings: tuple[Ending, ...]
    enqueued: Mapping[Place, int]
    token: tuple[int, int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.endings or self.enqueued)


class Counting(Protocol):
    """A store that keeps what happened until it is told, and figures for as long as is wanted."""

    def untold(self, limit: int = BATCH) -> Untold:
        """Return what has happened and was not told, at most `limit` endings, the oldest first.

        `commit` leaves an ending (`ending_of`) in the write that applies the change, so that
        each is told once, whoever is killed. `add` counts the jobs that it stores; on MongoDB
        those of a call that was cut short may be counted too, or twice if it is repeated.
        """
        ...

    def tell(self, told: Untold, numbers: Mapping[Place, Numbers]) -> bool:
        """Add to the figures, for the minute and for ever, and forget what was read as untold.

        All of it or nothing, also over a crash. False: somebody else told some of it meanwhile,
        and nothing was written.
        """
        ...

    def figures(self, since: datetime) -> dict[Place, Figures]:
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
