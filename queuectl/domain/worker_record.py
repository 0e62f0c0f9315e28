"""A worker process as the fleet knows it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from queuectl.domain.frozen import frozen

if TYPE_CHECKING:
    from queuectl.domain.host import HostReport


class StopRequest(str, Enum):
    """How a worker is asked to leave."""

    GRACEFUL = "graceful"  # claim no more, finish the job in hand
    NOW = "now"  # stop the job in hand and release it

    def __str__(self) -> str:
        return self.value


@frozen
class ProcessIdentity:
    """One process, told apart from every other that has had or will have its pid.

    `boot` names the running kernel and the pid namespace, `started` the process's start time
    there; both are opaque.
    """

    pid: int
    started: str
    boot: str


@frozen
class WorkerRecord:
    """An entry in the store's registry of workers. `heartbeat_at` is the store's time.

    `slots` is how many jobs it runs at once, `resources` what its host has, as it declared it; all
    workers of a host go by what the latest of them declared. `report` is what it told of its host
    with its latest heartbeat, None where an older version tells nothing.
    """

    id: str
    process: ProcessIdentity
    host: str
    home: str
    queues: tuple[str, ...]
    started_at: datetime
    heartbeat_at: datetime
    stop: StopRequest | None = None
    slots: int = 1
    resources: tuple[tuple[str, str], ...] = ()
    report: HostReport | None = None

    @property
    def is_drained(self) -> bool:
        """Whether it has said that it takes no jobs, as its host is drained."""
        return self.report is not None and self.report.is_drained

    def takes_from(self, queue: str) -> bool:
        """Whether it takes jobs from a queue: it has named that, or none at all."""
        return not self.queues or queue in self.queues


@frozen
class LiveWorker:
    """A worker that is alive, and the ids of the jobs it has in hand, the longest first.

    They may be more than its slots: some it has claimed and not begun.
    """

    record: WorkerRecord
    job_ids: tuple[str, ...] = ()

    @property
    def job_id(self) -> str | None:
        """The id of the job that it has had in hand the longest."""
        return self.job_ids[0] if self.job_ids else None

    @property
    def slots_in_use(self) -> int:
        """How many of its slots have a job."""
        return min(len(self.job_ids), self.record.slots)

    @property
    def state(self) -> str:
        """`stopping`, `busy` or `idle`."""
        if self.record.stop:
            return "stopping"
        return "busy" if self.job_ids else "idle"
