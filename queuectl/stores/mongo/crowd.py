"""Who takes which jobs, where many workers claim from one queue.

If all of a crowd of workers took the very first job, they would fight for one document. So each
reads a page of candidates in the order of the claim, and takes first those of a share of its own,
by id: which share a job is in follows from its number of arrival, which share is a worker's from
the registry. Nobody looks further down the page than a few jobs for each worker, which keeps the
order nearly that of arrival; where the own share is used up there, any of these jobs will do. The
page is read afresh when somebody else was faster.

Whoever claims several short jobs at once takes the first ones where there is no crowd, and those of
its share once others were faster, for as long as a look at the fleet holds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import groupby, takewhile
from operator import itemgetter

from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.mongo.documents import set_aside
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.system.polling import Pace

CROWD = 4
"""With more live workers than this, claims spread over a page of candidates."""

FLEET_SECONDS = 5.0
PAGE_SECONDS = 1.0
PAGE = 200
LONGEST_PAGE = 1000
FOR_EACH_WORKER = 8
_CANDIDATES = 3
_SHOWN = dict.fromkeys(("queue", "priority", "seq", "rev", "suspect", "interruptions"), True)


class Crowd:
    """The fleet and the candidates as one worker sees them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._fleet_pace = Pace(FLEET_SECONDS)
        self._size = self._share = 0
        self._page_pace = Pace(PAGE_SECONDS)
        self._page: list[Document] = []
        """The first ready jobs of one queue, in the order of the claim."""

        self._page_of = ""
        self._rivals_until = float("-inf")

    def candidates(self, worker: str, queue: str, where: Document) -> Iterator[str]:
        """Yield a few ids to try one after the other; none where the first job may be taken.

        The caller asks for the next one when somebody else had that one first: the page is read
        afresh then.
        """
        self._look_at_fleet(worker)
        if self._size <= CROWD:
            return
        for attempt in range(_CANDIDATES):
            if attempt or not self._is_usable(queue, where):
                self._read(queue, where)
            near = self._near()
            if not near:
                return
            shares = (job["seq"] % self._size for job in near)
            chosen = next((at for at, share in enumerate(shares) if share == self._share), None)
            at = random.randrange(len(near)) if chosen is None else chosen
            yield str(self._page.pop(at)["_id"])

    def _near(self) -> list[Document]:
        """Return the first jobs of the page, all of one priority."""
        near = self._page[: FOR_EACH_WORKER * self._size]
        return [job for job in near if job["priority"] == near[0]["priority"]]

    def several(
        self, worker: str, queue: str, where: Document, number: int, *, afresh: bool
    ) -> list[Document]:
        """Return at most `number` jobs to claim together, in the order of the claim.

        There are none where the first of them is to be claimed alone. `afresh` says that the page
        that was read before led nowhere.
        """
        self._look_at_fleet(worker)
        if afresh:
            self._rivals_until = time.monotonic() + FLEET_SECONDS
        is_spread = self._size > CROWD or time.monotonic() < self._rivals_until
        size = max(self._size, 1) if is_spread else 1
        reach = max(number, FOR_EACH_WORKER) * size
        if afresh or not is_spread or not self._is_usable(queue, where):
            self._read(queue, where, min(max(reach, PAGE if is_spread else 0), LONGEST_PAGE))
        chosen: list[Document] = []
        for _, jobs in groupby(self._page[:reach], itemgetter("priority")):
            chosen += self._share_of(list(jobs), size)
            if len(chosen) >= number:
                break
        chosen = list(takewhile(_is_harmless, chosen[:number]))
        taken = {job["_id"] for job in chosen}
        self._page = [job for job in self._page if job["_id"] not in taken]
        return chosen

    def _share_of(self, jobs: list[Document], size: int) -> list[Document]:
        """Return the own share of jobs of one priority; some of them by chance where it is none."""
        if size <= 1:
            return jobs
        if own := [job for job in jobs if job["seq"] % size == self._share]:
            return own
        some = random.sample(range(len(jobs)), -(-len(jobs) // size))
        return [jobs[at] for at in sorted(some)]

    def _look_at_fleet(self, worker: str) -> None:
        if not self._fleet_pace.is_due:
            return
        with self._fleet_pace.look():
            found = self._link.workers.find({}, {"_id": True}).sort("_id", 1).limit(PAGE)
            fleet = [entry["_id"] for entry in found]
        self._size = len(fleet)
        self._share = fleet.index(worker) if worker in fleet else 0

    def _is_usable(self, queue: str, where: Document) -> bool:
        floor = where.get("priority", {}).get("$gte")
        if floor is not None:
            self._page = [job for job in self._page if job["priority"] >= floor]
        return bool(self._page) and self._page_of == queue and not self._page_pace.is_due

    def _read(self, queue: str, where: Document, most: int = PAGE) -> None:
        with self._page_pace.look():
            found = self._link.jobs.find({"ready": True, **where}, _SHOWN, hint="claim")
            jobs = list(found.sort(CLAIM_ORDER).limit(most).batch_size(most))
        placed = []
        for job in jobs:
            if isinstance(job.get("priority"), int) and isinstance(job.get("seq"), int):
                placed.append(job)
            else:  # it lacks what decides about its place
                set_aside(self._link, job["_id"])
        self._page_of, self._page = queue, placed


def _is_harmless(job: Document) -> bool:
    """Whether a job is known not to be what ended a worker before, and is as jobs are."""
    may_end_worker = job.get("suspect") or job.get("interruptions")
    return not may_end_worker and isinstance(job.get("rev"), int)
