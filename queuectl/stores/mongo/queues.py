"""Queues: what was decided about them, and which one a worker is served from next.

Numbers enforce a limit: a run in a limited queue holds as many of them as it takes slots, each
below the limit, and a unique index lets nobody hold one twice. They are part of the job itself, so
they go with its claim and a crash leaks none.

A worker's view of the queues that have ready jobs is at most a second old where the server is
quick. Which queues were served the other workers hear with each reading, so that a fleet takes
queues of one priority in rotation.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from pymongo import UpdateOne

from queuectl.domain.job import Job
from queuectl.domain.queue_limits import FIRST_NAME, OPEN, QueueLimit, is_of_deliveries
from queuectl.domain.times import to_millis
from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.mongo.documents import set_aside
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.system.polling import Pace

VIEW_SECONDS = 1.0
MOST_QUEUES = 100
UNTRIED: Document = {"attempts": 0}
"""The condition on jobs that no attempt has been made at."""

SUSPECTS: Document = {"suspect": True}
NO_SUSPECTS: Document = {"suspect": {"$ne": True}}

MOST_PASSED = 1000
"""How many suspects at most are passed over because their queues do not let them start."""

_OF_SUSPECTS = {"queue": True, "slots": True}
_POLICY = "queues"
_POLICY_SECONDS = 0.9
_NEEDS_SECONDS = 0.2


class NoRoom(Exception):
    """A queue's limit leaves no room for the job that goes first there."""


def decided(link: Link) -> dict[str, QueueLimit]:
    """Return the queues about which something was decided, without the slots in use."""
    found = link.queues.find().sort("_id", 1)
    return {each["_id"]: QueueLimit(each["paused"], each["limit"]) for each in found}


def limits_in_use(link: Link) -> dict[str, QueueLimit]:
    """Return the queues about which something was decided, with the slots in use."""
    return {
        name: replace(each, used=_used(_running(link, name))) if each.limit else each
        for name, each in decided(link).items()
    }


def decide(link: Link, queue: str, paused: bool | None, limit: int | None) -> None:
    """Pause, resume or limit a queue; workers hear of it within a second."""
    unset = {"paused": False, "limit": 0}
    wanted = {"paused": paused, "limit": limit}
    decided = {name: value for name, value in wanted.items() if value is not None}
    change = {"$set": decided}
    if others := {name: value for name, value in unset.items() if name not in decided}:
        change["$setOnInsert"] = others
    link.queues.update_one({"_id": queue}, change, upsert=True)
    link.queues.delete_one({"_id": queue, **unset})
    link.meta.update_one({"_id": _POLICY}, {"$inc": {"changes": 1}}, upsert=True)


def note_needs(link: Link) -> None:
    """Let workers look for jobs that need resources, before the first of them is stored."""
    link.meta.update_one({"_id": _POLICY}, {"$set": {"has_needs": True}}, upsert=True)


def free_numbers(link: Link, queue: str, limit: int, slots: int) -> list[str]:
    """Return numbers that a job of so many slots may try to hold. Raises NoRoom."""
    beside = _running(link, queue)
    held = {name for job in beside for name in job.get("slots_held", ())}
    names = [name for number in range(limit) if (name := f"{queue}#{number}") not in held]
    if len(names) < slots or _used(beside) + slots > limit:
        raise NoRoom
    return random.sample(names, slots)


def _running(link: Link, queue: str) -> list[Document]:
    """Return what each running job of a queue takes: its `slots`, and the numbers it holds."""
    taken = {"slots": True, "slots_held": True}
    return list(link.jobs.find({"state": "processing", "queue": queue}, taken))


def _used(running: list[Document]) -> int:
    return sum(job.get("slots", 1) for job in running)


@dataclass(slots=True)
class ReadyQueue:
    """A queue that has ready jobs: the highest priority there, and when it was last served."""

    queue: str
    top: int
    served: int = 0


class ReadyQueues:
    """The queues as one worker sees them, and its knowledge of what was decided about them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._limits: dict[str, QueueLimit] = {}
        self._changes = -1
        self.has_needs = False
        self._needs_pace = Pace(_NEEDS_SECONDS)
        self._limits_read_at = float("-inf")
        self._full: set[str] = set()
        self._queues: dict[str, ReadyQueue] = {}
        self._chosen_from: tuple[str, ...] = ()
        self._deliveries = False
        self._more: Document = {}
        self._pace = Pace(VIEW_SECONDS)
        self._served: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._resume_after = ""

    # what was decided

    def read_limits(self) -> bool:
        """Look, about once a second, whether something was decided; return whether it was."""
        present = time.monotonic()
        if present - self._limits_read_at < _POLICY_SECONDS:
            return False
        self._limits_read_at = present
        found = self._link.meta.find_one({"_id": _POLICY}) or {}
        self.has_needs = bool(found.get("has_needs"))
        changes = found.get("changes", 0)
        if changes == self._changes:
            return False
        self._limits = decided(self._link)
        self._changes = changes
        return True

    def limit(self, queue: str) -> int:
        """Return how many slots a queue has; 0 is any number."""
        return self._limits.get(queue, OPEN).limit

    def is_paused(self, queue: str) -> bool:
        """Whether a queue is paused."""
        return self._limits.get(queue, OPEN).paused

    def is_shut(self, queue: str) -> bool:
        """Whether a queue is paused, or was found full since the queues were read."""
        return queue in self._full or self.is_paused(queue)

    def _shut(self) -> list[str]:
        return sorted(self._full.union(name for name, each in self._limits.items() if each.paused))

    # what is ready

    def forget(self) -> None:
        """Read the queues afresh at the next claim."""
        self._pace.hurry()
        self.look_at_needs()

    def look_at_needs(self) -> None:
        """Look at the jobs that need resources at the next claim."""
        self._needs_pace.hurry()

    def may_look_at_needs(self, *, at_once: bool) -> bool:
        """Whether there may be jobs that need resources, and it is time to look for them."""
        return self.has_needs and (at_once or self._needs_pace.is_due)

    def looking_at_needs(self) -> AbstractContextManager[None]:
        """Return what notes how long a look takes, so that a slow server is left alone."""
        return self._needs_pace.look()

    def note_ready(self, queue: str, priority: int) -> None:
        """Remember that a job has become ready, so that it need not be discovered."""
        ready = self._queues.get(queue)
        if ready is not None:
            ready.top = max(ready.top, priority)
        elif (
            queue in self._chosen_from
            if self._chosen_from
            else is_of_deliveries(queue) is self._deliveries
        ):
            self._queues[queue] = ReadyQueue(queue, priority, self._served.get(queue, 0))

    def note_full(self, ready: ReadyQueue) -> None:
        """Pass a queue over until the queues are read afresh."""
        self._full.add(ready.queue)
        del self._queues[ready.queue]

    def note_room(self, queue: str) -> None:
        """Remember that a run has ended, which may leave room in its queue."""
        if self.limit(queue):
            self.forget()

    def open_queues(self, queues: tuple[str, ...]) -> Document:
        """Return the condition on `queue` of jobs that may be claimed."""
        if queues:
            return {"$in": [name for name in queues if not self.is_shut(name)]}
        return self._beyond("")

    def open_of_jobs(self) -> Document:
        """Return the condition on `queue` of the jobs of any open queue."""
        shut = self._shut()
        return {"$gte": FIRST_NAME, **({"$nin": shut} if shut else {})}

    def refresh(self, queues: tuple[str, ...], more: Document, *, deliveries: bool = False) -> bool:
        """Read the view if it is old or of other queues; return whether it was read.

        `more` is a condition on the jobs for which queues are looked at.
        """
        if self.read_limits():
            self.forget()
        seen = (self._chosen_from, self._deliveries, self._more)
        if (queues, deliveries, more) == seen and not self._pace.is_due:
            return False
        self._deliveries, self._more = deliveries, more
        self._full.clear()
        with self._pace.look():
            tops = self._tops_of(queues) if queues else self._tops_of_any()
            self._exchange_served(list(tops))
        self._queues = {
            name: ReadyQueue(name, top, self._served.get(name, 0)) for name, top in tops.items()
        }
        self._chosen_from = queues
        return True

    def next(self) -> ReadyQueue | None:
        """Return the queue to serve: of the highest priority, the least recently served."""
        queues = self._queues.values()
        return min(queues, key=lambda each: (-each.top, each.served, each.queue), default=None)

    def floor(self, chosen: ReadyQueue) -> int | None:
        """Return the lowest priority at which the chosen queue still goes before the others."""
        others = [ready for ready in self._queues.values() if ready is not chosen]
        if not others:
            return None
        best = max(ready.top for ready in others)
        rivals = [(ready.served, ready.queue) for ready in others if ready.top == best]
        return best if (chosen.served, chosen.queue) < min(rivals) else best + 1

    def equals(self, chosen: ReadyQueue) -> list[ReadyQueue]:
        """Return the queues that have a first job of the priority of the chosen one, in turn."""
        equal = [each for each in self._queues.values() if each.top == chosen.top]
        return sorted(equal, key=lambda each: (each.served, each.queue))

    def note_served(self, jobs: Iterable[Job]) -> None:
        """Remember that jobs were taken from their queues, in this order."""
        for job in jobs:
            if ready := self._queues.get(job.spec.queue):
                self._note_served(ready, job)

    def _note_served(self, ready: ReadyQueue, job: Job) -> None:
        ready.top = job.spec.priority
        if len(self._queues) > 1:
            latest = max((other.served for other in self._queues.values()), default=0)
            ready.served = max(to_millis(self._link.now()), latest + 1)
            self._served[ready.queue] = ready.served
            self._unsaved.add(ready.queue)

    def _tops_of(self, queues: tuple[str, ...]) -> dict[str, int]:
        is_open = (name for name in queues[:MOST_QUEUES] if not self.is_shut(name))
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
        """Return the condition on `queue` of the queues after one that hold what is asked for."""
        shut = self._shut()
        if self._deliveries:
            beyond: Document = {"$gt": after, "$lt": FIRST_NAME}
        else:
            beyond = {"$gt": after} if after else {"$gte": FIRST_NAME}
        return {**beyond, "$nin": shut} if shut else beyond

    def has_deliveries(self, *, untried: bool = False) -> bool:
        """Whether a delivery is ready whose queue is not paused, and not known to be full."""
        more = UNTRIED if untried else {}
        if not self._is_ready({"$lt": FIRST_NAME}, more):
            return False  # as nearly always, with one read
        self.read_limits()
        if self._pace.is_due:  # the next claim looks afresh, and nobody claims until we say yes
            self._full.clear()
        shut = [name for name in self._shut() if is_of_deliveries(name)]
        return not shut or self._is_ready({"$lt": FIRST_NAME, "$nin": shut}, more)

    def ready_suspects(self, queues: tuple[str, ...], limit: int) -> Iterator[Document]:
        """Yield suspects that could all be claimed now, at most `limit`, the first one first."""
        if self.read_limits():
            self.forget()
        where: Document = {"queue": {"$in": list(queues)} if queues else {"$gte": FIRST_NAME}}
        wanted = {"ready": True, **SUSPECTS, **where}
        found = self._link.jobs.find(wanted, _OF_SUSPECTS, hint="suspects").sort(CLAIM_ORDER)
        room: dict[str, int] = {}
        for job in found.limit(limit + MOST_PASSED):
            queue, slots = job["queue"], job.get("slots", 1)
            if self.is_paused(queue):
                continue
            if (most := self.limit(queue)) and isinstance(slots, int):
                if queue not in room:
                    room[queue] = most - _used(_running(self._link, queue))
                room[queue] -= slots
                if room[queue] < 0:
                    continue  # and nothing overtakes it
            yield job

    def _is_ready(self, queues: Document, more: Document) -> bool:
        ready = {"ready": True, "queue": queues, **more}
        return self._link.jobs.find_one(ready, {"_id": True}, hint="claim") is not None

    def _first(self, where: Document) -> Document | None:
        """Return the first ready job; what has no priority to go by is set aside."""
        wanted = {"ready": True, **where, **self._more}
        while True:
            job = self._link.jobs.find_one(
                wanted,
                {"queue": True, "priority": True},
                sort=[("queue", 1), *CLAIM_ORDER],
                hint="claim",
            )
            if job is None or isinstance(job.get("priority"), int):
                return job
            set_aside(self._link, job["_id"])

    def _exchange_served(self, queues: list[str]) -> None:
        """Tell the others which queues were served, and hear it of them; nothing for one queue."""
        ready_queues = self._link.served_queues
        if self._unsaved:
            changes = [
                UpdateOne({"_id": name}, {"$max": {"served": self._served[name]}}, upsert=True)
                for name in sorted(self._unsaved)
            ]
            self._unsaved.clear()
            ready_queues.bulk_write(changes, ordered=False)
        if len(queues) > 1:
            for found in ready_queues.find({"_id": {"$in": queues}}):
                name, served = found["_id"], found["served"]
                self._served[name] = max(served, self._served.get(name, 0))
