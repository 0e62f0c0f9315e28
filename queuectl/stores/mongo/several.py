"""Claims of several short jobs by two commands: one marks them, one reads back what was got.

Each is marked for a request of its own, while it is as it was seen on a page of candidates. What
somebody else was faster at is not got; what a lost reply leaves open is found again by the ids of
the claims, as with one job.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from queuectl.domain.job import Job, State
from queuectl.stores.exchange import ClaimRequest
from queuectl.stores.mongo.connection import Document, Link, durable
from queuectl.stores.mongo.documents import BARE, readable
from queuectl.stores.mongo.errors import is_doubtful

NOT_CLAIMED: Document = {
    "$set": {"state": State.PENDING.value},
    "$unset": dict.fromkeys(("ready", "claim_id", "lease_until", "claim_alone", "slots_held"), ""),
}
"""The update that lets go of a record that holds no job, and takes it out of the way."""


Mark = tuple[ClaimRequest, Document, Document]
"""A request, the job as it was seen with its queue, and the update that claims it."""


def take(link: Link, marks: Sequence[Mark]) -> list[Job]:
    """Claim jobs that were seen, each for a request of its own.

    Returns those that were got, in the order of the requests. Raises a fault of the driver when
    nobody can say which.
    """
    writes = [
        UpdateOne(
            # an id comes first: there are servers that choose their index by the first clause
            {"_id": seen["_id"], "ready": True, **_as_seen(seen)},
            update,
        )
        for _, seen, update in marks
    ]
    doubt: PyMongoError | None = None
    try:
        link.jobs.bulk_write(writes, ordered=False)
    except PyMongoError as fault:
        if is_doubtful(fault):
            doubt = fault
        elif not isinstance(fault, BulkWriteError):
            raise
        # else one of them: an earlier request of its claim came through, or it cannot be claimed
    jobs = held(link, [request for request, _, _ in marks])
    if doubt is not None and len(jobs) < len(marks):
        raise doubt
    return jobs


def _as_seen(seen: Document) -> Document:
    """Return the condition that no change was made to a job since, whatever has that id now."""
    return {name: seen[name] for name in ("queue", "seq", "rev")}


def held(link: Link, requests: Sequence[ClaimRequest]) -> list[Job]:
    """Return the jobs that these requests have claimed, in their order."""
    order = {request.claim_id: number for number, request in enumerate(requests)}
    mine = {"state": State.PROCESSING.value, "claim_id": {"$in": list(order)}}
    jobs = []
    for found in durable(link.jobs).find(mine, BARE):
        if job := readable(found):
            jobs.append(job)
        else:
            own = {"_id": found["_id"], "claim_id": found["claim_id"]}
            link.jobs.update_one(own, NOT_CLAIMED)
    return sorted(jobs, key=lambda job: order[job.claim_id])
