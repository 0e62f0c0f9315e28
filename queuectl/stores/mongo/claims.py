"""Which job a worker gets: one command a claim, however long the backlog.

A claim names one queue and a floor of priority, so that the server walks one index to the first
match. Which queue that is comes from `queues`, a view of them; before a claim comes back
empty-handed the view is read afresh.

A crowd of workers does not fight for the first job: see `crowd`. A worker to which jobs are short
asks for several at once, and gets those of one queue by two commands (`several`); what has to be
claimed by itself goes the way of one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import chain, islice, takewhile, zip_longest

import pymongo
from pymongo.errors import DuplicateKeyError, PyMongoError

from queuectl.domain.job import Holding, Job, State
from queuectl.domain.times import later
from queuectl.stores.exchange import ClaimRequest, HeldClaim, Renewal
from queuectl.stores.mongo import several
from queuectl.stores.mongo.connection import (
    BRIEF_SECONDS,
    Document,
    Link,
    durable,
)
from queuectl.stores.mongo.crowd import PAGE, Crowd
from queuectl.stores.mongo.documents import BARE, NEEDS, readable, set_aside
from queuectl.stores.mongo.errors import is_about_the_record, is_doubtful
from queuectl.stores.mongo.needy_claims import NeedyClaims
from queuectl.stores.mongo.queues import (
    NO_SUSPECTS,
    SUSPECTS,
    UNTRIED,
    NoRoom,
    ReadyQueue,
    ReadyQueues,
    free_numbers,
)
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.stores.mongo.several import NOT_CLAIMED, held
from queuectl.stores.serialization import holding_to_document
from queuectl.system.polling import wait_readable

SHORTEST_POLL, LONGEST_POLL = 0.05, 0.5
"""Seconds between two looks for work; a look is one read of one key of an index."""

BATCH_SIZE = 32
"""As many jobs as make the four commands of a batch cost little beside what they write."""

_TRIES = 20
_TRIES_AT_SEVERAL = 2
_PROCESSING = State.PROCESSING.value
_FOR_LIMITS = dict.fromkeys(("queue", "slots", "suspect", "needs", "runs", "priority"), True)
_EQUAL = ("priority", "slots", "suspect")
_FEW = 8
"""Of so many first jobs of a queue with a limit one is taken where others were faster."""


class Claims:
    """The claiming side of one worker, with what it remembers between claims."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.ready_queues = ReadyQueues(link)
        self._crowd = Crowd(link)
        self.needy = NeedyClaims(link, self.ready_queues, self._take_one)
        self._has_asked = False
        self._queues: tuple[str, ...] = ()
        self._more: Document = {}
        self._request: ClaimRequest | None = None
        self._pause = SHORTEST_POLL

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Job]:
        """Take jobs that are ready for alike requests, as `Store.commit_and_claim` says.

        For one request it is that which goes next. For several they are of one queue.
        """
        request = requests[0]
        self._queues, self._more, self._request = request.queues, _condition(request), request
        jobs = held(self._link, requests) if request.repeated else []
        got = {job.claim_id for job in jobs}
        left = [each for each in requests if each.claim_id not in got]
        if not jobs:
            jobs = self._claim_afresh(requests)
        elif left and not any(job.may_end_worker or job.spec.needs for job in jobs):
            jobs += self._claim(left, only_several=True)
        if jobs:
            self._pause = SHORTEST_POLL
            if jobs[0].spec.needs and not self.needy.confirm(request):
                return []
        return jobs

    def _claim_afresh(self, requests: Sequence[ClaimRequest]) -> list[Job]:
        self._has_asked = False
        jobs = self._claim(requests)
        if not jobs and self._has_asked:
            # the driver repeats a command by itself, and not every server knows it again: the
            # first one may have taken the last job there was
            return held(self._link, requests[:1])
        return jobs

    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Poll for a ready job as it was last asked for, more slowly while there is none."""
        open_queues = self.ready_queues.open_queues(self._queues)
        where: Document = {"ready": True, "queue": open_queues, **self._more}
        ends_at = time.monotonic() + seconds
        while self._link.jobs.find_one(where, {"_id": True}, hint="claim") is None and not (
            self._request and self.needy.may_be_given(self._request)
        ):
            remaining = ends_at - time.monotonic()
            pause = min(self._pause * random.uniform(0.75, 1.25), max(remaining, 0))
            if wait_readable([wake], pause) or remaining <= pause:
                return
            self._pause = min(self._pause * 2, LONGEST_POLL)
        self._pause = SHORTEST_POLL
        self.ready_queues.forget()

    def _claim(self, requests: Sequence[ClaimRequest], *, only_several: bool = False) -> list[Job]:
        """Take jobs of the queue that goes next; with `only_several` none that goes by itself."""
        request = requests[0]
        if request.only is not None:
            return _one(self._take_only(request, request.only))
        if request.suspects:
            return _one(self._take_suspect(request))
        ready_queues = self.ready_queues
        for _ in range(_TRIES):
            is_fresh = ready_queues.refresh(
                request.queues, _condition(request), deliveries=request.deliveries
            )
            ready = ready_queues.next()
            is_last = ready is None and is_fresh
            if (
                not (request.deliveries or only_several)
                and ready_queues.may_look_at_needs(at_once=is_last)
                and (job := self._take_needy(request, ready))
            ):
                return [job]
            if is_last:
                return []
            if ready is None:
                ready_queues.forget()
                continue
            jobs = self._take_several(requests, ready, at_least=1 if only_several else 2)
            if only_several and not jobs:
                return []
            try:
                jobs = jobs or _one(self._take_from(request, ready))
            except NoRoom:
                ready_queues.note_full(ready)
                continue
            if jobs:
                ready_queues.note_served(jobs)
                return jobs
            ready_queues.forget()
        return []

    def _take_needy(self, request: ClaimRequest, ready: ReadyQueue | None) -> Job | None:
        """Take a job that needs resources, if it goes before those of a queue."""
        with self.ready_queues.looking_at_needs():
            job = self.needy.take(request, ready)
        if job is not None:
            self.ready_queues.look_at_needs()
        return job

    def _take_several(
        self, requests: Sequence[ClaimRequest], ready: ReadyQueue, at_least: int = 2
    ) -> list[Job]:
        """Take jobs of a queue, and of those that take turns with it, none that goes by itself."""
        if len(requests) < at_least or requests[0].deliveries:
            return []
        jobs: list[Job] = []
        for attempt in range(_TRIES_AT_SEVERAL):
            seen = self._next_seen(requests[0], ready, len(requests), afresh=attempt > 0)
            marks = [
                (request, job, self._update(request, ()))
                for request, job in zip(requests, seen, strict=False)
            ]
            got = several.take(self._link, marks) if marks else []
            jobs += got
            if len(got) == len(marks):
                break  # else others were faster
            taken = {job.claim_id for job in got}
            requests = [request for request in requests if request.claim_id not in taken]
        return jobs

    def _next_seen(
        self, request: ClaimRequest, ready: ReadyQueue, number: int, *, afresh: bool
    ) -> list[Document]:
        """Return jobs to claim together, at most `number`: one of each queue in turn."""
        queues = self.ready_queues
        equal = takewhile(lambda each: not queues.limit(each.queue), queues.equals(ready))
        turns = list(islice(equal, number))
        where = self._where(request, ready)
        seen: list[list[Document]] = []
        for each in turns:
            if len(turns) > 1:
                where = {**where, "queue": each.queue, "priority": {"$gte": ready.top}}
            part = -(-number // len(turns))
            jobs = self._crowd.several(request.worker, each.queue, where, part, afresh=afresh)
            if not (jobs or seen):
                return []  # what is first there goes by itself
            seen.append(jobs)
        in_turn = chain.from_iterable(zip_longest(*seen))
        return [job for job in in_turn if job is not None][:number]

    def _take_suspect(self, request: ClaimRequest) -> Job | None:
        """Take the first suspect that nobody else takes meanwhile."""
        for found in self.ready_queues.ready_suspects(request.queues, PAGE):
            try:
                job = self._take_one(request, found, self.ready_queues.limit(found["queue"]))
            except NoRoom:
                continue
            if job is not None:
                return job
        self.ready_queues.read_limits()
        return self.needy.take(request, None) if self.ready_queues.has_needs else None

    def _take_from(self, request: ClaimRequest, ready: ReadyQueue) -> Job | None:
        """Take a job of a queue. Raises NoRoom when its limit leaves none for the first one."""
        where = self._where(request, ready)
        if limit := self.ready_queues.limit(ready.queue):
            return self._take_limited(request, where, limit)
        for job_id in self._crowd.candidates(request.worker, ready.queue, where):
            if job := self._take(request, {"_id": job_id, **where}):
                return job
        return self._take(request, where)

    def _where(self, request: ClaimRequest, ready: ReadyQueue) -> Document:
        """Return the condition on jobs of a queue that go before those of all others."""
        where: Document = {"queue": ready.queue, **_condition(request)}
        floor = self.ready_queues.floor(ready)
        return where if floor is None else {**where, "priority": {"$gte": floor}}

    def _take_limited(self, request: ClaimRequest, where: Document, limit: int) -> Job | None:
        """Take the first job of a limited queue with numbers that nobody else holds.

        Where others were faster one of the first few is taken, of those that go equally before
        the rest. A suspect that is not for this worker is not overtaken there, as others took all
        its room.
        """
        if not request.alone:
            where = {name: value for name, value in where.items() if name not in NO_SUSPECTS}
        for attempt in range(_TRIES):
            found = self._link.jobs.find({"ready": True, **where}, _FOR_LIMITS, hint="claim")
            firsts = list(found.sort(CLAIM_ORDER).limit(_FEW if attempt else 1))
            if not firsts:
                return None
            first = firsts[0]
            if first.get("suspect") and not request.alone:
                raise NoRoom
            if not isinstance(first.get("slots", 1), int):
                set_aside(self._link, first["_id"])
                continue
            if job := self._take_one(request, random.choice(_alike(firsts)), limit):
                return job
        return None

    def _take_only(self, request: ClaimRequest, job_id: str) -> Job | None:
        """Take one job by its id, also if it became due just now."""
        jobs, ready_queues = self._link.jobs, self.ready_queues
        where: Document = {"_id": job_id}
        if request.queues:
            where["queue"] = {"$in": list(request.queues)}
        due = {**where, "ready": False, "run_at": {"$lte": self._link.now()}}
        jobs.update_one(due, {"$set": {"ready": True}})
        found = jobs.find_one({**where, "ready": {"$in": [True, NEEDS]}}, _FOR_LIMITS)
        if found is None:
            return None
        ready_queues.read_limits()
        if ready_queues.is_shut(found["queue"]):
            return None
        if found.get("needs"):
            return self.needy.take_only(request, found)
        try:
            return self._take_one(request, found, ready_queues.limit(found["queue"]))
        except NoRoom:
            return None

    def _take_one(
        self, request: ClaimRequest, found: Document, limit: int, holding: Holding | None = None
    ) -> Job | None:
        """Take a job that was looked at, while it is as it was. Raises NoRoom."""
        queue, slots = found["queue"], found.get("slots", 1)
        numbers = free_numbers(self._link, queue, limit, slots) if limit else ()
        where = {"_id": found["_id"], "queue": queue, "slots": slots}
        if holding is not None:
            where["needs"] = found["needs"]
        return self._take(request, where, numbers, holding)

    def _take(
        self,
        request: ClaimRequest,
        where: Document,
        numbers: Sequence[str] = (),
        holding: Holding | None = None,
    ) -> Job | None:
        """Claim the first job that is ready and matches, in one command.

        What cannot be claimed, or holds no job, is taken out of the way, and the next one claimed.
        """
        jobs = self._link.jobs
        # an id comes first: there are servers that choose their index by the first clause
        wanted = {**where, "ready": True if holding is None else NEEDS}
        sort = None if "_id" in where else CLAIM_ORDER
        self._has_asked = True
        while True:
            update = self._update(request, numbers)
            if holding is not None:
                update["$set"]["holding"] = holding_to_document(holding)
                update["$unset"]["passed_at"] = ""
            taken: Document | None
            try:
                taken = jobs.find_one_and_update(
                    wanted, update, BARE, sort=sort, return_document=True
                )
            except DuplicateKeyError:
                # the index on claim_id: an earlier request of this claim has come through; or that
                # on slots_held: another worker was faster
                taken = self._held_document(request)
            except PyMongoError as fault:
                if is_doubtful(fault):
                    taken = self._held_document(request)
                    if taken is None:
                        raise
                else:
                    first = jobs.find_one(wanted, sort=sort)
                    if first is None or not is_about_the_record(fault, first):
                        raise
                    set_aside(self._link, first["_id"])
                    continue
            if taken is None:
                return None
            if job := readable(taken):
                return job
            jobs.update_one({"_id": taken["_id"], "claim_id": request.claim_id}, NOT_CLAIMED)

    def _update(self, request: ClaimRequest, numbers: Sequence[str]) -> Document:
        now = self._link.now()
        held = {"slots_held": list(numbers)} if numbers else {}
        beside: Document = {} if request.alone else {"claim_alone": False}
        unset = ("ready", "batch", *(() if beside else ("claim_alone",)))
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
                **held,
                **beside,
            },
            "$unset": dict.fromkeys(unset, ""),
        }

    def _held_document(self, request: ClaimRequest) -> Document | None:
        held = {"state": _PROCESSING, "claim_id": request.claim_id}
        return durable(self._link.jobs).find_one(held, BARE)


def _alike(jobs: list[Document]) -> list[Document]:
    """Return those of the first jobs of a queue that may as well go in the place of the first."""
    first = [jobs[0].get(name) for name in _EQUAL]
    return list(takewhile(lambda each: [each.get(name) for name in _EQUAL] == first, jobs))


def _one(job: Job | None) -> list[Job]:
    return [] if job is None else [job]


def _condition(request: ClaimRequest) -> Document:
    """Return the condition on jobs that a request may be given, beside their queue."""
    if request.untried:
        return UNTRIED
    if request.suspects:
        return SUSPECTS
    return {} if request.alone else NO_SUSPECTS


def renew(link: Link, claims: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
    """Extend leases by two commands, however many there are; see `Store.renew`.

    What is held by the second one was held by the first: a claim that was lost does not return.
    """
    if not claims:
        return []
    wanted = {
        "_id": {"$in": [claim.job_id for claim in claims]},
        "state": _PROCESSING,
        "claim_id": {"$in": [claim.claim_id for claim in claims]},
    }
    with pymongo.timeout(min(BRIEF_SECONDS, lease_seconds)):
        until = later(link.now(), lease_seconds)
        link.jobs.update_many(wanted, {"$set": {"lease_until": until}})
        marks = {"claim_id": True, "cancel_requested": True, "paused": True}
        found = {job["claim_id"]: job for job in link.jobs.find(wanted, marks)}
    return [_renewal(claim, found.get(claim.claim_id)) for claim in claims]


def _renewal(claim: HeldClaim, found: Document | None) -> Renewal:
    if found is None or found["_id"] != claim.job_id:
        return Renewal.LOST
    return Renewal.of(found["cancel_requested"], found.get("paused", False))
