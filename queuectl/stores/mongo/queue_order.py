"""Which queue a worker is served from next: a view of the queues that have ready jobs.

It is at most a second old where the server is quick. Which queues were served is told to the
other workers with each reading, so that a fleet takes queues of one priority in rotation.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymongo import UpdateOne

from queuectl.domain.job import Job
from queuectl.domain.queue_limits import FIRST_NAME, is_of_deliveries
from queuectl.domain.times import to_millis
from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.mongo.documents import set_aside
from queuectl.stores.mongo.queues import Policy
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.system.polling import Pace

VIEW_SECONDS = 1.0
MOST_QUEUES = 100
UNTRIED: Document = {"attempts": 0}
"""The condition on jobs that no attempt has been made at."""


@dataclass(slots=True)
class ReadyQueue:
    """A queue that has ready jobs: the highest priority there, and when it was last served."""

    queue: str
    top: int
    served: int = 0


class ReadyQueues:
    """The queues as one worker sees them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.policy = Policy(link)
        self._queues: dict[str, ReadyQueue] = {}
        self._chosen_from: tuple[str, ...] = ()
        self._deliveries = False
        self._untried = False
        self._pace = Pace(VIEW_SECONDS)
        self._served: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._resume_after = ""

    def forget(self) -> None:
        """Read the queues afresh at the next claim."""
        self._pace.hurry()

    def note_ready(self, queue: str, priority: int) -> None:
        """Remember that a job has become ready, so that it need not be discovered."""
        ready = self._queues.get(queue)
        if ready is not None:
            ready.top = max(ready.top, priority)
        elif self._is_wanted(queue):
            self._queues[queue] = ReadyQueue(queue, priority, self._served.get(queue, 0))

    def _is_wanted(self, queue: str) -> bool:
        if self._chosen_from:
            return queue in self._chosen_from
        return is_of_deliveries(queue) is self._deliveries

    def note_full(self, ready: ReadyQueue) -> None:
        """Pass a queue over until the queues are read afresh."""
        self.policy.note_full(ready.queue)
        del self._queues[ready.queue]

    def note_room(self, queue: str) -> None:
        """Remember that a run has ended, which may leave room in its queue."""
        if self.policy.limit(queue):
            self.forget()

    def open_queues(self, queues: tuple[str, ...]) -> Document:
        """Return the condition on `queue` of jobs that may be claimed."""
        shut = self.policy.shut()
        if queues:
            return {"$in": [name for name in queues if name not in shut]}
        return self._beyond("")

    def refresh(
        self, queues: tuple[str, ...], *, deliveries: bool = False, untried: bool = False
    ) -> bool:
        """Read the view if it is old or of other queues; tell whether it was read."""
        if self.policy.refresh():
            self.forget()
        seen = (self._chosen_from, self._deliveries, self._untried)
        if (queues, deliveries, untried) == seen and not self._pace.is_due:
            return False
        self._deliveries, self._untried = deliveries, untried
        self.policy.forget_full()
        with self._pace.look():
            tops = self._tops_of(queues) if queues else self._tops_of_any()
            self._exchange_served(list(tops))
        served = self._served
        self._queues = {
            name: ReadyQueue(name, top, served.get(name, 0)) for name, top in tops.items()
        }
        self._chosen_from = queues
        return True

    def next(self) -> ReadyQueue | None:
        """Return the queue to serve: of the highest priority, the least recently served."""
        ready_queues = self._queues.values()
        return min(
            ready_queues, key=lambda ready: (-ready.top, ready.served, ready.queue), default=None
        )

    def floor(self, chosen: ReadyQueue) -> int | None:
        """Return the lowest priority at which the chosen queue still goes before the others."""
        others = [ready for ready in self._queues.values() if ready is not chosen]
        if not others:
            return None
        best = max(ready.top for ready in others)
        rivals = [(ready.served, ready.queue) for ready in others if ready.top == best]
        return best if (chosen.served, chosen.queue) < min(rivals) else best + 1

    def note_served(self, ready: ReadyQueue, job: Job) -> None:
        """Remember that a job was taken from a queue."""
        ready.top = job.spec.priority
        if len(self._queues) > 1:
            latest = max((other.served for other in self._queues.values()), default=0)
            ready.served = max(to_millis(self._link.now()), latest + 1)
            self._served[ready.queue] = ready.served
            self._unsaved.add(ready.queue)

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
        """Return the condition on `queue` of the queues after one that hold what is asked for."""
        shut = self.policy.shut()
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
        self.policy.refresh()
        if self._pace.is_due:  # the next claim looks afresh, and nobody claims until we say yes
            self.policy.forget_full()
        shut = [name for name in self.policy.shut() if is_of_deliveries(name)]
        return not shut or self._is_ready({"$lt": FIRST_NAME, "$nin": shut}, more)

    def _is_ready(self, queues: Document, more: Document) -> bool:
        ready = {"ready": True, "queue": queues, **more}
        return self._link.jobs.find_one(ready, {"_id": True}, hint="claim") is not None

    def _first(self, where: Document) -> Document | None:
        """Return the first ready job; what has no priority to go by is set aside."""
        wanted = {"ready": True, **where, **(UNTRIED if self._untried else {})}
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
