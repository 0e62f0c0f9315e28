"""The contract that every store keeps. `tests/stores` runs one suite against all of them.

Times are aware datetimes in UTC with whole milliseconds, by the store's own clock. Every method
may raise `StoreUnavailable` (trying again may help) and `StoreRefused` (it will not).
A store is used by one thread of one process, and is made after a fork.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from queuectl.domain.frozen import frozen
from queuectl.stores.base_events import BATCH as BATCH
from queuectl.stores.base_events import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from queuectl.domain.hooks import Hook
    from queuectl.domain.job import Job, State
    from queuectl.domain.query import Counts, Filter, Page
    from queuectl.domain.queue_limits import QueueLimits
    from queuectl.domain.schedule import Schedule
    from queuectl.domain.state_machine import Transition
    from queuectl.domain.worker_record import StopRequest, WorkerRecord


class Renewal(Enum):
    """What a worker learns when it renews its lease."""

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
class ClaimRequest:
    """A worker asks for one job.

    `claim_id` is made by the worker before it asks, new for each request. `queues` empty means
    any. `only` restricts the claim to one job. `repeated` says that an earlier request with
    this `claim_id` got no answer: a job that it did claim is returned. With `deliveries` it asks
    for a delivery of a hook, which no other request is ever given unless `only` names it; with
    `untried` too, for one that no attempt has been made at.
    """

    claim_id: str
    worker: str
    lease_seconds: float
    queues: tuple[str, ...] = ()
    only: str | None = None
    repeated: bool = False
    deliveries: bool = False
    untried: bool = False


class Leaving(Exception):
    """Raised by `Store.between` when its worker leaves: what a long method has left is not done."""


class Store(Counting, Protocol):
    """Where jobs are kept."""

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
        `BATCH` jobs are written in pieces unless `atomic`.
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

    # the two methods that carry the risk

    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready, atomically, as `state_machine.claim` says.

        Highest priority first; among queues equal in it the least recently served; within a
        queue the earliest `run_at`, then arrival. Queues that are paused are passed over, and
        those without room for their first job, which no later one overtakes. The cost does not
        grow with the backlog. The job comes without output and history. None: nothing is ready;
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
        On MongoDB a job is deleted with its pending events: process them first.
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
        """Commit the ends of jobs, and claim a job for each request until there is none.

        Returns which ends were committed, and the jobs in the order of the requests; a lost
        commit stops neither. Where `claim_batch_size` is more than one, a job that was interrupted
        before comes alone, as it may be what ended its worker, and so does one of a limited
        queue, whose room others wait for.
        """
        ...

    @property
    def claim_batch_size(self) -> int:
        """How many jobs it is worth while to claim at once, by a worker to which they are short."""
        ...

    def flush(self) -> None:
        """Return when what `claim` and `commit_and_claim` wrote survives the crash of the machine.

        They leave that open when they return a job, so that it can be started meanwhile. What is
        lost with it is a claim, or an end that nobody has been told of: the job runs again. The
        next write comes after it in any case. Every other write is durable when it returns.
        """
        ...

    def renew(self, job_id: str, claim_id: str, lease_seconds: float) -> Renewal:
        """Extend a lease to `lease_seconds` from now, if the claim is still held.

        Raises StoreLocked, which says whether the claim stands, when others kept it from writing.
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

    # upkeep: small idempotent chores

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

    # ageing, and whole jobs

    def ended(
        self, state: State, before: datetime, limit: int, since: datetime | None = None
    ) -> list[Job]:
        """Return settled jobs of a state that ended before an instant, the longest ago first.

        At most `limit`, of those that ended at `since` or later. The cost does not grow with
        the number of jobs that are not returned.
        """
        ...

    def deliveries_ended(self, state: State, before: datetime, limit: int) -> list[Job]:
        """Return at most `limit` settled deliveries of hooks that ended before an instant.

        The cost does not grow with the number of jobs in other queues.
        """
        ...

    def remove(self, jobs: Sequence[Job]) -> frozenset[str]:
        """Delete settled jobs that are still as they were read; return the ids that are gone.

        A parent that a job waits for is kept, and one whose children have not all been notified.
        Meant for a few hundred at a time, so that others can write in between.
        """
        ...

    def has_past_runs(self, before: datetime) -> bool:
        """Whether `forget_runs` may find any. Cheap."""
        ...

    def forget_runs(self, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Take runs that ended before an instant off the histories of jobs, a stretch a call.

        The latest run of each job stays, and so does all that a job which runs now has; counters
        and `rev` stay as they are. Returns the ids of jobs with the numbers of runs that are gone,
        and whether there may be more. One call looks at about `limit` of them, and the cost does
        not grow with the number of jobs and runs that stay.
        """
        ...

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

    # notes about the store itself

    def get_meta(self, name: str) -> str | None:
        """Return what is noted under a name, or None."""
        ...

    def set_meta(self, name: str, value: str | None) -> None:
        """Note something under a name; None removes it."""
        ...

    # captured environments

    def save_environment(self, name: str, variables: Sequence[tuple[str, str]]) -> None:
        """Store an environment under the name that its content has, or renew its age."""
        ...

    def environment(self, name: str) -> tuple[tuple[str, str], ...] | None:
        """Return the variables of a captured environment, or None."""
        ...

    def environments(self) -> list[str]:
        """Return the names of all captured environments."""
        ...

    def forget_environments(self, before: datetime) -> int:
        """Remove those stored before an instant that no job names; return how many."""
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

    # schedules

    def schedules(self, due_by: datetime | None = None) -> list[Schedule]:
        """Return every schedule, by name.

        With `due_by` only those with a run due by then that are not paused, the earliest first.
        """
        ...

    def schedule(self, name: str) -> Schedule | None:
        """Return one schedule."""
        ...

    def save_schedule(self, after: Schedule, before: Schedule | None = None) -> bool:
        """Store a schedule if it is as it was read: of the same `rev`, or not there (None).

        False: somebody else was faster, and nothing was written.
        """
        ...

    def remove_schedule(self, name: str) -> bool:
        """Forget a schedule; return whether it was there."""
        ...

    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        """Add the run of a schedule that is due, then store the schedule as it is after it.

        A run that is there already is not added again, so that a call that was cut short is
        repeated without harm. `OVERLAPS`: another job with the run's unique key waits or runs.
        `LOST`: the schedule is not as it was read. Neither writes anything.
        """
        ...

    # hooks

    def hooks(self) -> list[Hook]:
        """Return every hook, by name. Cheap: there are few."""
        ...

    def save_hook(self, after: Hook, before: Hook | None = None) -> bool:
        """Store a hook if it is as it was read: of the same `rev`, or not there (None).

        False: somebody else was faster, and nothing was written.
        """
        ...

    def remove_hook(self, name: str) -> bool:
        """Forget a hook; return whether it was there."""
        ...

    # settings

    def settings(self) -> dict[str, object]:
        """Return the stored settings, as they are."""
        ...

    def set_setting(self, key: str, value: object | None) -> None:
        """Store one setting; None removes it."""
        ...

    # the registry of workers

    def register(self, worker: WorkerRecord) -> None:
        """Add a worker, with `heartbeat_at` now."""
        ...

    def heartbeat(self, worker_id: str) -> StopRequest | None:
        """Note that a worker lives; return what it was asked. Raises NotFound when unregistered."""
        ...

    def unregister(self, worker_id: str) -> None:
        """Remove a worker. Removing one that is not there is harmless."""
        ...

    def workers(self) -> list[WorkerRecord]:
        """Return every registered worker, the earliest first; some may be dead."""
        ...

    def ask_to_stop(self, worker_ids: Collection[str], how: StopRequest) -> None:
        """Leave a request that each worker finds with its next heartbeat."""
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
