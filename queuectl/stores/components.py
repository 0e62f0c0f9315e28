"""The parts of a store beside its jobs, each a small contract that every store keeps.

Times, errors and threads are as `stores.base` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from queuectl.stores.records import BATCH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from queuectl.domain.audit import AuditEntry
    from queuectl.domain.batch import Batch
    from queuectl.domain.host import HostReport
    from queuectl.domain.job import Job, State
    from queuectl.domain.schedule import Schedule
    from queuectl.domain.stats import Figures, Numbers, StatsBucket
    from queuectl.domain.worker_record import StopRequest, WorkerRecord
    from queuectl.stores.exchange import (
        Fired,
        HeldUnits,
        KeptRun,
        LogAnswer,
        LogWish,
        PendingEvents,
    )

Record = TypeVar("Record")


class Named(Protocol[Record]):
    """Records that people give names to, as hooks and schedules, each with a `rev`. Few."""

    def all(self) -> list[Record]:
        """Return every record that can be read, by name."""
        ...

    def get(self, name: str) -> Record | None:
        """Return one record. Raises StoreRefused when it cannot be read."""
        ...

    def save(self, after: Record, before: Record | None = None) -> bool:
        """Store a record if it is as it was read: of the same `rev`, or not there (None).

        False: somebody else was faster, and nothing was written.
        """
        ...

    def remove(self, name: str) -> bool:
        """Forget a record; return whether it was there."""
        ...


class Schedules(Named["Schedule"], Protocol):
    """What is enqueued again and again."""

    def due(self, by: datetime) -> list[Schedule]:
        """Return the schedules with a run due by then that are not paused, the earliest first."""
        ...

    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        """Add the run of a schedule that is due, then store the schedule as it is after it.

        A run that is there already is not added again, so that a call that was cut short is
        repeated without harm. `OVERLAPS`: another job with the run's unique key waits or runs.
        `LOST`: the schedule is not as it was read. Neither writes anything.
        """
        ...


class Batches(Named["Batch"], Protocol):
    """What holds for all jobs of a batch. Their own field `batch` says which they are."""

    def open(self) -> list[Batch]:
        """Return the batches that have not ended, or of whose end not all know."""
        ...

    def unmade(self) -> list[Batch]:
        """Return the batches of whose jobs some do not exist yet, the oldest first."""
        ...

    def counts(self, name: str) -> dict[State, int]:
        """Return how many jobs there are of a batch in each state, by an index alone."""
        ...

    def pending(self, name: str, limit: int) -> int:
        """Return how many jobs of a batch are pending, at most `limit`. Cheap."""
        ...

    def has_unsettled(self, name: str) -> bool:
        """Whether a job of a batch has not ended. Cheap."""
        ...

    def last_end(self, name: str) -> datetime | None:
        """Return when the job of a batch ended that ended last."""
        ...

    def make(self, before: Batch, jobs: Sequence[Job], after: Batch) -> bool:
        """Insert jobs of a batch, and store its record as it is then.

        A job that is there already is not inserted again, so that a call that was cut short is
        repeated without harm. False: the record is not as it was read, and none was inserted.
        """
        ...

    def let_go(self) -> int:
        """Let jobs go that have become due and whose turn in their batch it is; return how many.

        Changes do that by themselves for the batches of the jobs that they change.
        """
        ...

    def notify(self, batch: Batch) -> bool:
        """Notify jobs that wait for the end of a batch; return whether all know.

        `batch` is its record once it has ended, or was deleted where it has no `ended_at`.
        """
        ...

    def forget(self, name: str) -> bool:
        """Remove the record of a batch that has no jobs, and for which none waits."""
        ...


class StoredSettings(Protocol):
    """The settings that were changed, for the whole fleet."""

    def all(self) -> dict[str, object]:
        """Return the stored settings, as they are."""
        ...

    def set(self, key: str, value: object | None) -> None:
        """Store one setting; None removes it."""
        ...


class Meta(Protocol):
    """Notes about the store itself, such as that it was moved."""

    def get(self, name: str) -> str | None:
        """Return what is noted under a name, or None."""
        ...

    def set(self, name: str, value: str | None) -> None:
        """Note something under a name; None removes it."""
        ...


class Workers(Protocol):
    """The registry of workers."""

    def all(self) -> list[WorkerRecord]:
        """Return every registered worker, the earliest first; some may be dead."""
        ...

    def register(self, worker: WorkerRecord) -> None:
        """Add a worker, with `heartbeat_at` now."""
        ...

    def heartbeat(
        self, worker_id: str, slots: int, report: HostReport | None = None
    ) -> StopRequest | None:
        """Note that a worker lives, with how many slots and on what host; return what it was asked.

        Raises NotFound when it is not registered.
        """
        ...

    def unregister(self, worker_id: str) -> None:
        """Remove a worker. Removing one that is not there is harmless."""
        ...

    def ask_to_stop(self, worker_ids: Collection[str], how: StopRequest) -> None:
        """Leave a request that each worker finds with its next heartbeat."""
        ...


class Environments(Protocol):
    """Captured environments, each under the name that its content has."""

    def names(self) -> list[str]:
        """Return the names of all captured environments."""
        ...

    def get(self, name: str) -> tuple[tuple[str, str], ...] | None:
        """Return the variables of a captured environment, or None."""
        ...

    def save(self, name: str, variables: Sequence[tuple[str, str]]) -> None:
        """Store an environment under the name that its content has, or renew its age."""
        ...

    def forget(self, before: datetime) -> int:
        """Remove those stored before an instant that no job names; return how many."""
        ...


class RunLogs(Protocol):
    """The output of runs, packed (see `system.run_archive`), where every host can read it."""

    def put(self, runs: Sequence[KeptRun]) -> None:
        """Keep the output of runs. To keep what is there already is harmless."""
        ...

    def get(self, job_id: str, run: int, claim_id: str) -> bytes | None:
        """Return the output of a run, or None."""
        ...

    def remove(self, job_ids: Collection[str]) -> None:
        """Remove the output of all runs of jobs, where there is any."""
        ...

    def jobs_below(self, prefix: str) -> list[str]:
        """Return the ids of which there is anything that begin with a prefix ending in `/`."""
        ...

    def runs(self, job_id: str) -> list[tuple[int, str]]:
        """Return the number and the claim id of each run of a job of which there is output."""
        ...

    def remove_runs(self, job_id: str, runs: Collection[tuple[int, str]]) -> None:
        """Remove the output of some runs of a job."""
        ...


class LogWishes(Protocol):
    """Who looks at runs that go on elsewhere, and what their workers answer. Few and brief."""

    def ask(self, wish: LogWish, seconds: float) -> None:
        """Say that somebody looks, for so long from now on."""
        ...

    def wanted(self, worker_id: str) -> list[LogWish]:
        """Return who looks at runs of a worker."""
        ...

    def answer(self, wish: LogWish, answer: LogAnswer) -> None:
        """Answer a wish, if it has not been asked anew since."""
        ...

    def answered(self, wish_id: str) -> LogAnswer | None:
        """Return the latest answer, or None."""
        ...

    def forget(self, wish_id: str) -> None:
        """Forget one who looks no more."""
        ...


class Stats(Protocol):
    """Events, kept until they are processed, and the figures made of them."""

    def pending_events(self, limit: int = BATCH) -> PendingEvents:
        """Return what has happened and was not processed, at most `limit` runs, the oldest first.

        `commit` leaves an event (`event_of`) in the write that applies the change, so that
        each is processed once, whoever is killed. `insert` counts the jobs that it stores; on
        MongoDB those of a call that was cut short may be counted too, or twice if it is repeated.
        """
        ...

    def has_pending(self) -> bool:
        """Whether anything may have happened that was not processed; a look that writes nothing."""
        ...

    def record(self, events: PendingEvents, numbers: Mapping[StatsBucket, Numbers]) -> bool:
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

    def forget(self, before: datetime, limit: int = BATCH) -> int:
        """Remove the figures of minutes that began before an instant; return how many records.

        At most `limit`, the oldest first. Totals stay.
        """
        ...


class Resources(Protocol):
    """What the fleet has of named resources, and what jobs hold of all of them."""

    def fleet(self) -> dict[str, str]:
        """Return how much the fleet has of each resource, as it was written."""
        ...

    def set(self, name: str, capacity: str | None) -> bool:
        """Say how much the fleet has of a resource; None forgets it. Return whether it was known.

        What is in use stays so, also where that is more than there is now.
        """
        ...

    def held(self) -> list[HeldUnits]:
        """Return what the jobs hold that run."""
        ...


class Audit(Protocol):
    """Who has changed what: at most `MOST_ENTRIES` acts, of which the oldest go first."""

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Note one or more acts."""
        ...

    def find(
        self, since: datetime | None = None, who: str = "", limit: int = 100, skip: int = 0
    ) -> list[AuditEntry]:
        """Return at most `limit` acts, the latest first, without the first `skip` of them.

        Those at `since` or later, of whom the name has `who` in it, in whatever case of ASCII.
        """
        ...

    def forget(self, before: datetime) -> int:
        """Forget acts from before an instant; return how many."""
        ...


class Retention(Protocol):
    """Removing what is old, in small steps, so that others can write in between."""

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
        Meant for a few hundred at a time.
        """
        ...

    def has_past_runs(self, before: datetime) -> bool:
        """Whether `forget_runs` may find any. Cheap."""
        ...

    def needs_snapshot(self, snapshot: str) -> bool:
        """Whether a job, in the DLQ or not, runs in that snapshot of a work tree."""
        ...

    def forget_runs(self, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Take runs that ended before an instant off the histories of jobs, a stretch a call.

        The latest run of each job stays, and so does all that a job which runs now has; counters
        and `rev` stay as they are. Returns the ids of jobs with the numbers of runs that are gone,
        and whether there may be more. One call looks at about `limit` of them, and the cost does
        not grow with the number of jobs and runs that stay.
        """
        ...
