"""Applying transitions on MongoDB: each is decided by one write to `jobs`, under its fence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo.errors import PyMongoError

from queuectl.domain.job import Job, State
from queuectl.domain.state_machine import Transition
from queuectl.stores.mongo import bulk, dead, dependencies, dependents
from queuectl.stores.mongo.claims import Claims
from queuectl.stores.mongo.connection import MAJORITY, Document, Link, guarded, is_doubtful
from queuectl.stores.mongo.documents import fence, new_stamp, run_filter, update
from queuectl.stores.mongo.stats import MongoFigures


class MongoCommits(MongoFigures):
    """The part of `MongoStore` that changes jobs."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._claims = Claims(link)

    @guarded
    def commit(self, change: Transition) -> bool:
        """Apply a transition if its fence holds; see `Store.commit`."""
        now, stamp, after = self.link.now(), new_stamp(), change.after
        if after is None or not change.has_new_blockers:
            is_applied = self._apply(change, now, stamp)
        else:
            linking = dependencies.announce(self.link, change, after, stamp)
            if linking is None:
                return False
            is_applied = self._apply(change, now, stamp, linking)
            if is_applied:
                dependencies.finish_linking(self.link, [after], stamp)
            else:
                dependencies.withdraw(self.link, after.id, stamp)
        if is_applied:
            self._follow_up(change, now)
        return is_applied

    @guarded
    def commit_all(self, changes: Sequence[Transition]) -> list[bool]:
        """Apply changes of many jobs, most of them in one command; see `Store.commit_all`."""
        now = self.link.now()
        plain = [change for change in changes if bulk.is_plain(change)]
        applied = bulk.apply(self.link, plain, now)
        for change in plain:
            if change.before.id in applied:
                self._follow_up(change, now)
        others = [change for change in changes if not bulk.is_plain(change)]
        applied |= {change.before.id for change in others if self.commit(change)}
        return [change.before.id in applied for change in changes]

    def _apply(
        self, change: Transition, now: datetime, stamp: str, linking: Document | None = None
    ) -> bool:
        """Write a change if its fence holds, and the mark `linking` where there is one."""
        is_deleted_parent = change.after is None and change.before.has_dependents
        if is_deleted_parent and not dependents.announce_deletion(self.link, change.before):
            return False
        if change.from_dead:
            return dead.revive(self.link, change, now, stamp, linking)
        if change.after is None:
            return self._delete(change)
        return self._change(change, change.after, now, stamp, linking)

    def _follow_up(self, change: Transition, now: datetime) -> None:
        """Do what follows from a change that was applied; upkeep does what fails here."""
        after, queue = change.after, change.before.spec.queue
        if change.before.state is State.PROCESSING:
            self._claims.ready_queues.note_room(queue)
        if change.to_dead:
            dead.try_to_finish_burial(self.link, change.before.id)
        elif after is not None and after.is_ready(now):
            self._claims.ready_queues.note_ready(after.spec.queue, after.spec.priority)
        if after is not None and after.children_pending:
            dependents.try_to_notify(self.link, after)
        elif after is None and change.before.has_dependents:
            dependents.detach_children(self.link, change.before)

    def _change(
        self,
        change: Transition,
        after: Job,
        now: datetime,
        stamp: str,
        linking: Document | None,
    ) -> bool:
        decided, written = fence(change, linking), update(change, after, now, stamp)
        try:
            if self.link.jobs.update_one(decided, written).matched_count == 1:
                return True
        except PyMongoError as fault:
            if not is_doubtful(fault):
                raise
            if self._has({"_id": after.id, "stamp": stamp}) or self._has_run(change):
                return True
            raise
        # the driver may have repeated what had been applied, and not every server knows it again
        return self._has({"_id": after.id, "stamp": stamp}) or self._has_run(change)

    def _delete(self, change: Transition) -> bool:
        decided = fence(change)
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
