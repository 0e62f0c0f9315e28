"""Changing jobs on MongoDB: each change is decided by one write to `jobs`, under its fence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from pymongo.errors import PyMongoError

from queuectl.domain.job import WAITING, Job, State
from queuectl.domain.state_machine import Transition
from queuectl.stores.mongo import batches, bulk, dead, dependencies, dependents, ends, turns
from queuectl.stores.mongo.connection import (
    Document,
    Link,
    is_applied,
    is_there,
    left_to_repair,
)
from queuectl.stores.mongo.documents import NEEDS, fence, new_stamp, run_filter, update
from queuectl.stores.mongo.errors import is_doubtful
from queuectl.stores.mongo.queues import ReadyQueues, note_needs
from queuectl.stores.mongo.stats import keep_events

_PROMOTE_SECONDS = 1.0
"""How long one call promotes jobs: a worker that is asked to leave waits for it."""


class Writes:
    """The changing side of a store; what it makes ready, its worker need not discover."""

    def __init__(self, link: Link, ready_queues: ReadyQueues) -> None:
        self._link = link
        self._ready_queues = ready_queues

    def insert(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        """Insert new jobs; see `Store.insert`."""
        if any(job.spec.needs for job in jobs):
            note_needs(self._link)
        refused = batches.add(self._link, jobs, atomic=atomic)
        now = self._link.now()
        for queue, priority in {
            (job.spec.queue, job.spec.priority)
            for job in jobs
            if job.is_ready(now) and not job.spec.needs
        }:
            self._ready_queues.note_ready(queue, priority)
        if any(job.spec.at_once for job in jobs) and turns.after_insert(self._link, jobs):
            self.note_let_go()
        return refused

    def note_let_go(self) -> None:
        """Note that jobs have become ready of which nobody here knows in which queues."""
        self._ready_queues.forget()

    def commit(self, change: Transition) -> bool:
        """Apply a transition if its fence holds; see `Store.commit`."""
        now, stamp, after = self._link.now(), new_stamp(), change.after
        if after is not None and after.spec.needs and after.spec is not change.before.spec:
            note_needs(self._link)
        if after is None or not change.has_new_blockers:
            is_written = self._apply(change, now, stamp)
        else:
            linking = dependencies.announce(self._link, change, after, stamp)
            if linking is None:
                return False
            is_written = self._apply(change, now, stamp, linking)
            if is_written:
                dependencies.finish_linking(self._link, [after], stamp)
            else:
                dependencies.withdraw(self._link, after.id, stamp)
        if is_written:
            self._follow_up(change, now)
            self._see_to_batches([change])
        return is_written

    def _see_to_batches(self, changes: Sequence[Transition]) -> None:
        """See to the batches of jobs that were changed; the upkeep does what fails here."""
        if all(change.before.spec.batch is None for change in changes):
            return
        with left_to_repair():
            if turns.after_changes(self._link, changes):
                self.note_let_go()

    def commit_all(self, changes: Sequence[Transition]) -> list[bool]:
        """Apply changes of many jobs, most of them in one command; see `Store.commit_all`."""
        now = self._link.now()
        plain = [change for change in changes if bulk.is_plain(change)]
        if any(each.after and each.after.spec.needs for each in plain):
            note_needs(self._link)
        applied = bulk.apply(self._link, plain, now)
        for change in plain:
            if change.before.id in applied:
                self._follow_up(change, now)
        self._see_to_batches([change for change in plain if change.before.id in applied])
        ended = [change for change in changes if ends.is_end(change)]
        done = zip(ended, self.commit_ends(ended), strict=True)
        applied |= {change.before.id for change, is_done in done if is_done}
        others = [each for each in changes if not (bulk.is_plain(each) or ends.is_end(each))]
        applied |= {change.before.id for change in others if self.commit(change)}
        return [change.before.id in applied for change in changes]

    def commit_ends(self, changes: Sequence[Transition]) -> list[bool]:
        """Apply the ends of runs of different jobs in one command; return which are applied.

        One that the server refuses for a reason is not applied, and `commit` raises that.
        """
        if len(changes) < 2 or not all(map(ends.is_end, changes)):
            return [self.commit(change) for change in changes]
        now = self._link.now()
        done = ends.apply(self._link, changes, now)
        applied = [change for change in changes if change.before.id in done]
        for change in applied:
            self._follow_up(change, now)
        self._see_to_batches(applied)
        return [change.before.id in done for change in changes]

    def _apply(
        self, change: Transition, now: datetime, stamp: str, linking: Document | None = None
    ) -> bool:
        """Write a change if its fence holds, and the mark `linking` where there is one."""
        if change.after is None:
            return self._delete(change)
        if change.from_dead:
            return dead.revive(self._link, change, change.after, now, stamp, linking)
        jobs, own = self._link.jobs, {"_id": change.before.id, "stamp": stamp}
        decided, written = fence(change, linking), update(change, change.after, now, stamp)
        return is_applied(
            lambda: jobs.update_one(decided, written).matched_count == 1,
            lambda: is_there(jobs, own) or self._has_run(change),
        )

    def _delete(self, change: Transition) -> bool:
        before, jobs = change.before, self._link.jobs
        if before.has_dependents and not dependents.announce_deletion(self._link, before):
            return False
        decided = {**fence(change), **(dead.DEAD if change.from_dead else {})}
        keep_events(self._link, [before.id])
        try:
            is_gone = jobs.delete_one(decided).deleted_count == 1
        except PyMongoError as fault:
            if not is_doubtful(fault) or is_there(jobs, decided):
                raise
            is_gone = True
        if is_gone and change.from_dead:
            dead.drop_copies(self._link, [before])
        return is_gone

    def _has_run(self, change: Transition) -> bool:
        """Whether an earlier try at this commit was applied, whatever came after it."""
        wanted = run_filter(change)
        places = (self._link.jobs, self._link.dlq)
        return wanted is not None and any(is_there(place, wanted) for place in places)

    def _follow_up(self, change: Transition, now: datetime) -> None:
        """Do what follows from a change that was applied; `repair` does what fails here."""
        before, after = change.before, change.after
        if before.state is State.PROCESSING:
            self._ready_queues.note_room(before.spec.queue)
            if before.spec.needs:
                self._ready_queues.look_at_needs()
        if change.to_dead:
            with left_to_repair():
                dead.finish_burial(self._link, before.id)
        elif after is not None and after.spec.needs:
            self._ready_queues.look_at_needs()
        elif after is not None and after.is_ready(now):
            self._ready_queues.note_ready(after.spec.queue, after.spec.priority)
        if after is not None and after.children_pending:
            with left_to_repair():
                dependents.notify_first(self._link, after)
        elif after is None and before.has_dependents:
            dependents.detach_children(self._link, before)

    def notify_children(self) -> int:
        """Notify children of parents that have ended; see `Store.notify_children`."""
        notified = dependents.notify_children(self._link)
        if notified:
            self._ready_queues.forget()
        return notified

    def make_due_claimable(self, limit: int) -> int:
        """Make jobs claimable that have become due; see `Store.make_due_claimable`."""
        jobs = self._link.jobs
        due = {"ready": False, "run_at": {"$lte": self._link.now()}}
        found = list(jobs.find(due, {"needs": True}).sort("run_at", 1).limit(limit))
        if not found:
            return 0
        needy = [each["_id"] for each in found if each.get("needs")]
        others = [each["_id"] for each in found if not each.get("needs")]
        still_due = {**due, "state": {"$in": sorted(state.value for state in WAITING)}}
        promoted = 0
        ends_at = time.monotonic() + _PROMOTE_SECONDS
        for ids, ready in ((others, True), (needy, NEEDS)):
            for some in self._link.changes.of(ids):
                if promoted and time.monotonic() >= ends_at:
                    break
                which = {"_id": {"$in": list(some)}, **still_due}
                promoted += jobs.update_many(which, {"$set": {"ready": ready}}).modified_count
        self._ready_queues.forget()
        return promoted
