"""What was decided about queues: which are paused, how many slots each may use.

Numbers enforce a limit: a run in a limited queue holds as many of them as it takes slots, each
below the limit, and a unique index lets nobody hold one twice. They are part of the job itself, so
they go with its claim and a crash leaks none.
"""

from __future__ import annotations

import random
import time
from typing import Any

from queuectl.domain.queue_limits import OPEN, QueueLimit
from queuectl.stores.mongo.connection import Document, Link

_POLICY = "queues"
_POLICY_SECONDS = 0.5


class NoRoom(Exception):
    """A queue's limit leaves no room for the job that goes first there."""


def decided(link: Link) -> dict[str, QueueLimit]:
    """Return the queues about which something was decided, without the slots in use."""
    found = link.queues.find().sort("_id", 1)
    return {each["_id"]: QueueLimit(each["paused"], each["limit"]) for each in found}


def decide(link: Link, queue: str, paused: bool | None, limit: int | None) -> None:
    """Pause, resume or limit a queue; workers hear of it within a second."""
    wanted: dict[str, Any] = {"paused": paused, "limit": limit}
    given = {name: value for name, value in wanted.items() if value is not None}
    unsaid = {"paused": False, "limit": 0}
    defaults = {name: value for name, value in unsaid.items() if name not in given}
    link.queues.update_one(
        {"_id": queue}, {"$set": given, "$setOnInsert": defaults} if defaults else {"$set": given},
        upsert=True,
    )  # fmt: skip
    link.queues.delete_one({"_id": queue, **unsaid})
    link.meta.update_one({"_id": _POLICY}, {"$inc": {"changes": 1}}, upsert=True)


def running(link: Link, queue: str) -> list[Document]:
    """Return what each running job of a queue takes: its `slots`, and the numbers it holds."""
    taken = {"slots": True, "slots_held": True}
    return list(link.jobs.find({"state": "processing", "queue": queue}, taken))


def used_slots(link: Link, queue: str) -> int:
    """Return how many slots of a queue are in use."""
    return sum(job.get("slots", 1) for job in running(link, queue))


def free_numbers(link: Link, queue: str, limit: int, slots: int) -> list[str]:
    """Return numbers that a job of so many slots may try to hold. Raises NoRoom."""
    beside = running(link, queue)
    if sum(job.get("slots", 1) for job in beside) + slots > limit:
        raise NoRoom
    held = {name for job in beside for name in job.get("slots_held", ())}
    names = [name for number in range(limit) if (name := f"{queue}#{number}") not in held]
    if len(names) < slots:
        raise NoRoom
    return random.sample(names, slots)


class Policy:
    """One worker's knowledge of what was decided, read again only after a change."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._changes = -1
        self._read_at = float("-inf")
        self._lanes: dict[str, QueueLimit] = {}
        self._full: set[str] = set()

    def refresh(self) -> bool:
        """Look, at most twice a second, whether something was decided; tell whether it was."""
        present = time.monotonic()
        if present - self._read_at < _POLICY_SECONDS:
            return False
        self._read_at = present
        found = self._link.meta.find_one({"_id": _POLICY}) or {"changes": 0}
        if found["changes"] == self._changes:
            return False
        self._lanes = decided(self._link)
        self._changes = found["changes"]
        return True

    def forget_full(self) -> None:
        """Let every queue have room again."""
        self._full.clear()

    def note_full(self, queue: str) -> None:
        """Pass a queue over until it is asked whether they have room."""
        self._full.add(queue)

    def limit(self, queue: str) -> int:
        """Return how many slots a queue has; 0 is any number."""
        return self._lanes.get(queue, OPEN).limit

    def is_shut(self, queue: str) -> bool:
        """Whether a queue is paused, or was found full since the last refresh."""
        return queue in self._full or self._lanes.get(queue, OPEN).paused

    def shut(self) -> list[str]:
        """Return the queues that are not claimed from."""
        paused = {name for name, lane in self._lanes.items() if lane.paused}
        return sorted(paused | self._full)
