"""MongoDB as a store: many hosts share one queue. Needs no transactions, only single writes.

The parts: `mongo_link` connects, `mongo_schema` marks and indexes, `mongo_claims` chooses,
`mongo_dlq` moves the dead, `mongo_batches` adds, `mongo_reads` looks.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import pymongo
from pymongo.errors import PyMongoError

from queuectl.domain.filters import Counts, Filter, Page
from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.lanes import Lane
from queuectl.domain.schedule import Schedule
from queuectl.domain.times import EPOCH, later
from queuectl.domain.transitions import Transition, has_new_blockers
from queuectl.stores import mongo_batches, mongo_children, mongo_dlq, mongo_queues, mongo_reads
from queuectl.stores.base import BATCH, ClaimRequest, Fired, Renewal
from queuectl.stores.mongo_claims import Claims
from queuectl.stores.mongo_documents import BARE, fence, new_stamp, readable, run_filter, update
from queuectl.stores.mongo_figures import MongoFigures, finish_telling
from queuectl.stores.mongo_hooks import MongoHooks
from queuectl.stores.mongo_link import (
    BRIEF_SECONDS,
    MAJORITY,
    Document,
    Link,
    guarded,
    is_doubtful,
    translated,
)
from queuectl.stores.mongo_schedules import MongoSchedules
from queuectl.stores.mongo_schema import missing_indexes, prepare
from queuectl.waiting import wait_readable

SHORTEST_POLL, LONGEST_POLL = 0.05, 0.5
"""Seconds between two looks for work; a look is one read of one key of an index."""

WORST_SKEW_SECONDS = 5.0
_PROCESSING = {"state": "processing"}


class MongoStore(MongoFigures, MongoSchedules, MongoHooks):
    """Jobs in a MongoDB database. Make it with `open`; see `Store` for what each method does."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._claims = Claims(link)
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
        link = Link(url)
        try:
            with translated(link):
                prepare(link)
        except BaseException:
            link.close()
            raise
        return cls(link)

    @property
    def address(self) -> str:
        """`mongodb://host:port/database`, without credentials."""
        return self.link.address

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        self.link.close()

    def now(self) -> datetime:
        """Return the server's time."""
        return self.link.now()

    # jobs

    @guarded
    def add(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        """Insert new jobs; return the ids that exist already."""
        refused = mongo_batches.add(self.link, jobs, atomic=atomic)
        now = self.now()
        due = {(job.spec.queue, job.spec.priority) for job in jobs if job.is_ready(now)}
        for queue, priority in due:
            self._claims.lanes.note_ready(queue, priority)
        return refused

    @guarded
    def get(self, job_id: str) -> Job | None:
        """Return one job with its output and its history."""
        return mongo_reads.get(self.link, job_id)

    @guarded
    def generated_ids(self, prefix: str, limit: int) -> list[str]:
        """Return at most `limit` generated ids that begin with `prefix`."""
        return mongo_reads.generated_ids(self.link, prefix, limit)

    def find(self, chosen: Filter, page: Page) -> Iterator[Job]:
        """Yield jobs in order of arrival, 500 to a read."""
        return mongo_reads.find(self.link, chosen, page)

    @guarded
    def edge(self, queue: str, *, last: bool = False) -> Job | None:
        """Return the first or last ready job of a queue."""
        return mongo_reads.edge(self.link, queue, last=last)

    @guarded
    def oldest_due(self) -> dict[str, datetime]:
        """Return since when jobs of each queue have been due."""
        return mongo_reads.oldest_due(self.link)

    @guarded
    def counts(self) -> Counts:
        """Return how many jobs there are in each state of each queue."""
        return mongo_reads.counts(self.link)

    # the two verbs that carry the risk

    @guarded
    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready: one command, and now and then a look around."""
        self._queues = request.queues
        job = self._claims.claim(request)
        if job is not None:
            self._pause = SHORTEST_POLL
        return job

    @guarded
    def commit(self, change: Transition) -> bool:
        """Apply a transition if its fence holds."""
        stamp = new_stamp()
        now = self.now()
        if has_new_blockers(change):
            mongo_children.mark_parents(self.link, change)
        if change.is_revival:
            is_applied = mongo_dlq.revive(self.link, change, now, stamp)
        elif change.after is None:
            is_applied = self._delete(change)
        else:
            is_applied = self._change(change, change.after, now, stamp)
        after = change.after
        if is_applied and after and has_new_blockers(change):
            mongo_children.settle_blockers(self.link, [after])
        if is_applied and change.before.state is State.PROCESSING:
            self._claims.lanes.note_room(change.before.spec.queue)
        if is_applied and change.is_burial:
            mongo_dlq.try_to_finish_burial(self.link, change.before.id)
        elif is_applied and after and after.is_ready(now):
            self._claims.lanes.note_ready(after.spec.queue, after.spec.priority)
        if is_applied and after and after.unswept:
            mongo_children.try_to_sweep(self.link, after)
        elif is_applied and after is None and change.before.has_children:
            mongo_children.forsake(self.link, change.before.id, change.before.seq)
        return is_applied

    def _change(self, change: Transition, after: Job, now: datetime, stamp: str) -> bool:
        try:
            written = self.link.jobs.update_one(fence(change), update(change, after, now, stamp))
        except PyMongoError as fault:
            if not is_doubtful(fault):
                raise
            if self._has({"_id": after.id, "stamp": stamp}) or self._has_run(change):
                return True
            raise
        if written.matched_count == 1:
            return True
        # the driver may have repeated what had been applied, and not every server knows it again
        return self._has({"_id": after.id, "stamp": stamp}) or self._has_run(change)

    def _delete(self, change: Transition) -> bool:
        decided = fence(change)
        if change.before.has_children:
            mongo_children.announce_deletion(self.link, change.before)
        try:
            return self.link.jobs.delete_one(decided).deleted_count == 1
        except PyMongoError as fault:
            if is_doubtful(fault) and not self._has(decided):
                return True
            raise

    def _has_run(self, change: Transition) -> bool:
        """Whether an earlier try at this commit was applied, whatever came after it."""
        wanted = run_filter(change)
        return wanted is not None and self._has(wanted, in_dlq=True)

    def _has(self, wanted: Document, *, in_dlq: bool = False) -> bool:
        """Whether a document that matches is in `jobs` for good, or in `dlq` where asked."""
        places = (self.link.jobs, self.link.dlq) if in_dlq else (self.link.jobs,)
        return any(
            place.with_options(read_concern=MAJORITY).find_one(wanted, {"_id": True})
            for place in places
        )

    def settle(self, change: Transition, request: ClaimRequest) -> tuple[bool, Job | None]:
        """Commit one job and claim the next: two commands."""
        return self.commit(change), self.claim(request)

    @guarded
    def sync(self) -> None:
        """Nothing is left to do: the server acknowledges what is journaled; see `Store.sync`."""

    def renew(self, job_id: str, claim_id: str, lease_seconds: float) -> Renewal:
        """Extend a lease to `lease_seconds` from now, if the claim is still held."""
        with pymongo.timeout(min(BRIEF_SECONDS, lease_seconds)):
            held = self.link.jobs.find_one_and_update(
                {"_id": job_id, **_PROCESSING, "claim_id": claim_id},
                {"$set": {"lease_until": later(self.now(), lease_seconds)}},
                {"cancel_requested": True, "held": True},
            )
        if held is None:
            return Renewal.LOST
        return Renewal.of(held["cancel_requested"], held.get("held", False))

    # queues

    @guarded
    def lanes(self) -> dict[str, Lane]:
        """Return the queues about which something was decided, with the slots in use."""
        return {
            name: replace(lane, used=mongo_queues.used_slots(self.link, name))
            if lane.limit
            else lane
            for name, lane in mongo_queues.decided(self.link).items()
        }

    @guarded
    def set_lane(self, queue: str, *, paused: bool | None = None, limit: int | None = None) -> None:
        """Pause or resume a queue, or limit its slots."""
        mongo_queues.decide(self.link, queue, paused, limit)

    @guarded
    def holder(self, unique: str) -> str | None:
        """Return the id of the job that waits or runs and has a unique key."""
        found = self.link.jobs.find_one({"unique_live": unique}, {"batch": True})
        return found["_id"] if found and mongo_batches.existing(self.link, [found]) else None

    # schedules

    @guarded
    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        """Add the run of a schedule, then advance it; a crash in between is made good later."""
        if not self.is_unchanged(before):
            return Fired.LOST
        if self.add([job]) and not self._has({"_id": job.id}):
            return Fired.OVERLAPS
        return Fired.ENQUEUED if self.put_schedule(after, before) else Fired.LOST

    # upkeep

    @guarded
    def sweep(self) -> int:
        """Tell children of parents that have ended or were deleted."""
        told = mongo_children.sweep(self.link)
        if told:
            self._claims.lanes.forget()
        return told

    @guarded
    def promote(self, limit: int = BATCH) -> int:
        """Make at most `limit` jobs claimable that have become due."""
        due = {"ready": False, "run_at": {"$lte": self.now()}}
        found = self.link.jobs.find(due, {"_id": True}).sort("run_at", 1).limit(limit)
        ids = [document["_id"] for document in found]
        if not ids:
            return 0
        states = sorted(state.value for state in WAITING)
        still_due = {"_id": {"$in": ids}, **due, "state": {"$in": states}}
        promoted = self.link.jobs.update_many(still_due, {"$set": {"ready": True}})
        self._claims.lanes.forget()
        return promoted.modified_count

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
    def held_by(self, worker_id: str) -> list[Job]:
        """Return the jobs that a worker has claimed and not settled."""
        held = {**_PROCESSING, "worker": worker_id}
        found = self.link.jobs.find(held, BARE)
        return [job for job in map(readable, found) if job is not None]

    @guarded
    def repair(self) -> int:
        """Finish burials and batches that a crash cut short, and remove what is left over.

        One call looks at one stretch of the DLQ for leftovers; the next call at the next.
        """
        finish_telling(self.link)
        mended = mongo_batches.mend(self.link) + mongo_dlq.finish_burials(self.link)
        lost, self._swept_to = mongo_dlq.unbelieved(self.link, self._swept_to)
        return mended + mongo_dlq.remove_copies(self.link, lost)

    # waiting and looking

    @guarded
    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Poll for a ready job of the queues last claimed from, more slowly while there is none."""
        where: Document = {"ready": True, "queue": self._claims.lanes.open_queues(self._queues)}
        ends_at = time.monotonic() + seconds
        while self.link.jobs.find_one(where, {"_id": True}, hint="claim") is None:
            remaining = ends_at - time.monotonic()
            pause = min(self._pause * random.uniform(0.75, 1.25), max(remaining, 0))
            if wait_readable([wake], pause) or remaining <= pause:
                return
            self._pause = min(self._pause * 2, LONGEST_POLL)
        self._pause = SHORTEST_POLL
        self._claims.lanes.forget()

    @guarded
    def check(self) -> list[str]:
        """Look for missing indexes, half-done moves and batches, and clocks that disagree."""
        link = self.link
        faults = [f"the index '{name}' of 'jobs' is missing" for name in missing_indexes(link)]
        moving = link.jobs.count_documents({"moving": True})
        if moving:
            faults.append(f"{moving} job(s) on the way to the DLQ; upkeep finishes that")
        leftovers, after = mongo_dlq.unbelieved(link, "")
        while after:
            more, after = mongo_dlq.unbelieved(link, after)
            leftovers += more
        if leftovers:
            faults.append(f"{len(leftovers)} leftover(s) in the DLQ; upkeep removes them")
        if batches := mongo_batches.unmended(link):
            faults.append(f"{batches} unfinished batch(es); upkeep removes them")
        skew = self.now().timestamp() - time.time()
        if abs(skew) > WORST_SKEW_SECONDS:
            faults.append(f"this host's clock differs from the server's by {abs(skew):.0f} s")
        return faults
