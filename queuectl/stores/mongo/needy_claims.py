"""Claims of jobs that need resources: the ledger is written before them, and confirmed behind."""

from __future__ import annotations

from typing import Protocol

from queuectl.domain.job import Holding, Job, State
from queuectl.stores.exchange import ClaimRequest, Offer
from queuectl.stores.mongo import needs
from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.mongo.documents import NEEDS
from queuectl.stores.mongo.queues import NoRoom, ReadyQueue, ReadyQueues
from queuectl.stores.mongo.schema import CLAIM_ORDER

_TRIES = 20


class TakeOne(Protocol):
    """Takes a job that was looked at, while it is as it was. Raises NoRoom."""

    def __call__(
        self, request: ClaimRequest, found: Document, limit: int, holding: Holding | None = None
    ) -> Job | None:
        """Return the job, or None where somebody else was faster."""
        ...


class NeedyClaims:
    """The part of one worker's claims that is about jobs with needs."""

    def __init__(self, link: Link, queues: ReadyQueues, take_one: TakeOne) -> None:
        self._link = link
        self._queues = queues
        self._take_one = take_one

    def take(self, request: ClaimRequest, ready: ReadyQueue | None) -> Job | None:
        """Take the job that goes next of those that need resources, if none of others does."""
        link = self._link
        if not needs.are_ready(link):
            return None
        for _ in range(_TRIES):
            ledger, now = needs.Ledger(link), link.now()
            room = needs.room_for(link, request.offer, ledger)
            choice = needs.next_choice(link, request, self._queues, room, now)
            if choice is None or (ready and self._goes_before(ready, choice.candidate.key)):
                return None
            if not ledger.enter(request.claim_id, choice.holding, now):
                continue
            job = self._take_held(request, choice.candidate.key, choice.holding)
            if job is not None:
                needs.note_passed(link, choice.passed, now)
                return job
        return None

    def _take_held(self, request: ClaimRequest, found: Document, holding: Holding) -> Job | None:
        """Take a job that was looked at, for which the ledger has what it holds."""
        try:
            limit = self._queues.limit(found["queue"])
            job = self._take_one(request, found, limit, holding)
        except NoRoom:
            job = None
        if job is None:
            needs.withdraw(self._link, request.claim_id)
        return job

    def _goes_before(self, ready: ReadyQueue, head: Document) -> bool:
        """Whether the first job of a queue goes before one that needs resources."""
        if ready.top != head["priority"]:
            return bool(ready.top > head["priority"])
        first = self._link.jobs.find_one(
            {"ready": True, "queue": ready.queue},
            {"run_at": True, "seq": True},
            sort=CLAIM_ORDER,
            hint="claim",
        )
        if first is None:
            return False
        return bool((first["run_at"], first["seq"]) < (head["run_at"], head["seq"]))

    def may_be_given(self, request: ClaimRequest) -> bool:
        """Whether somebody who asks could be given a job that needs resources."""
        self._queues.read_limits()
        return not request.deliveries and self._fits(request)

    def _fits(self, request: ClaimRequest) -> bool:
        link = self._link
        if not (self._queues.has_needs and needs.are_ready(link)):
            return False
        room, now = needs.room_for(link, request.offer, needs.Ledger(link)), link.now()
        return needs.next_choice(link, request, self._queues, room, now) is not None

    def has_suspect(self, queues: tuple[str, ...], offer: Offer) -> bool:
        """Whether a suspect that needs resources could be claimed."""
        request = ClaimRequest("", "", 0, queues, suspects=True, offer=offer)
        return self._fits(request)

    def confirm(self, request: ClaimRequest) -> bool:
        """Confirm what a claim that was made holds; False: the job is given back."""
        is_held = needs.confirm(self._link, request.claim_id)
        if not is_held:
            self._give_back(request)
        return is_held

    def _give_back(self, request: ClaimRequest) -> None:
        """Let a job wait again whose entry in the ledger was taken for lost before it began."""
        held = {"state": State.PROCESSING.value, "claim_id": request.claim_id}
        change: Document = {
            "$set": {"state": State.PENDING.value, "ready": NEEDS},
            "$inc": {"attempts": -1, "rev": 1},
            "$unset": dict.fromkeys(
                ("claim_id", "lease_until", "claim_alone", "slots_held", "holding"), ""
            ),
        }
        self._link.jobs.update_one(held, change)

    def take_only(self, request: ClaimRequest, found: Document) -> Job | None:
        """Take one job that needs resources, if they are free."""
        self._link.jobs.update_one({"_id": found["_id"], "ready": True}, {"$set": {"ready": NEEDS}})
        for _ in range(_TRIES):
            ledger = needs.Ledger(self._link)
            room = needs.room_for(self._link, request.offer, ledger)
            units = needs.units_for(room, found)
            if units is None:
                return None
            holding = room.holding(units)
            if ledger.enter(request.claim_id, holding, self._link.now()):
                return self._take_held(request, found, holding)
        return None
