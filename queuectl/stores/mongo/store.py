"""MongoDB as a store: many hosts share one queue. Needs no transactions, only single writes.

The parts: `connection` connects, `schema` marks and indexes, `batches` adds,
`claims` chooses, `writes` applies, `dead` moves the dead, `reads` looks.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import pymongo

from queuectl.domain.job import WAITING, Job
from queuectl.domain.query import Counts, Filter, Page
from queuectl.domain.queue_limits import QueueLimit
from queuectl.domain.schedule import Schedule
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import EPOCH, later
from queuectl.stores.base import BATCH, ClaimRequest, Fired, Renewal
from queuectl.stores.mongo import batches as mongo_batches
from queuectl.stores.mongo import dead, dependencies, dependents, queues, reads
from queuectl.stores.mongo.connection import BRIEF_SECONDS, Document, Link, guarded, translated
from queuectl.stores.mongo.documents import BARE, readable
from queuectl.stores.mongo.named import MongoHooks, MongoSchedules
from queuectl.stores.mongo.schema import missing_indexes, prepare
from queuectl.stores.mongo.stats import finish_batch
from queuectl.stores.mongo.writes import MongoCommits
from queuectl.stores.serialization import unreadable
from queuectl.system.polling import wait_readable

SHORTEST_POLL, LONGEST_POLL = 0.05, 0.5
"""Seconds between two looks for work; a look is one read of one key of an index."""

_PROMOTE_SECONDS = 1.0
"""How long one call promotes jobs: a worker that is asked to leave waits for it."""

_PROCESSING = {"state": "processing"}


class MongoStore(MongoCommits, MongoSchedules, MongoHooks):
    """Jobs in a MongoDB database. Make it with `open`; see `Store` for what each method does."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._queues: tuple[str, ...] = ()
        self._pause = SHORTEST_POLL
        self._swept_to = ""

    @classmethod
    def open(cls, url: str) -> MongoStore:
        """Connect to `mongodb://` or `mongodb+srv://`; the database is `queuectl` unless named.

        Raises InvalidInput for a malformed address, StoreUnavailable within 5 seconds when
        nothing answers, StoreRefused for bad credentials, a database with collections of these
        names that are not queuectl's, or one of a newer version.
        """
        link = _prepared(url, make=True)
        assert link is not None, "what is missing is made"
        return cls(link)

    @classmethod
    def open_existing(cls, url: str) -> MongoStore | None:
        """Connect as `open` does, but make nothing: None for a database without our mark."""
        link = _prepared(url, make=False)
        return None if link is None else cls(link)

    @property
    def address(self) -> str:
        """`mongodb://host:port/database`, without credentials."""
        return self.link.address

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        self.link.close()

    patience = 0.0
    """Writers do not wait for each other; see `Store.patience`."""

    @property
    def between(self) -> Callable[[], None]:
        """What is called between the commands of a long method; see `Store.between`."""
        return self.link.between

    @between.setter
    def between(self, between: Callable[[], None]) -> None:
        self.link.between = between

    def require_writable(self) -> None:
        """Nothing keeps others from writing that lets them read; see `Store.require_writable`."""

    def tidy(self, seconds: float) -> bool:  # noqa: ARG002 - the server does that by itself
        """Nothing is left to do; see `Store.tidy`."""
        return False

    def is_same_file(self) -> bool:
        """Nothing takes the place of a database of a server; see `Store.is_same_file`."""
        return True

    def recover(self, patience: float = 0) -> None:
        """Do nothing: the driver finds its servers again; see `Store.recover`."""

    def now(self) -> datetime:
        """Return the server's time."""
        return self.link.now()

    # jobs

    @guarded
    def insert(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        """Insert new jobs; return the ids that exist already."""
        refused = mongo_batches.add(self.link, jobs, atomic=atomic)
        now = self.now()
        due = {(job.spec.queue, job.spec.priority) for job in jobs if job.is_ready(now)}
        for queue, priority in due:
            self._claims.ready_queues.note_ready(queue, priority)
        return refused

    @guarded
    def get(self, job_id: str) -> Job | None:
        """Return one job with its output and its history."""
        return reads.get(self.link, job_id)

    @guarded
    def generated_ids(self, prefix: str, limit: int) -> list[str]:
        """Return at most `limit` generated ids that begin with `prefix`."""
        return reads.generated_ids(self.link, prefix, limit)

    def find(self, chosen: Filter, page: Page) -> Iterator[Job]:
        """Yield jobs in order of arrival, 500 to a read."""
        return reads.find(self.link, chosen, page)

    @guarded
    def first_ready(self, queue: str) -> Job | None:
        """Return the ready job of a queue that is to be claimed first."""
        return reads.ready_job(self.link, queue)

    @guarded
    def last_ready(self, queue: str) -> Job | None:
        """Return the ready job of a queue that is to be claimed last."""
        return reads.ready_job(self.link, queue, last=True)

    @guarded
    def oldest_due(self) -> dict[str, datetime]:
        """Return since when jobs of each queue have been due."""
        return reads.oldest_due(self.link)

    @guarded
    def counts(self) -> Counts:
        """Return how many jobs there are in each state of each queue."""
        return reads.counts(self.link)

    # the two methods that carry the risk

    @guarded
    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready: one command, and now and then a look around."""
        self._queues = request.queues
        job = self._claims.claim(request)
        if job is not None:
            self._pause = SHORTEST_POLL
        return job

    def commit_and_claim(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        """Commit the ends of jobs and claim others, one by one; see `Store.commit_and_claim`."""
        applied = [self.commit(change) for change in changes]
        claimed: list[Job] = []
        for request in requests:
            job = self.claim(request)
            if job is None:
                break
            claimed.append(job)
        return applied, claimed

    @property
    def claim_batch_size(self) -> int:
        """One: nothing is saved by claiming more at once."""
        return 1

    def flush(self) -> None:
        """Nothing is left to do: the server acknowledges what is journaled; see `Store.flush`."""

    @guarded
    def has_ready_deliveries(self, *, untried: bool = False) -> bool:
        """Whether there may be a delivery of a hook to claim; see `Store.has_ready_deliveries`."""
        return self._claims.ready_queues.has_deliveries(untried=untried)

    @guarded
    def renew(self, job_id: str, claim_id: str, lease_seconds: float) -> Renewal:
        """Extend a lease to `lease_seconds` from now, if the claim is still held."""
        with pymongo.timeout(min(BRIEF_SECONDS, lease_seconds)):
            held = self.link.jobs.find_one_and_update(
                {"_id": job_id, **_PROCESSING, "claim_id": claim_id},
                {"$set": {"lease_until": later(self.now(), lease_seconds)}},
                {"cancel_requested": True, "paused": True},
            )
        if held is None:
            return Renewal.LOST
        return Renewal.of(held["cancel_requested"], held.get("paused", False))

    # queues

    @guarded
    def queue_limits(self) -> dict[str, QueueLimit]:
        """Return the queues about which something was decided, with the slots in use."""
        return {
            name: replace(lane, used=queues.used_slots(self.link, name)) if lane.limit else lane
            for name, lane in queues.decided(self.link).items()
        }

    @guarded
    def set_queue_limit(
        self, queue: str, *, paused: bool | None = None, limit: int | None = None
    ) -> None:
        """Pause or resume a queue, or limit its slots."""
        queues.decide(self.link, queue, paused, limit)

    @guarded
    def unique_key_owner(self, unique: str) -> str | None:
        """Return the id of the job that waits or runs and has a unique key."""
        found = self.link.jobs.find_one({"unique_live": unique}, {"batch": True})
        return found["_id"] if found and mongo_batches.existing(self.link, [found]) else None

    # schedules

    @guarded
    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        """Add the run of a schedule, then advance it; a crash in between is made good later."""
        if not self.is_unchanged(before):
            return Fired.LOST
        if self.insert([job]) and not self._has({"_id": job.id}):
            return Fired.OVERLAPS
        return Fired.ENQUEUED if self.save_schedule(after, before) else Fired.LOST

    # upkeep

    @guarded
    def notify_children(self) -> int:
        """Notify children of parents that have ended; see `Store.notify_children`."""
        told = dependents.notify_children(self.link)
        if told:
            self._claims.ready_queues.forget()
        return told

    @guarded
    def make_due_claimable(self, limit: int = BATCH) -> int:
        """Make at most `limit` jobs claimable that have become due."""
        due = {"ready": False, "run_at": {"$lte": self.now()}}
        found = self.link.jobs.find(due, {"_id": True}).sort("run_at", 1).limit(limit)
        ids = [document["_id"] for document in found]
        if not ids:
            return 0
        states = sorted(state.value for state in WAITING)
        promoted = 0
        ends_at = time.monotonic() + _PROMOTE_SECONDS
        for some in self.link.changes.of(ids):
            if promoted and time.monotonic() >= ends_at:
                break
            still_due = {"_id": {"$in": list(some)}, **due, "state": {"$in": states}}
            made = self.link.jobs.update_many(still_due, {"$set": {"ready": True}})
            promoted += made.modified_count
        self._claims.ready_queues.forget()
        return promoted

    @guarded
    def next_due(self) -> datetime | None:
        """Return when the next job that waits for its time is due."""
        waiting = {"ready": False, "run_at": {"$gt": EPOCH}}
        first = self.link.jobs.find_one(waiting, {"run_at": True}, sort=[("run_at", 1)])
        return first["run_at"] if first else None

    @guarded
    def leases_ending(self, before: datetime) -> list[Job]:
        """Return the jobs whose lease ends before an instant, the first to end first."""
        ending = {**_PROCESSING, "lease_until": {"$lt": before}}
        found = self.link.jobs.find(ending, BARE).sort("lease_until", 1).limit(BATCH)
        return [job for job in map(readable, found) if job is not None]

    @guarded
    def claimed_by(self, worker_id: str) -> list[Job]:
        """Return the jobs that a worker has claimed and not finished."""
        held = {**_PROCESSING, "worker": worker_id}
        found = self.link.jobs.find(held, BARE)
        return [job for job in map(readable, found) if job is not None]

    @guarded
    def repair(self) -> int:
        """Finish burials, batches and edits that a crash cut short; remove what is left over.

        One call looks at one stretch of the DLQ for leftovers; the next call at the next.
        """
        finish_batch(self.link)
        mended = mongo_batches.mend(self.link) + dependencies.mend(self.link)
        mended += dead.finish_burials(self.link)
        lost, self._swept_to = dead.unbelieved(self.link, self._swept_to)
        return mended + dead.remove_copies(self.link, lost)

    # waiting and looking

    @guarded
    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Poll for a ready job of the queues last claimed from, more slowly while there is none."""
        where: Document = {
            "ready": True,
            "queue": self._claims.ready_queues.open_queues(self._queues),
        }
        ends_at = time.monotonic() + seconds
        while self.link.jobs.find_one(where, {"_id": True}, hint="claim") is None:
            remaining = ends_at - time.monotonic()
            pause = min(self._pause * random.uniform(0.75, 1.25), max(remaining, 0))
            if wait_readable([wake], pause) or remaining <= pause:
                return
            self._pause = min(self._pause * 2, LONGEST_POLL)
        self._pause = SHORTEST_POLL
        self._claims.ready_queues.forget()

    @guarded
    def check(self, *, quick: bool = False) -> list[str]:
        """Look for missing indexes, half-done moves and batches, and damaged records.

        Nothing of it keeps a store from being used, and the server looks after its own pages.
        """
        if quick:
            return []
        link = self.link
        faults = [f"the index '{name}' of 'jobs' is missing" for name in missing_indexes(link)]
        moving = link.jobs.count_documents({"moving": True})
        if moving:
            faults.append(f"{moving} job(s) on the way to the DLQ; upkeep finishes that")
        leftovers, after = dead.unbelieved(link, "")
        while after:
            more, after = dead.unbelieved(link, after)
            leftovers += more
        if leftovers:
            faults.append(f"{len(leftovers)} leftover(s) in the DLQ; upkeep removes them")
        if batches := mongo_batches.unmended(link):
            faults.append(f"{batches} unfinished batch(es); upkeep removes them")
        faults += [unreadable(job_id) for job_id in reads.unreadable_jobs(link)]
        return faults


def _prepared(url: str, *, make: bool) -> Link | None:
    """Connect to a database of ours, made if need be; None if there is none and it is not made."""
    link = Link(url)
    try:
        with translated(link):
            is_ours = prepare(link, make=make)
    except BaseException:
        link.close()
        raise
    if is_ours:
        return link
    link.close()
    return None
