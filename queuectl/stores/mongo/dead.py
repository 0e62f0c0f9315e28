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
from pymongo.errors import DuplicateKeyError, PyMongoError

from queuectl.domain.job import Job, State
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import BATCH
from queuectl.stores.mongo.chunks import by_id
from queuectl.stores.mongo.connection import MAJORITY, Document, Link, is_doubtful, one_by_one
from queuectl.stores.mongo.documents import fence, new_fields, to_stub

_DEAD = State.DEAD.value
_SWEEP = 500


def whole(link: Link, found: Document, left_out: dict[str, bool] | None = None) -> Document | None:
    """Return the whole document of a stub, or None when the job has moved meanwhile."""
    if not found.get("stub"):
        return found
    return link.dlq.find_one(_copy_of(found), left_out)


def wholes(link: Link, ids: Sequence[str]) -> dict[str, Document]:
    """Return the whole documents of dead jobs by id, without those that move meanwhile."""
    wanted = {"_id": {"$in": list(ids)}}
    found = list(link.jobs.find({**wanted, "state": _DEAD})) if ids else []
    copies = {_key(copy): copy for copy in link.dlq.find(wanted)} if found else {}
    return {
        each["_id"]: with_pending_events(whole, each)
        for each in found
        if (whole := copies.get(_key(each)) if each.get("stub") else each) is not None
    }


def with_pending_events(dead: Document, found: Document) -> Document:
    """Return the whole document of a dead job with the events that only `jobs` has of it.

    Whoever writes it compares them: they may be processed, and taken off, meanwhile.
    """
    less = {name: value for name, value in dead.items() if name != "pending_events"}
    pending_events = found.get("pending_events")
    return {**less, "pending_events": pending_events} if pending_events else less


def finish_burial(link: Link, job_id: str) -> bool:
    """Copy a dead job into `dlq` and leave a stub of it; False when somebody else did."""
    dead = link.jobs.find_one({"_id": job_id, "state": _DEAD, "moving": True})
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
    unmoved = {**_copy_of(dead), "state": _DEAD, "moving": True, **marked}
    if link.jobs.replace_one(unmoved, to_stub(dead)).matched_count:
        return True
    if link.jobs.find_one({**_copy_of(dead), "stub": True}, {"_id": True}) is None:
        link.dlq.delete_one(_copy_of(dead))
    return False


def try_to_finish_burial(link: Link, job_id: str) -> None:
    """Finish a burial that is decided; what fails here is left to `repair`."""
    try:
        finish_burial(link, job_id)
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise


def revive(
    link: Link, change: Transition, now: datetime, stamp: str, linking: Document | None = None
) -> bool:
    """Apply a transition that takes a job out of the DLQ, or deletes it there.

    With `linking` that mark must be on the job still, and stays.
    """
    decided = {**fence(change, linking), "state": _DEAD}
    found = link.jobs.find_one(decided)
    if found is None:
        return False
    if change.after is None:
        if not _delete(link, decided):
            return False
    else:
        dead = whole(link, found)
        if dead is None:
            return False
        alive = revived(with_pending_events(dead, found), change, change.after, now, stamp)
        if linking is not None:
            alive["linking"] = linking
        if not _replace(link, {**decided, "pending_events": alive.get("pending_events")}, alive):
            return False
    _drop_copy(link, found)
    return True


def revived(dead: Document, change: Transition, after: Job, now: datetime, stamp: str) -> Document:
    """Return the document of a job that leaves the DLQ; `dead` is the whole one it had there."""
    document = {**dead, **new_fields(change, after, now), "stamp": stamp}
    document.pop("moving", None)
    return document


def _replace(link: Link, decided: Document, revived: Document) -> bool:
    certain = link.jobs.with_options(read_concern=MAJORITY)
    mark = {"_id": revived["_id"], "stamp": revived["stamp"]}
    try:
        if link.jobs.replace_one(decided, revived).matched_count:
            return True
        # the driver may have repeated what had been applied
        return certain.find_one(mark, {"_id": True}) is not None
    except PyMongoError as fault:
        if is_doubtful(fault) and certain.find_one(mark, {"_id": True}) is not None:
            return True
        raise


def _delete(link: Link, decided: Document) -> bool:
    try:
        return link.jobs.delete_one(decided).deleted_count == 1
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise
        certain = link.jobs.with_options(read_concern=MAJORITY)
        if certain.find_one(decided, {"_id": True}) is None:
            return True
        raise


def _drop_copy(link: Link, found: Document) -> None:
    """Delete the copy of a job that has left; what fails here is left to `repair`."""
    try:
        link.dlq.delete_one(_copy_of(found))
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise


def drop_copies(link: Link, jobs: Sequence[Job]) -> None:
    """Delete the copies of jobs that have left; what fails here is left to `repair`."""
    keys = [DeleteOne({"_id": job.id, "seq": job.seq, "rev": job.rev}) for job in jobs]
    try:
        for some in link.changes.of(keys):
            link.dlq.bulk_write(some, ordered=False)
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise


def finish_burials(link: Link) -> int:
    """Finish the burials that a crash cut short; return how many."""
    half_done = [
        each["_id"] for each in link.jobs.find({"moving": True}, {"_id": True}).limit(BATCH)
    ]
    return sum(finish_burial(link, job_id) for job_id in one_by_one(link, half_done))


def unbelieved(link: Link, after: str) -> tuple[list[Document], str]:
    """Return the copies in the next stretch of `dlq` that `jobs` does not vouch for.

    The second value is where the stretch after it begins, "" when it was the last.
    """
    keys = {"seq": True, "rev": True}
    copies = list(link.dlq.find({"_id": {"$gt": after}}, keys).sort("_id", 1).limit(_SWEEP))
    ids = [copy["_id"] for copy in copies]
    vouched = set(map(_key, by_id(link.jobs, ids, keys, link.reads, {"state": _DEAD})))
    lost = [copy for copy in copies if _key(copy) not in vouched]
    return lost, ids[-1] if len(ids) == _SWEEP else ""


def remove_copies(link: Link, lost: list[Document]) -> int:
    """Delete copies that `jobs` does not vouch for; it will never do so again."""
    return sum(link.dlq.delete_one(_copy_of(copy)).deleted_count for copy in one_by_one(link, lost))


def _key(found: Document) -> tuple[str, int, int]:
    return found["_id"], found["seq"], found["rev"]


def _copy_of(found: Document) -> Document:
    return {"_id": found["_id"], "seq": found["seq"], "rev": found["rev"]}
