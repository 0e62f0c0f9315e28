"""The dead letter queue of a server that need not have transactions.

`jobs` alone decides which ids exist and where each job is, so that every reader sees a job once:

- burial: the fenced dead job, whole, in `jobs`; a copy in `dlq`; the one in `jobs` becomes a stub;
- revival: the stub becomes a whole pending job again, fenced; then the copy is deleted.

A copy in `dlq` is believed only while `jobs` has a stub of the same `seq` and `rev`. These two
never come twice, so any process may finish a burial or remove a copy that is not believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import DeleteOne
from pymongo.errors import DuplicateKeyError

from queuectl.domain.job import Job, State
from queuectl.domain.state_machine import Transition
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import (
    Document,
    Link,
    is_applied,
    is_there,
    left_to_repair,
    one_by_one,
)
from queuectl.stores.mongo.documents import fence, key_of, lacking, new_fields, to_stub
from queuectl.stores.records import BATCH

DEAD: Document = {"state": State.DEAD.value}
_SWEEP = 500


def wholes(
    link: Link, found: Sequence[Document], left_out: dict[str, bool] | None = None
) -> dict[str, Document]:
    """Return the whole documents of jobs by id, without dead ones that have moved meanwhile."""
    stubs = {"_id": {"$in": [each["_id"] for each in found if each.get("stub")]}}
    copies = link.dlq.find(stubs, left_out) if any(each.get("stub") for each in found) else ()
    by_key = {_key(copy): copy for copy in copies}
    return {
        each["_id"]: whole
        for each in found
        if (whole := by_key.get(_key(each)) if each.get("stub") else each) is not None
    }


def finish_burial(link: Link, job_id: str) -> bool:
    """Copy a dead job into `dlq` and leave a stub of it; False when somebody else did."""
    dead = link.jobs.find_one({"_id": job_id, **DEAD, "moving": True})
    if dead is None:
        return False
    copy = {name: value for name, value in dead.items() if name not in ("moving", "pending_events")}
    try:
        # never over the copy of a later burial
        older = [{"seq": {"$lt": dead["seq"]}}, {"seq": dead["seq"], "rev": {"$lte": dead["rev"]}}]
        link.dlq.replace_one({"_id": job_id, "$or": older}, copy, upsert=True)
    except DuplicateKeyError:
        return False
    # a mark that was set or taken off since it was read: then it is done again
    marked = {name: dead.get(name) for name in ("has_dependents", "pending_events")}
    unmoved = {**_copy_of(dead), **DEAD, "moving": True, **marked}
    if link.jobs.replace_one(unmoved, to_stub(dead)).matched_count:
        return True
    if link.jobs.find_one({**_copy_of(dead), "stub": True}, {"_id": True}) is None:
        link.dlq.delete_one(_copy_of(dead))
    return False


def revive(
    link: Link, change: Transition, after: Job, now: datetime, stamp: str, linking: Document | None
) -> bool:
    """Apply a transition that takes a job out of the DLQ.

    With `linking` that mark must be on the job still, and stays.
    """
    decided = {**fence(change, linking), **DEAD}
    found = link.jobs.find_one(decided)
    dead = wholes(link, [found]).get(after.id) if found else None
    if found is None or dead is None:
        return False
    alive = revived(dead, found, change, after, now, stamp)
    if linking is not None:
        alive["linking"] = linking
    decided["pending_events"] = found.get("pending_events")
    if not is_applied(
        lambda: link.jobs.replace_one(decided, alive).matched_count == 1,
        lambda: is_there(link.jobs, {"_id": after.id, "stamp": stamp}),
    ):
        return False
    drop_copies(link, [change.before])
    return True


def revived(
    whole: Document, found: Document, change: Transition, after: Job, now: datetime, stamp: str
) -> Document:
    """Return the document of a job that leaves the DLQ, from its whole one and that in `jobs`.

    That alone has its pending events. Whoever writes compares them: they may be processed, and
    taken off, meanwhile.
    """
    less = {"moving", "pending_events", *lacking(after)}
    kept = {name: value for name, value in whole.items() if name not in less}
    pending = {"pending_events": found["pending_events"]} if found.get("pending_events") else {}
    return {**kept, **pending, **new_fields(change, after, now), "stamp": stamp}


def drop_copies(link: Link, jobs: Sequence[Job]) -> None:
    """Delete the copies of jobs that have left; what fails here is left to `repair`."""
    with left_to_repair():
        link.write_all(link.dlq, [DeleteOne(key_of(job)) for job in jobs])


def finish_burials(link: Link) -> int:
    """Finish the burials that a crash cut short; return how many."""
    moving = [each["_id"] for each in link.jobs.find({"moving": True}, {"_id": True}).limit(BATCH)]
    return sum(finish_burial(link, job_id) for job_id in one_by_one(link, moving))


def unbelieved(link: Link, after: str) -> tuple[list[Document], str]:
    """Return the copies in the next stretch of `dlq` that `jobs` does not vouch for.

    The second value is where the stretch after it begins, "" when it was the last.
    """
    keys = {"seq": True, "rev": True}
    copies = list(link.dlq.find({"_id": {"$gt": after}}, keys).sort("_id", 1).limit(_SWEEP))
    ids = [copy["_id"] for copy in copies]
    vouched = set(map(_key, by_id(link.jobs, ids, keys, link.reads, DEAD)))
    lost = [copy for copy in copies if _key(copy) not in vouched]
    return lost, ids[-1] if len(ids) == _SWEEP else ""


def remove_copies(link: Link, lost: list[Document]) -> int:
    """Delete copies that `jobs` does not vouch for; it will never do so again."""
    return sum(link.dlq.delete_one(_copy_of(copy)).deleted_count for copy in one_by_one(link, lost))


def _key(found: Document) -> tuple[str, int, int]:
    return found["_id"], found["seq"], found["rev"]


def _copy_of(found: Document) -> Document:
    return {"_id": found["_id"], "seq": found["seq"], "rev": found["rev"]}
