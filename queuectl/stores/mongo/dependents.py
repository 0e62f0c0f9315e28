"""Notifying the children of jobs that have ended or were deleted, without transactions.

A child's `blocked_by` is a set, and notifying a child removes members of it. A child is changed as
it was seen, and one that has changed is seen again. So all of this may be done twice, by several at
once, and be broken off after any command; what one call does not come to is found by the next.
Whoever ends a job that is marked as a parent (`dependencies`) leaves the mark `children_pending`
with the same write. A deleted parent is remembered in a collection of its own until its children
know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from queuectl.domain import state_machine
from queuectl.domain.dependencies import (
    batch_of_parent,
    gone,
    has_failed,
    is_gone,
    met_by,
    parent_of,
    parents_in,
    root_cause,
    unwanted_by,
    wish_for,
)
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.settings import CANCEL
from queuectl.stores.mongo.chunks import Budget, by_id
from queuectl.stores.mongo.connection import Document, Link, durable
from queuectl.stores.mongo.documents import NEEDS, fence, new_stamp, readable_jobs, update
from queuectl.stores.records import batch_from_text
from queuectl.stores.serialization import parent_state

KEPT_SECONDS = 60.0
NOTIFIED_AT_ONCE = 200
"""How many children the one who ends their parent notifies at once; `notify_children` the rest."""

AT_ONCE_SECONDS = 1.0
SWEEP_SECONDS = 0.3
"""How long one sweep goes on to the next piece: leases are renewed in between."""

_WAITING = sorted(state.value for state in WAITING)
_ENDED = {"state": True, "seq": True}


@frozen
class End:
    """How a parent has ended (None: it was deleted).

    `deleted_at` is when one was deleted whose children did not all know how it had ended.
    """

    parent: str
    state: State | None
    deleted_at: datetime | None = None


# which parents there are to notify of


def drop_ended_blockers(link: Link, blocked_by: Collection[str]) -> None:
    """Take parents that have ended off what jobs that were just written wait for.

    Those that are to be cancelled with a parent are, if it has failed.
    """
    wanted = sorted(parents_in(blocked_by))
    if not wanted:
        return
    found = by_id(durable(link.jobs), wanted, {"state": True}, link.reads)
    states = {each["_id"]: parent_state(each["state"]) for each in found}
    states |= _states_of_batches(link, wanted)
    for parent in wanted:
        state = states.get(parent)
        if state is None or state in SETTLED:
            _notify_of(link, parent, state, Budget())
    for blocker in filter(is_gone, blocked_by):
        _cancel(link, End(parent_of(blocker), None), Budget())
    if any(has_failed(states.get(parent)) for parent in wanted):
        _notify_down(link, _little())


def _states_of_batches(link: Link, parents: Collection[str]) -> dict[str, State]:
    """Return how those of some parents stand that are batches."""
    found: dict[str, State] = {}
    for parent in parents:
        if (name := batch_of_parent(parent)) is not None:
            kept = durable(link.job_batches).find_one({"_id": name}, {"record": True})
            if kept is not None:
                found[parent] = batch_from_text(kept["record"]).state
    return found


def notify_of(link: Link, parent: str, state: State | None) -> bool:
    """Notify jobs of the end of a parent that is no job; return whether all know."""
    budget = Budget(seconds=SWEEP_SECONDS)
    all_know = _notify(link, End(parent, state), budget)
    if has_failed(state):
        _notify_down(link, budget)
    return all_know


def notify_first(link: Link, after: Job) -> None:
    """Notify the first children of a job that has just ended; `notify_children` does the rest."""
    budget = _little()
    ended = {"_id": after.id, "seq": after.seq, "state": after.state.value}
    _notify_children_of(link, ended, budget)
    if has_failed(after.state):
        _notify_down(link, budget)


def notify_children(link: Link) -> int:
    """Notify children of jobs that have ended or were deleted, for a while; return of how many."""
    number, budget = 0, Budget(seconds=SWEEP_SECONDS)
    known = {"$in": [state.value for state in State]}
    for parent in link.jobs.find({"children_pending": True, "state": known}, _ENDED).limit(10):
        if budget.is_spent:
            return number
        _notify_children_of(link, parent, budget)
        number += 1
    for deleted in link.deleted.find().limit(10):
        if budget.is_spent:
            return number
        if not _exists(link, deleted):
            _detach_children(link, deleted, budget)
            number += 1
        elif link.now() - deleted["announced_at"] > timedelta(seconds=KEPT_SECONDS):
            # it was not deleted after all
            link.deleted.delete_one({"_id": deleted["_id"], "seq": deleted["seq"]})
    return number


def announce_deletion(link: Link, job: Job) -> bool:
    """Remember that a job with children is about to be deleted, and its end if some wait for it.

    Returns False when it has to be tried again: children of an earlier job of its id do not know
    yet, of which another announcement tells.
    """
    if not _notify_of_earlier(link, job.id, _little()):
        return False
    announced: Document = {"seq": job.seq, "announced_at": link.now()}
    if job.children_pending:
        announced["state"] = job.state.value
    link.deleted.replace_one({"_id": job.id}, announced, upsert=True)
    return True


def detach_children(link: Link, job: Job) -> None:
    """Notify the first children of a deleted job; `notify_children` does the rest."""
    budget = _little()
    deleted = link.deleted.find_one({"_id": job.id, "seq": job.seq})
    if deleted is not None:
        _detach_children(link, deleted, budget)
    _notify_down(link, budget)


def _little() -> Budget:
    """Return what is done at once by whoever ends or deletes a parent."""
    return Budget(NOTIFIED_AT_ONCE, AT_ONCE_SECONDS)


def _notify_children_of(link: Link, parent: Document, budget: Budget) -> None:
    """Notify the children of one job that has ended (`_id`, `state`, `seq`); clear its mark."""
    if not _notify_of(link, parent["_id"], State(parent["state"]), budget):
        return
    marked = {name: parent[name] for name in ("_id", "seq", "state")} | {"children_pending": True}
    is_dead = parent["state"] == State.DEAD.value
    # its copy first: the mark that `notify_children` looks for is the one in `jobs`
    for place in (link.dlq, link.jobs) if is_dead else (link.jobs,):
        place.update_one(marked, {"$unset": {"children_pending": ""}})


def _notify_down(link: Link, budget: Budget) -> None:
    """Go on with the children of those that were cancelled with a parent, down the chain."""
    cancelled = {"children_pending": True, "state": State.CANCELLED.value}
    while not budget.is_spent and (ended := link.jobs.find_one(cancelled, _ENDED)) is not None:
        budget.left -= 1
        _notify_children_of(link, ended, budget)


def _notify_of(link: Link, parent: str, state: State | None, budget: Budget) -> bool:
    """Notify the children of a job of its end; return whether all know.

    Those of an earlier job of its id, which was deleted, come first: this end is not theirs.
    """
    is_known = _notify_of_earlier(link, parent, budget)
    return is_known and _notify(link, End(parent, state), budget)


def _notify_of_earlier(link: Link, job_id: str, budget: Budget) -> bool:
    """Notify the children of a deleted job which had this id; return whether all know."""
    deleted = link.deleted.find_one({"_id": job_id})
    if deleted is None or _exists(link, deleted):
        return True
    return _detach_children(link, deleted, budget)


def _exists(link: Link, announced: Document) -> bool:
    """Whether a job is there whose deletion was announced."""
    named = {"_id": announced["_id"], "seq": announced["seq"]}
    return link.jobs.find_one(named, {"_id": True}) is not None


def _detach_children(link: Link, deleted: Document, budget: Budget) -> bool:
    """Notify the children of a deleted job of its end and its deletion; return whether all know."""
    job_id, state = deleted["_id"], deleted.get("state")
    # for whoever waits for one that failed, its deletion comes to the same
    if state == State.COMPLETED.value:
        ended = End(job_id, State(state), deleted["announced_at"])
        if not _release(link, ended, budget):
            return False
    if not _notify(link, End(job_id, None), budget):
        return False
    link.deleted.delete_one({"_id": job_id, "seq": deleted["seq"]})
    return True


# the children of one parent


def _notify(link: Link, end: End, budget: Budget) -> bool:
    """Release the children of a job that has ended, or cancel them; return whether all know."""
    all_know = _release(link, end, budget)
    return all_know and (not has_failed(end.state) or _cancel(link, end, budget))


def _release(link: Link, end: End, budget: Budget) -> bool:
    """Take an end off what children wait for, a piece a round; return whether none waits for it."""
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
                _unblock(link, some, seen, met)
    return link.jobs.find_one({**waiting, **_whose(link, end)}, {"_id": True}) is None


def _piece(link: Link, budget: Budget) -> int:
    """Return how many children to look at in one round."""
    return min(link.children.size, budget.left)


def _whose(link: Link, end: End) -> Document:
    """Return what tells the children of a deleted job from those of a later one of its id."""
    if end.state is not None and end.deleted_at is None:
        return {}
    anew = durable(link.jobs).find_one({"_id": end.parent}, {"created_at": True})
    ends = [anew["created_at"]] if anew else []
    if end.deleted_at is not None:
        ends.append(end.deleted_at)
    return {"created_at": {"$lt": min(ends)}} if ends else {}


_Seen = tuple[tuple[str, ...], bool, bool, bool]
"""What decides how a child changes: its blockers, whether it is paused, its state and batch, and
whether it needs resources."""


def _alike(children: list[Document]) -> dict[_Seen, list[str]]:
    """Group children that change in the same way."""
    groups: dict[_Seen, list[str]] = {}
    for child in children:
        is_listed = child["state"] in _WAITING and "batch" not in child
        is_paused, has_needs = bool(child.get("paused")), bool(child.get("needs"))
        seen = (tuple(child["blocked_by"]), is_paused, is_listed, has_needs)
        groups.setdefault(seen, []).append(child["_id"])
    return groups


def _unblock(link: Link, children: Sequence[str], seen: _Seen, met: dict[str, str]) -> None:
    """Change children that are still as they were seen; one that is not is seen again.

    `met` has the blockers that are gone, with what takes the place of each.
    """
    blocked_by, is_paused, is_listed, has_needs = seen
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
        ready = {"$set": {"ready": NEEDS if has_needs else True}}
        link.jobs.update_many({**free, "run_at": {"$lte": link.now()}}, ready)


def _cancel(link: Link, end: End, budget: Budget) -> bool:
    """Cancel the children of a failed job that ask for it; return whether all are."""
    unwanted: Document = {
        "blocked_by": unwanted_by(end.parent, end.state),
        "on_parent_failure": CANCEL,
        "state": {"$in": _WAITING},
        "batch": None,
    }
    while not budget.is_spent:
        children = readable_jobs(link.jobs.find(unwanted).limit(_piece(link, budget)))
        if not children:
            return True
        budget.left -= len(children)
        found = link.jobs.find_one({"_id": end.parent}, {"last_error": True}) or {}
        why = root_cause(end.parent, end.state, found.get("last_error"))
        now, stamp = link.now(), new_stamp()
        changes = [state_machine.cancel_with_parent(child, why, now) for child in children]
        writes = [
            UpdateOne(fence(change), update(change, change.after, now, stamp))
            for change in changes
            if change.after is not None
        ]
        if not all(_is_written(link, some) for some in link.children.of(writes)):
            break  # `notify_children` tries again
    return link.jobs.find_one(unwanted, {"_id": True}) is None


def _is_written(link: Link, writes: Sequence[UpdateOne]) -> bool:
    """Write what can be; return whether all of it was taken, but for what has changed meanwhile."""
    try:
        return link.jobs.bulk_write(list(writes), ordered=False).matched_count > 0
    except BulkWriteError:
        return False
