"""Spreading a crowd of workers over the first jobs of a queue.

If all took the very first job, they would fight for one document. So each reads a page of
candidates in the order of the claim, and takes first those of a share of its own: which share a
job is in follows from its number of arrival, which share is a worker's from the registry.
Nobody looks further down the page than a few jobs for each worker, which keeps the order nearly
that of arrival; where the own share is used up there, any of these jobs will do. The page is
read afresh when somebody else was faster.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.mongo.documents import set_aside
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.system.polling import Pace

CROWD = 4
"""With more live workers than this, claims spread over a page of candidates."""

FLEET_SECONDS = 5.0
PAGE_SECONDS = 1.0
PAGE = 200
FOR_EACH_WORKER = 8
_TRIES = 3


@dataclass(slots=True)
class _Page:
    """The first ready jobs of one queue, all of one priority, in the order of the claim."""

    queue: str = ""
    priority: int = 0
    jobs: list[Document] = field(default_factory=list)


class Crowd:
    """The fleet and the candidates as one worker sees them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._fleet_pace = Pace(FLEET_SECONDS)
        self._size = 0
        self._share = 0
        self._page_pace = Pace(PAGE_SECONDS)
        self._page = _Page()

    def candidates(self, worker: str, queue: str, where: Document) -> Iterator[str]:
        """Yield a few ids to try one after the other; none where the first job may be taken.

        The caller asks for the next one when somebody else had that one first: the page is read
        afresh then.
        """
        self._look_at_fleet(worker)
        if self._size <= CROWD:
            return
        for attempt in range(_TRIES):
            job_id = self._choose(queue, where, must_read=attempt > 0)
            if job_id is None:
                return
            yield job_id

    def _look_at_fleet(self, worker: str) -> None:
        if not self._fleet_pace.is_due:
            return
        with self._fleet_pace.look():
            found = self._link.workers.find({}, {"_id": True}).sort("_id", 1).limit(PAGE)
            fleet = [entry["_id"] for entry in found]
        self._size = len(fleet)
        self._share = fleet.index(worker) if worker in fleet else 0

    def _choose(self, queue: str, where: Document, *, must_read: bool) -> str | None:
        if must_read or not self._is_usable(queue, where):
            self._read(queue, where)
        near = len(self._near())
        if not near:
            return None
        own = self._own()
        chosen = random.randrange(near) if own is None else own
        return str(self._page.jobs.pop(chosen)["_id"])

    def _near(self) -> list[Document]:
        return self._page.jobs[: FOR_EACH_WORKER * self._size]

    def _own(self) -> int | None:
        """Return where on the page the first job of the own share is, if it is near."""
        numbers = enumerate(job["seq"] for job in self._near())
        return next((at for at, seq in numbers if seq % self._size == self._share), None)

    def _is_usable(self, queue: str, where: Document) -> bool:
        page = self._page
        floor = where.get("priority", {}).get("$gte", page.priority)
        is_old = self._page_pace.is_due
        return bool(page.jobs) and page.queue == queue and page.priority >= floor and not is_old

    def _read(self, queue: str, where: Document) -> None:
        with self._page_pace.look():
            found = list(
                self._link.jobs.find({"ready": True, **where}, {"priority": True, "seq": True})
                .sort(CLAIM_ORDER)
                .limit(PAGE)
                .batch_size(PAGE)
            )
        found = [job for job in found if self._has_place(job)]
        top = found[0]["priority"] if found else 0
        self._page = _Page(queue, top, [job for job in found if job["priority"] == top])

    def _has_place(self, job: Document) -> bool:
        """Whether a job has what decides about its place; one that has not is set aside."""
        if isinstance(job.get("priority"), int) and isinstance(job.get("seq"), int):
            return True
        set_aside(self._link, job["_id"])
        return False
