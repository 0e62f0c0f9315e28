"""The hosts of a fleet: what their workers tell of them, and what is kept of them by name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from queuectl.domain.frozen import frozen, replace

MOST_LOSSES = 100
"""So many of the jobs that were taken back from a host are kept, the latest."""


@frozen
class HostReport:
    """What a worker tells of its host with its heartbeat.

    `load` is the average of the last minute, None where the system has none; `clock_offset` says
    by how many seconds the clock there is ahead of the store's. `is_drained` says that the worker
    has heard that it is to take no jobs.
    """

    version: str
    processors: int
    load: float | None = None
    clock_offset: float = 0.0
    is_drained: bool = False


@frozen
class Loss:
    """A job that was taken back from a worker of a host, when, and why in plain words."""

    job_id: str
    worker: str
    at: datetime
    why: str


@frozen
class HostRecord:
    """What is kept of a host beside its workers: one that was drained, or has lost jobs.

    `drained_at` is since when its workers take no jobs, None while they do. `seen_at` is the last
    sign of life of its latest worker, noted when that is forgotten. `unknown` is what a newer
    version has written beside this, as JSON, and is kept as it is.
    """

    name: str
    rev: int
    created_at: datetime
    drained_at: datetime | None = None
    seen_at: datetime | None = None
    losses: tuple[Loss, ...] = ()
    unknown: str = ""

    def changed(self, **fields: Any) -> HostRecord:
        """Return what it is after a change."""
        return replace(self, rev=self.rev + 1, **fields)

    @property
    def latest(self) -> datetime:
        """When something happened last of which it tells."""
        times = (self.created_at, self.drained_at, self.seen_at, *(each.at for each in self.losses))
        return max(time for time in times if time is not None)


def host_of(worker_id: str) -> str:
    """Return the host in the id of a worker, which is HOST-PID-TOKEN."""
    return worker_id.rsplit("-", 2)[0]
