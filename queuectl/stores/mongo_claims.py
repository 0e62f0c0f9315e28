"""Which job a worker gets: one command a claim, however long the backlog.

A claim names one queue and a floor of priority, so that the server walks one index to the
first match. Which queue that is comes from a view of the queues, at most a second old; before
a claim comes back empty-handed the view is read afresh.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError, PyMongoError

from queuectl.domain.job import Job, State
from queuectl.domain.times import later, to_millis
from queuectl.stores.base import ClaimRequest
from queuectl.stores.mongo_documents import BARE, readable
from queuectl.stores.mongo_link import MAJORITY, Document, Link, is_doubtful
from queuectl.stores.mongo_queues import Policy, free_numbers
from queuectl.stores.mongo_schema import CLAIM_ORDER

VIEW_SECONDS = 1.0
FLEET_SECONDS = 5.0
MOST_QUEUES = 100
CROWD = 8
"""With more live workers than this, claims spread over a page of candidates."""

PAGE = 200
_MISSES = 3
_TRIES = 20


class NoRoom(Exception):
    """A queue's limit leaves no room for the job that goes first there."""


@dataclass(slots=True)
class Lane:
    """A queue that has ready jobs: the highest priority there, and when it was last served."""

    queue: str
    top: int
    served: int = 0


@dataclass(slots=True)
class _Candidates:
    """Ids of the first ready jobs of one queue, all of one priority."""

    queue: str
    priority: int
    read_at: float
    ids: list[str] = field(default_factory=list)


class Claims:
    """The claiming side of one worker, with what it remembers between claims."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.policy = Policy(link)
        self._lanes: dict[str, Lane] = {}
        self._chosen_from: tuple[str, ...] = ()
        self._read_at = float("-inf")
        self._served: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._resume_after = ""
        self._is_crowd = False
        self._fleet_read_at = float("-inf")
        self._page = _Candidates("", 0, float("-inf"))
        self._has_asked = False

    def forget(self) -> None:
        """Read the queues afresh at the next claim."""
        self._read_at = float("-inf")

    def note_room(self, queue: str) -> None:
        """Remember that a run has ended, which may leave room in its queue."""
        if self.policy.limit(queue):
            self.forget()

    def open_queues(self, queues: tuple[str, ...]) -> Document:
        """Return the condition on `queue` that jobs meet which may be claimed."""
        shut = self.policy.shut()
        if queues:
            return {"$in": [name for name in queues if name not in shut]}
        return self._beyond("")

    def note_ready(self, queue: str, priority: int) -> None:
        """Remember that a job has become ready, so that it need not be discovered."""
        lane = self._lanes.get(queue)
        if lane is not None:
            lane.top = max(lane.top, priority)
        elif not self._chosen_from or queue in self._chosen_from:
            self._lanes[queue] = Lane(queue, priority, self._served.get(queue, 0))

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
        for _ in range(_TRIES):
            is_fresh = self._refresh(request.queues)
            lane = self._next_lane()
            if lane is None and is_fresh:
                return None
            job = self._take_from(request, lane) if lane else None
            if lane and job:
                self._note_served(lane, job)
                return job
            if lane is None or lane.queue in self._lanes:
                self.forget()
        return None

    def _take_from(self, request: ClaimRequest, lane: Lane) -> Job | None:
        """Take a job of a queue; one that has no room for its first job leaves the view."""
        limit, floor = self.policy.limit(lane.queue), self._floor(lane)
        if not limit:
            return self._take_spread(request, lane, floor)
        try:
            return self._take_limited(request, lane, floor, limit)
        except NoRoom:
            self.policy.note_full(lane.queue)
            del self._lanes[lane.queue]
            return None

    def _take_limited(
        self, request: ClaimRequest, lane: Lane, floor: int | None, limit: int
    ) -> Job | None:
        """Take the first job of a limited queue with numbers that nobody else holds."""
        where: Document = {"queue": lane.queue}
        if floor is not None:
            where["priority"] = {"$gte": floor}
        for _ in range(_TRIES):
            first = self._link.jobs.find_one(
                {"ready": True, **where}, {"slots": True}, sort=CLAIM_ORDER, hint="claim"
            )
            if first is None:
                return None
            slots = first.get("slots", 1)
            numbers = free_numbers(self._link, lane.queue, limit, slots)
            if numbers is None:
                raise NoRoom
            chosen = {"_id": first["_id"], "queue": lane.queue, "slots": slots}
            job = self._take(request, chosen, is_sorted=False, numbers=numbers)
            if job is not None:
                return job
        return None

    def _refresh(self, queues: tuple[str, ...]) -> bool:
        """Read the view if it is old or of other queues; tell whether it was read."""
        age = time.monotonic() - self._read_at
        if age < VIEW_SECONDS and queues == self._chosen_from:
            return False
        self.policy.refresh()
        tops = self._tops_of(queues) if queues else self._tops_of_any()
        self._exchange_served(list(tops))
        served = self._served
        self._lanes = {name: Lane(name, top, served.get(name, 0)) for name, top in tops.items()}
        self._chosen_from = queues
        self._read_at = time.monotonic()
        return True

    def _tops_of(self, queues: tuple[str, ...]) -> dict[str, int]:
        is_open = (name for name in queues[:MOST_QUEUES] if not self.policy.is_shut(name))
        found = ((name, self._first({"queue": name})) for name in is_open)
        return {name: job["priority"] for name, job in found if job}

    def _tops_of_any(self) -> dict[str, int]:
        """Hop from queue to queue through the index, each hop to the first job of the next."""
        tops: dict[str, int] = {}
        begun_at = after = self._resume_after
        while len(tops) < MOST_QUEUES:
            job = self._first({"queue": self._beyond(after)})
            if job is not None and job["queue"] not in tops:
                after = job["queue"]
                tops[after] = job["priority"]
            elif begun_at and after >= begun_at:
                after, begun_at = "", ""
            else:
                break
        self._resume_after = after if len(tops) == MOST_QUEUES else ""
        return tops

    def _beyond(self, after: str) -> Document:
        shut = self.policy.shut()
        return {"$gt": after, "$nin": shut} if shut else {"$gt": after}

    def _first(self, where: Document) -> Document | None:
        return self._link.jobs.find_one(
            {"ready": True, **where},
            {"queue": True, "priority": True},
            sort=[("queue", 1), *CLAIM_ORDER],
            hint="claim",
        )

    def _next_lane(self) -> Lane | None:
        lanes = self._lanes.values()
        return min(lanes, key=lambda lane: (-lane.top, lane.served, lane.queue), default=None)

    def _floor(self, chosen: Lane) -> int | None:
        """Return the lowest priority at which the chosen queue still goes before the others."""
        others = [lane for lane in self._lanes.values() if lane is not chosen]
        if not others:
            return None
        best = max(lane.top for lane in others)
        rivals = [(lane.served, lane.queue) for lane in others if lane.top == best]
        return best if (chosen.served, chosen.queue) < min(rivals) else best + 1

    def _note_served(self, lane: Lane, job: Job) -> None:
        lane.top = job.spec.priority
        if len(self._lanes) > 1:
            latest = max((other.served for other in self._lanes.values()), default=0)
            lane.served = max(to_millis(self._link.now()), latest + 1)
            self._served[lane.queue] = lane.served
            self._unsaved.add(lane.queue)

    def _exchange_served(self, queues: list[str]) -> None:
        """Tell the others which queues were served, and hear it of them; nothing for one queue."""
        lanes = self._link.lanes
        if self._unsaved:
            changes = [
                UpdateOne({"_id": name}, {"$max": {"served": self._served[name]}}, upsert=True)
                for name in sorted(self._unsaved)
            ]
            self._unsaved.clear()
            lanes.bulk_write(changes, ordered=False)
        if len(queues) > 1:
            for found in lanes.find({"_id": {"$in": queues}}):
                name, served = found["_id"], found["served"]
                self._served[name] = max(served, self._served.get(name, 0))

    def _take_spread(self, request: ClaimRequest, lane: Lane, floor: int | None) -> Job | None:
        """Take a job of a queue: the first, or in a crowd one of the first."""
        where: Document = {"queue": lane.queue}
        if floor is not None:
            where["priority"] = {"$gte": floor}
        if self._in_crowd():
            page = self._candidates(lane.queue, where)
            for _ in range(min(_MISSES, len(page.ids))):
                chosen = page.ids.pop(random.randrange(len(page.ids)))
                job = self._take(request, {"_id": chosen, **where}, is_sorted=False)
                if job:
                    return job
        return self._take(request, where)

    def _in_crowd(self) -> bool:
        present = time.monotonic()
        if present - self._fleet_read_at >= FLEET_SECONDS:
            self._fleet_read_at = present
            self._is_crowd = self._link.workers.count_documents({}, limit=CROWD + 1) > CROWD
        return self._is_crowd

    def _candidates(self, queue: str, where: Document) -> _Candidates:
        page = self._page
        floor = where.get("priority", {}).get("$gte", page.priority)
        is_old = time.monotonic() - page.read_at >= VIEW_SECONDS
        if page.queue == queue and page.priority >= floor and page.ids and not is_old:
            return page
        found = list(
            self._link.jobs.find({"ready": True, **where}, {"priority": True})
            .sort(CLAIM_ORDER)
            .limit(PAGE)
        )
        top = found[0]["priority"] if found else 0
        ids = [job["_id"] for job in found if job["priority"] == top]
        self._page = _Candidates(queue, top, time.monotonic(), ids)
        return self._page

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
        self.policy.refresh()
        queue, slots = found["queue"], found.get("slots", 1)
        if self.policy.is_shut(queue):
            return None
        numbers: list[str] | None = []
        if limit := self.policy.limit(queue):
            numbers = free_numbers(self._link, queue, limit, slots)
        if numbers is None:
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
                    "$unset": {"ready": "", "claim_id": "", "lease_until": ""},
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
        update = self._update(request)
        if numbers:
            update["$set"]["slots_held"] = list(numbers)
        try:
            taken: Document | None = self._link.jobs.find_one_and_update(
                {"ready": True, **where}, update, BARE, return_document=True, **how
            )
        except DuplicateKeyError:
            # the index on claim_id: an earlier request of this claim has come through; or that on
            # slots_held: another worker was faster
            return self._held_document(request)
        except PyMongoError as fault:
            if not is_doubtful(fault):
                raise
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
