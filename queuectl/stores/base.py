"""The contract that every store keeps. `tests/stores` runs one suite against all of them.

Times are aware datetimes in UTC with whole milliseconds, by the store's own clock. Every method
may raise `StoreUnavailable` (trying again may help) and `StoreRefused` (it will not).
A store is used by one thread of one process, and is made after a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from queuectl.stores.records import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from queuectl.domain.hooks import Hook
    from queuectl.domain.host import HostRecord
    from queuectl.domain.job import Job
    from queuectl.domain.query import Counts, Filter, Page
    from queuectl.domain.queue_limits import QueueLimits
    from queuectl.domain.state_machine import Transition
    from queuectl.stores.components import (
        Audit,
        Batches,
        Environments,
        LogWishes,
        Meta,
        Named,
        Resources,
        Retention,
        RunLogs,
        Schedules,
        Stats,
        StoredSettings,
        Workers,
    )
    from queuectl.stores.exchange import ClaimRequest, HeldClaim, Offer, Renewal


class Store(Protocol):
    """Where jobs are kept; what else is kept there is in its components."""

    schedules: Schedules
    hooks: Named[Hook]
    hosts: Named[HostRecord]
    run_logs: RunLogs | None
    log_wishes: LogWishes | None
    batches: Batches
    settings: StoredSettings
    workers: Workers
    stats: Stats
    environments: Environments
    retention: Retention
    resources: Resources
    audit: Audit
    meta: Meta

    @property
    def address(self) -> str:
        """Where the store is, as people may see it: never with a password."""
        ...

    patience: float
    """For how many seconds a write waits for other writers, where they wait for each other."""

    between: Callable[[], None]
    """Called between the commands of a method that needs many; what it raises ends that method.

    A store that does all of a method in one transaction never calls it.
    """

    def is_same_file(self) -> bool:
        """Whether the address still leads to this store, and not to one that took its place."""
        ...

    def recover(self, patience: float = ...) -> None:
        """Make a store usable again whose parts were taken from under it, as far as that goes.

        Waits `patience` seconds at most for others who still have those parts. Cheap where there
        is nothing to do. Raises StoreUnavailable, and StoreRefused.
        """
        ...

    def close(self) -> None:
        """Let go of everything. Closing twice is harmless."""
        ...

    def now(self) -> datetime:
        """Return the store's time."""
        ...

    # jobs

    def insert(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        """Insert new jobs in their order of arrival; return the ids that are refused.

        Refused is an id that exists already, or whose unique key another job that waits or runs
        has; the first of two in the batch is stored. Blockers on jobs that have ended are taken
        off on the way, a parent that is not there counts as deleted; a job that is to be cancelled
        with a parent that has failed is cancelled then. With `atomic`, nothing is stored when any
        id is refused, and no reader or worker ever sees a part of the batch. A call that is
        repeated inside after a lost reply does not refuse its own jobs. Batches of more than
        `BATCH` jobs are written in pieces unless `atomic`, `AlikeJobs`, whose ids are distinct, of
        more than `ALIKE_BATCH`.
        """
        ...

    def get(self, job_id: str) -> Job | None:
        """Return one job, in the DLQ or not, with its output and its history."""
        ...

    def generated_ids(self, prefix: str, limit: int) -> list[str]:
        """Return at most `limit` ids that were made for the user and begin with `prefix`."""
        ...

    def find(self, chosen: Filter, page: Page) -> Iterator[Job]:
        """Yield jobs in the order that the page asks for, dead ones included, each exactly once.

        Reads a limited number at a time; a job that changes meanwhile is seen before or after.
        """
        ...

    def first_ready(self, queue: str) -> Job | None:
        """Return the job that is to be claimed first of those of a queue that are ready.

        Without output and history, whether or not the queue is open.
        """
        ...

    def last_ready(self, queue: str) -> Job | None:
        """Return the ready job of a queue that is to be claimed last; else as `first_ready`."""
        ...

    def oldest_due(self) -> dict[str, datetime]:
        """Return, for each queue with jobs that are ready, since when one of them has been due.

        Whether or not the queue is open. What became due since the last `make_due_claimable` may
        be missed.
        """
        ...

    def counts(self) -> Counts:
        """Return how many jobs there are in each state of each queue. Cheap."""
        ...

    # claiming and committing

    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready, atomically, as `state_machine.claim` says.

        Highest priority first; among queues equal in it the least recently served; within a
        queue the earliest `run_at`, then arrival. Queues that are paused are passed over, and
        those without room for their first job, which no later one overtakes. The cost does not
        grow with the backlog. The job comes without output and history. A suspect is for whoever
        asks `alone`; in a queue with a limit no other job overtakes it. One that needs resources
        is claimed with what it needs (`Claim.holding`), and passed over while that is not free, as
        `domain.allocation` says; never is more held of anything than there is. None: nothing is
        ready;
        what has become due since the last `make_due_claimable` may be passed over.
        """
        ...

    def commit(self, change: Transition) -> bool:
        """Apply a transition if its fence holds, and append its run to the history.

        The history keeps the latest `HISTORY_RUNS` runs.

        Blockers that a changed specification adds are looked at on the way, as `insert` does it.
        The first of the children of a job that ends are notified: they are released, or cancelled
        with it where it has failed and they ask for that, and so are theirs.
        Moves between jobs and DLQ are part of it; no reader sees the job twice or not at all.
        The pending events of a job that is deleted stay until they are processed.
        Repeated after a lost reply it returns True: the very run is in the history already.
        False: somebody else changed the job first, and nothing was written.
        """
        ...

    def commit_all(self, changes: Sequence[Transition]) -> list[bool]:
        """Apply changes of different jobs, none of which ends a run; return which are applied.

        Each stands for itself under its own fence, as with `commit`. One that is not applied may
        also be refused for a reason, which `commit` then raises. Meant for a few hundred at a
        time, so that others can write in between.
        """
        ...

    def commit_and_claim(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        """Commit the ends of jobs, and claim a job for each request, as far as there are any.

        Jobs that come after those of another queue or priority may be left to the next call.

        Returns which ends were committed, and the jobs in the order of the requests; a lost
        commit stops neither. Nothing is claimed after a job that may be what ended its worker (a
        suspect, or one that was interrupted before). Where `claim_batch_size` is more than one, it
        comes alone, and so does one of a limited queue, whose room others wait for, and one that
        needs resources.
        """
        ...

    @property
    def claim_batch_size(self) -> int:
        """How many jobs it is worth while to claim at once, by a worker to which they are short."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether a call takes its time to get to the store and back."""
        ...

    def flush(self) -> None:
        """Return when what `claim` and `commit_and_claim` wrote survives the crash of the machine.

        They leave that open when they return a job, so that it can be started meanwhile. What is
        lost with it is a claim, or an end that nobody has been told of: the job runs again. The
        next write comes after it in any case. Every other write is durable when it returns.
        """
        ...

    def renew(self, held: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
        """Extend leases to `lease_seconds` from now, of the claims that are still held.

        Returns what became of each, in their order. The cost hardly grows with their number;
        without any, nothing is written. Raises StoreLocked, which says which claims stand, when
        others kept it from writing: then none is renewed.
        """
        ...

    def require_writable(self) -> None:
        """Return once a write was possible, without writing. Raises StoreLocked.

        Where writers do not wait for each other there is nothing to do.
        """
        ...

    def has_ready_deliveries(self, *, untried: bool = False) -> bool:
        """Whether there may be a delivery of a hook to claim. Cheap.

        With `untried`, one that no attempt has been made at.
        """
        ...

    def ready_suspects(
        self, queues: tuple[str, ...], limit: int, offer: Offer | None = None
    ) -> int:
        """Return how many suspects could be claimed now of these queues (none: any).

        At most `limit`; each of those that need resources counts by itself. Where there are none,
        as nearly always, it is one look at an index.
        """
        ...

    # small idempotent chores of the maintenance

    def make_due_claimable(self, limit: int = BATCH) -> int:
        """Make at most `limit` jobs claimable that have become due; return how many.

        A store whose clock is that of each process first shortens the waits that were reckoned by
        one that was ahead.
        """
        ...

    def next_due(self) -> datetime | None:
        """Return when the next job that waits for its time is due, or None."""
        ...

    def leases_ending(self, before: datetime) -> list[Job]:
        """Return the jobs whose lease ends before an instant, at most `BATCH`."""
        ...

    def claimed_by(self, worker_id: str) -> list[Job]:
        """Return the jobs that a worker has claimed and not finished."""
        ...

    def notify_children(self) -> int:
        """Notify children of parents that have ended or were deleted; return of how many parents.

        `commit` does so at once for the first of them; this is for the rest, and after a crash.
        A call takes no longer than a second or so, and leaves what it did not come to to the next:
        it is done when it returns 0.
        """
        ...

    def repair(self) -> int:
        """Finish or undo what a crash left half done; return how many things were mended."""
        ...

    def tidy(self, seconds: float) -> bool:
        """Give back room that nothing needs any more, for so long; return whether there is more.

        Others write in between. What keeps it from doing so now, a full disk even, is no error.
        """
        ...

    def try_acquire_turn(self, chore: str, every_seconds: float) -> bool:
        """Take the turn at a chore if it is due, for the whole fleet."""
        ...

    # whole jobs

    def present(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of some ids that jobs have, in the DLQ or not."""
        ...

    def restore(self, jobs: Sequence[Job], *, keep_numbers: bool = False) -> frozenset[str]:
        """Insert jobs with their state and history, in this order; return the ids refused.

        Refused are the ids that `insert` would refuse. With `keep_numbers` each keeps its `seq`,
        which nobody else may have, and all its marks; without it their parents that are here
        will tell them how they ended.
        """
        ...

    def has_unmade(self) -> bool:
        """Whether a batch has jobs that do not exist yet; see `Batches.unmade`. Cheap."""
        ...

    # queues

    def queue_limits(self) -> QueueLimits:
        """Return the queues about which something was decided, with the slots in use."""
        ...

    def set_queue_limit(
        self, queue: str, *, paused: bool | None = None, limit: int | None = None
    ) -> None:
        """Pause or resume a queue, or limit its slots (0: no limit); None leaves it as it is."""
        ...

    def unique_key_owner(self, unique: str) -> str | None:
        """Return the id of the job that waits or runs and has a unique key."""
        ...

    # waiting and looking

    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Sleep until there may be work, the file descriptor `wake` is readable, or time is up.

        Meant for a worker whose latest `claim` found nothing: work that has come since ends it.
        Waking without need is allowed. Nothing is read from `wake`.
        """
        ...

    def check(self, *, quick: bool = False) -> list[str]:
        """Look the whole store over; return one line for each fault, none when it is sound.

        With `quick` only as far as takes a fraction of a second. Raises StoreRefused for a store
        that must not be used.
        """
        ...
