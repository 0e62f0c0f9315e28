"""Telling the children of one job how it has ended, on MongoDB: they are released or cancelled.

A child is changed as it was seen, and one that has changed is seen again, so all of this may be
done by several at once, and be broken off after any command.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from queuectl.domain import state_machine
from queuectl.domain.dependencies import gone, has_failed, met_by, root_cause, unwanted_by, wish_for
from queuectl.domain.frozen import frozen
from queuectl.domain.job import WAITING, State
from queuectl.domain.settings import CANCEL
from queuectl.stores.mongo.chunks import Budget
from queuectl.stores.mongo.connection import MAJORITY, Document, Link
from queuectl.stores.mongo.documents import fence, new_stamp, readable, update

_WAITING = sorted(state.value for state in WAITING)


@frozen
class End:
    """How a parent has ended (None: it was deleted).

    `deleted_at` is when one was deleted whose children had not all been told how it had ended.
    """

    parent: str
    state: State | None
    deleted_at: datetime | None = None


def tell_end(link: Link, end: End, budget: Budget) -> bool:
    """Release the children of a job that has ended, or cancel them; return whether all know."""
    all_know = release(link, end, budget)
    return all_know and (not has_failed(end.state) or cancel(link, end, budget))


def release(link: Link, end: End, budget: Budget) -> bool:
    """Notify children of a parent's end, a piece a round; return whether all have been notified."""
    met = dict.fromkeys(met_by(end.parent, end.state), "")
    if end.state is None:
        met[wish_for(end.parent)] = gone(end.parent)
    waiting = {"blocked_by": {"$in": sorted(met)}}
    fields = dict.fromkeys(("blocked_by", "state", "paused", "batch"), True)
    while not budget.is_spent:
        whose = _whose(link, end)
        children = list(link.jobs.find({**waiting, **whose}, fields).limit(_piece(link, budget)))
        if not children:
            return True
        budget.left -= len(children)
        if _whose(link, end) != whose:
            continue  # another job has got the id just now, and may have children of its own
        for seen, ids in _alike(children).items():
            for some in link.children.of(ids):
                _tell(link, some, seen, met)
    return link.jobs.find_one({**waiting, **_whose(link, end)}, {"_id": True}) is None


def _piece(link: Link, budget: Budget) -> int:
    """Return how many children to look at in one round."""
    return min(link.children.size, budget.left)


def _whose(link: Link, end: End) -> Document:
    """Return what tells the children of a deleted job from those of a later one of its id."""
    if end.state is not None and end.deleted_at is None:
        return {}
    certain = link.jobs.with_options(read_concern=MAJORITY)
    anew = certain.find_one({"_id": end.parent}, {"created_at": True})
    ends = [anew["created_at"]] if anew else []
    if end.deleted_at is not None:
        ends.append(end.deleted_at)
    return {"created_at": {"$lt": min(ends)}} if ends else {}


def cancel(link: Link, end: End, budget: Budget) -> bool:
    """Cancel the children of a failed job that ask for it; return whether all are."""
    unwanted: Document = {
        "blocked_by": unwanted_by(end.parent, end.state),
        "on_parent_failure": CANCEL,
        "state": {"$in": _WAITING},
        "batch": None,
    }
    while not budget.is_spent:
        found = map(readable, link.jobs.find(unwanted).limit(_piece(link, budget)))
        children = [child for child in found if child is not None]
        if not children:
            return True
        budget.left -= len(children)
        why, now, stamp = _root_cause(link, end), link.now(), new_stamp()
        changes = [state_machine.cancel_with_parent(child, why, now) for child in children]
        writes = [
            UpdateOne(fence(change), update(change, change.after, now, stamp))
            for change in changes
            if change.after is not None
        ]
        if not all(_written(link, some) for some in link.children.of(writes)):
            break  # upkeep tries again
    return link.jobs.find_one(unwanted, {"_id": True}) is None


def _written(link: Link, writes: Sequence[UpdateOne]) -> bool:
    """Write what can be; return whether all of it was taken, but for what has changed meanwhile."""
    try:
        return link.jobs.bulk_write(list(writes), ordered=False).matched_count > 0
    except BulkWriteError:
        return False


def _root_cause(link: Link, end: End) -> str:
    found = link.jobs.find_one({"_id": end.parent}, {"last_error": True}) or {}
    return root_cause(end.parent, end.state, found.get("last_error"))


_Seen = tuple[tuple[str, ...], bool, bool]
"""What decides how a child changes: its blockers, whether it is paused, and its state and batch."""


def _alike(children: list[Document]) -> dict[_Seen, list[str]]:
    """Group children that change in the same way."""
    groups: dict[_Seen, list[str]] = {}
    for child in children:
        is_listed = child["state"] in _WAITING and "batch" not in child
        seen = (tuple(child["blocked_by"]), bool(child.get("paused")), is_listed)
        groups.setdefault(seen, []).append(child["_id"])
    return groups


def _tell(link: Link, children: Sequence[str], seen: _Seen, met: dict[str, str]) -> None:
    """Change children that are still as they were seen; one that is not is seen again.

    `met` has the blockers that are gone, with what takes the place of each.
    """
    blocked_by, is_paused, is_listed = seen
    ids = list(children)
    left = [named for blocker in blocked_by if (named := met.get(blocker, blocker))]
    where: Document = {"_id": {"$in": ids}, "blocked_by": list(blocked_by)}
    where["paused"] = True if is_paused else {"$ne": True}
    if is_listed:
        where |= {"state": {"$in": _WAITING}, "batch": None}
    change: Document = {"$inc": {"rev": 1}}
    if left:
        change["$set"] = {"blocked_by": left}
    else:
        change["$unset"] = {"blocked_by": ""}
        if is_listed and not is_paused:
            change["$set"] = {"ready": False}
    link.jobs.update_many(where, change)
    if not left:
        free = {"_id": {"$in": ids}, "ready": False, "state": {"$in": _WAITING}}
        link.jobs.update_many({**free, "run_at": {"$lte": link.now()}}, {"$set": {"ready": True}})
