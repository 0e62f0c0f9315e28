"""What stores and those who use them hand to each other, beside the records of the domain."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from queuectl.domain.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queuectl.domain.events import RunFinished
    from queuectl.domain.job import Holding
    from queuectl.domain.stats import StatsBucket

ALIKE_BATCH = 20_000
"""How many at most of jobs that are alike, which take a fraction of the time."""


@frozen
class LogWish:
    """Somebody looks at the output of a run of a worker, and has so much of its three files.

    `at` is that of standard output, of standard error, and of the file with their order; `asked`
    counts how often it was asked. Without a job it is the log of the worker itself, and `at` is
    the number of its file and the place in that (`system.worker_logs.Trail`).
    """

    id: str
    worker: str
    job_id: str
    run: int
    at: tuple[int, ...]
    asked: int = 0


@frozen
class LogAnswer:
    """What comes next in each of these files, and how long each is, read since it was `asked`.

    Of a worker's log there is one part, and `sizes` is where to go on.
    """

    asked: int
    parts: tuple[bytes, ...]
    sizes: tuple[int, ...]


@frozen
class KeptRun:
    """The output of one run, packed, to be kept for every host."""

    job_id: str
    run: int
    claim_id: str
    data: bytes


@frozen
class HeldClaim:
    """One claim of those that a worker holds and wants to keep."""

    job_id: str
    claim_id: str


class Renewal(Enum):
    """What a worker learns when it renews the lease of a claim."""

    HELD = "held"
    PAUSED = "paused"
    CANCEL_REQUESTED = "cancel_requested"
    LOST = "lost"

    @classmethod
    def of(cls, cancel_requested: bool, is_paused: bool) -> Renewal:
        """Return what the marks on a job whose claim is still held mean."""
        if cancel_requested:
            return cls.CANCEL_REQUESTED
        return cls.PAUSED if is_paused else cls.HELD


class Fired(Enum):
    """What became of the run of a schedule that was due."""

    ENQUEUED = "enqueued"
    OVERLAPS = "overlaps"
    LOST = "lost"


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


@frozen
class HeldUnits:
    """What a job holds of resources, and who runs it."""

    job_id: str
    worker: str
    holding: Holding


@frozen
class Offer:
    """What a worker has to offer of its host to jobs that need resources.

    `host` is empty where it declared nothing: it takes jobs that need what the fleet has, and no
    others. `foreign` is how much of which GPU's memory processes use that are not ours, and
    `patience` how many seconds a job is passed over before what it needs is kept free for it.
    """

    host: str = ""
    foreign: tuple[tuple[str, int], ...] = ()
    patience: float = 60.0


NO_OFFER = Offer()


@frozen
class ClaimRequest:
    """A worker asks for one job.

    `claim_id` is made by the worker before it asks, new for each request. `queues` empty means
    any. `only` restricts the claim to one job. `repeated` says that an earlier request with
    this `claim_id` got no answer: a job that it did claim is returned. With `deliveries` it asks
    for a delivery of a hook, which no other request is ever given unless `only` names it; with
    `untried` too, for one that no attempt has been made at. `alone` says that the worker runs
    nothing beside it: no other is given a suspect. With `suspects` it asks for such a one only.
    `offer` is what jobs may be given that need resources.
    """

    claim_id: str
    worker: str
    lease_seconds: float
    queues: tuple[str, ...] = ()
    only: str | None = None
    repeated: bool = False
    deliveries: bool = False
    untried: bool = False
    alone: bool = True
    suspects: bool = False
    offer: Offer = NO_OFFER


class Leaving(Exception):
    """Raised by `Store.between` when its worker leaves: what a long method has left is not done."""
