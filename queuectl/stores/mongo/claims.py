"""Which job a worker gets: one command a claim, however long the backlog.

A claim names one queue and a floor of priority, so that the server walks one index to the
first match. Which queue that is comes from `queue_order`, a view of the queues; before a claim
comes back empty-handed the view is read afresh. Among many workers the job comes from
`crowd`, and is claimed by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo.errors import DuplicateKeyError, PyMongoError

from queuectl.domain.job import Job, State
from queuectl.domain.times import later
from queuectl.stores.base import ClaimRequest
from queuectl.stores.mongo.connection import (
    MAJORITY,
    Document,
    Link,
    is_about_the_record,
    is_doubtful,
)
from queuectl.stores.mongo.crowd import Crowd
from queuectl.stores.mongo.documents import BARE, readable, set_aside
from queuectl.stores.mongo.queue_order import UNTRIED, ReadyQueue, ReadyQueues
from queuectl.stores.mongo.queues import NoRoom, free_numbers
from queuectl.stores.mongo.schema import CLAIM_ORDER

_TRIES = 20


class Claims:
    """The claiming side of one worker, with what it remembers between claims."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.ready_queues = ReadyQueues(link)
        self._crowd = Crowd(link)
        self._has_asked = False

    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready, as `Store.claim` says."""
        if request.repeated and (held := self._held(request)):
            return held
        self._has_asked = False
        job = self._claim(request)
        if job is None and self._has_asked:
            # the driver repeats a command by itself, and not every server knows it again: the
            # first one may have taken the last job there was
            return self._held(request)
        return job

    def _claim(self, request: ClaimRequest) -> Job | None:
        if request.only is not None:
            return self._claim_only(request, request.only)
        ready_queues = self.ready_queues
        for _ in range(_TRIES):
            is_fresh = ready_queues.refresh(
                request.queues, deliveries=request.deliveries, untried=request.untried
            )
            ready = ready_queues.next()
            if ready is None and is_fresh:
                return None
            if ready is None:
                ready_queues.forget()
                continue
            try:
                job = self._take_from(request, ready)
            except NoRoom:
                ready_queues.note_full(ready)
                continue
            if job:
                ready_queues.note_served(ready, job)
                return job
            ready_queues.forget()
        return None

    def _take_from(self, request: ClaimRequest, ready: ReadyQueue) -> Job | None:
        """Take a job of a queue. Raises NoRoom when its limit leaves none for the first one."""
        where: Document = {"queue": ready.queue, **(UNTRIED if request.untried else {})}
        floor, limit = self.ready_queues.floor(ready), self.ready_queues.policy.limit(ready.queue)
        if floor is not None:
            where["priority"] = {"$gte": floor}
        if limit:
            return self._take_limited(request, ready.queue, where, limit)
        return self._take_spread(request, ready.queue, where)

    def _take_limited(
        self, request: ClaimRequest, queue: str, where: Document, limit: int
    ) -> Job | None:
        """Take the first job of a limited queue with numbers that nobody else holds."""
        for _ in range(_TRIES):
            first = self._link.jobs.find_one(
                {"ready": True, **where}, {"slots": True}, sort=CLAIM_ORDER, hint="claim"
            )
            if first is None:
                return None
            slots = first.get("slots", 1)
            if not isinstance(slots, int):
                set_aside(self._link, first["_id"])
                continue
            numbers = free_numbers(self._link, queue, limit, slots)
            chosen = {"_id": first["_id"], "queue": queue, "slots": slots}
            job = self._take(request, chosen, is_sorted=False, numbers=numbers)
            if job is not None:
                return job
        return None

    def _take_spread(self, request: ClaimRequest, queue: str, where: Document) -> Job | None:
        """Take a job of a queue: the first, or in a crowd one of the first."""
        for job_id in self._crowd.candidates(request.worker, queue, where):
            job = self._take(request, {"_id": job_id, **where}, is_sorted=False)
            if job:
                return job
        return self._take(request, where)

    def _claim_only(self, request: ClaimRequest, job_id: str) -> Job | None:
        where: Document = {"_id": job_id}
        if request.queues:
            where["queue"] = {"$in": list(request.queues)}
        self._link.jobs.update_one(
            {**where, "ready": False, "run_at": {"$lte": self._link.now()}},
            {"$set": {"ready": True}},
        )
        found = self._link.jobs.find_one({**where, "ready": True}, {"queue": True, "slots": True})
        if found is None:
            return None
        policy, queue, slots = self.ready_queues.policy, found["queue"], found.get("slots", 1)
        policy.refresh()
        if policy.is_shut(queue):
            return None
        limit = policy.limit(queue)
        try:
            numbers = free_numbers(self._link, queue, limit, slots) if limit else []
        except NoRoom:
            return None
        chosen = {**where, "queue": queue, "slots": slots}
        return self._take(request, chosen, is_sorted=False, numbers=numbers)

    def _take(
        self,
        request: ClaimRequest,
        where: Document,
        *,
        is_sorted: bool = True,
        numbers: Sequence[str] = (),
    ) -> Job | None:
        """Claim the first job that is ready and matches, in one command.

        A document that holds no job is taken out of the way, and the next one claimed.
        """
        how: dict[str, Any] = {"sort": CLAIM_ORDER} if is_sorted else {}
        while (claimed := self._take_document(request, where, how, numbers)) is not None:
            job = readable(claimed)
            if job is not None:
                return job
            self._link.jobs.update_one(
                {"_id": claimed["_id"], "claim_id": request.claim_id},
                {
                    "$set": {"state": State.PENDING.value},
                    "$unset": dict.fromkeys(("ready", "claim_id", "lease_until", "slots_held"), ""),
                },
            )
        return None

    def _take_document(
        self,
        request: ClaimRequest,
        where: Document,
        how: dict[str, Any],
        numbers: Sequence[str],
    ) -> Document | None:
        self._has_asked = True
        # an id comes first: there are servers that choose their index by the first clause
        wanted = {**where, "ready": True}
        update = self._update(request)
        if numbers:
            update["$set"]["slots_held"] = list(numbers)
        try:
            taken: Document | None = self._link.jobs.find_one_and_update(
                wanted, update, BARE, return_document=True, **how
            )
        except DuplicateKeyError:
            # the index on claim_id: an earlier request of this claim has come through; or that on
            # slots_held: another worker was faster
            return self._held_document(request)
        except PyMongoError as fault:
            if not is_doubtful(fault):
                first = self._link.jobs.find_one(wanted, **how)
                if first is None or not is_about_the_record(fault, first):
                    raise
                set_aside(self._link, first["_id"])
                return self._take_document(request, where, how, numbers)
            held = self._held_document(request)
            if held is None:
                raise
            return held
        return taken

    def _update(self, request: ClaimRequest) -> Document:
        now = self._link.now()
        return {
            "$inc": {"attempts": 1, "runs": 1, "rev": 1},
            "$set": {
                "state": State.PROCESSING.value,
                "claim_id": request.claim_id,
                "lease_until": later(now, request.lease_seconds),
                "worker": request.worker,
                "started_at": now,
                "updated_at": now,
                "finished_at": None,
            },
            "$unset": {"ready": "", "batch": ""},
        }

    def _held(self, request: ClaimRequest) -> Job | None:
        """Return the job that an earlier request of the same claim has taken, if any."""
        held = self._held_document(request)
        return readable(held) if held else None

    def _held_document(self, request: ClaimRequest) -> Document | None:
        certain = self._link.jobs.with_options(read_concern=MAJORITY)
        return certain.find_one({"state": "processing", "claim_id": request.claim_id}, BARE)
