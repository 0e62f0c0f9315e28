"""The use cases that tell how a queue has been doing; `Queue` has them all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from queuectl.domain.lanes import is_of_deliveries
from queuectl.reading import Reading
from queuectl.stores.base import BATCH

if TYPE_CHECKING:
    from queuectl.domain.report import Report
    from queuectl.domain.stats import Figures

_PERIOD = timedelta(hours=1)
_MOST_BATCHES = 20


class Statistics(Reading):
    """The part of `Queue` that counts. What has just happened is told first, so all is in it."""

    def stats(
        self,
        queue: str | None = None,
        since: datetime | None = None,
        *,
        deliveries: bool = False,
    ) -> Report:
        """Return what has happened since an instant (an hour ago), in all queues or in one.

        With `deliveries` it is about those of hooks, and without about all other jobs.
        It begins with the minute of that instant, and not before the time for which the figures
        of minutes are kept (the setting `retention_stats`).
        """
        from queuectl.domain.report import earliest, report
        from queuectl.worker.telling import tell_all

        tell_all(self._store)
        now = self._store.now()
        begun = since or now - _PERIOD
        minutes = self._store.figures(min(begun - timedelta(minutes=1), earliest(now)))
        kept = {
            place: figures
            for place, figures in minutes.items()
            if is_of_deliveries(place[0]) is deliveries
        }
        return report(now, begun, kept, self._totals(deliveries=deliveries), queue)

    def totals(self) -> dict[str, Figures]:
        """Return the figures of each queue since the store was made. They never fall."""
        from queuectl.worker.telling import tell_all

        tell_all(self._store)
        return self._totals(deliveries=False)

    def _totals(self, *, deliveries: bool) -> dict[str, Figures]:
        found = self._store.totals().items()
        return {name: each for name, each in found if is_of_deliveries(name) is deliveries}

    def oldest_due(self) -> dict[str, datetime]:
        """Return, for each queue with jobs that are ready, since when one of them has been due."""
        for _ in range(_MOST_BATCHES):
            if self._store.promote() < BATCH:
                break
        found = self._store.oldest_due().items()
        return {name: since for name, since in found if not is_of_deliveries(name)}
