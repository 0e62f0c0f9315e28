"""Jobs that wait for other jobs, without transactions.

A child's `waits_for` is a set, and telling a child removes members of it, so everything here may
be done twice. Before children are inserted their parents are marked, so that whoever settles one
leaves the mark `unswept` with the same write; after it the parents are read again, for those
that had ended before they were marked. A deleted parent is remembered in a collection of its own
until its children know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from queuectl.domain import transitions
from queuectl.domain.dependencies import (
    gone,
    has_failed,
    is_gone,
    met_by,
    parent_of,
    unwanted_by,
    wish_for,
)
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.settings import CANCEL
from queuectl.stores.mongo_documents import fence, new_stamp, readable, update
from queuectl.stores.mongo_link import MAJORITY, Document, Link, is_doubtful
from queuectl.stores.mongo_pieces import by_id

KEPT_SECONDS = 60.0
_TRIES = 20
_ROUNDS = 10_000
TOLD_AT_ONCE = 200
_WAITING = sorted(state.value for state in WAITING)
_CANCELLED = State.CANCELLED.value
_ENDED = {"state": True, "seq": True}
_UNMARKED = {"has_children": {"$ne": True}}


def with_children_marked(link: Link, jobs: Sequence[Job]) -> list[Job]:
    """Mark the parents of new jobs, here and in the store; return the jobs to insert."""
    wanted = {parent_of(blocker) for job in jobs for blocker in job.waits_for}
    if not wanted:
        return list(jobs)
    for some in link.changes.of(sorted(wanted)):
        _mark(link, some)
    return [replace(job, has_children=True) if job.id in wanted else job for job in jobs]


def _mark(link: Link, parents: Sequence[str]) -> None:
    """Mark parents as such. Raises StoreUnavailable."""
    ids = {"_id": {"$in": list(parents)}}
    marked = {"$set": {"has_children": True}}
    for _ in range(_TRIES):
        # a change that was decided on a waiting job without children must be decided again
        link.jobs.update_many(
            {**ids, **_UNMARKED, "state": {"$in": _WAITING}}, {**marked, "$inc": {"rev": 1}}
        )
        link.jobs.update_many({**ids, **_UNMARKED, "state": {"$nin": _WAITING}}, marked)
        if link.jobs.find_one({**ids, **_UNMARKED}, {"_id": True}) is None:
            link.dlq.update_many({**ids, **_UNMARKED}, marked)
            return
    raise StoreUnavailable("the jobs to wait for change too fast; try again")


def settle_blockers(link: Link, waits_for: Collection[str]) -> None:
    """Take parents that have ended off what jobs that were just written wait for.

    Those that are to be cancelled with a parent are, if it has failed.
    """
    wanted = set(map(parent_of, waits_for))
    if not wanted:
        return
    certain = link.jobs.with_options(read_concern=MAJORITY)
    found = by_id(certain, sorted(wanted), {"state": True}, link.reads)
    states = {each["_id"]: State(each["state"]) for each in found}
    for parent in sorted(wanted):
        state = states.get(parent)
        if state is None or state in SETTLED:
            _tell_children(link, parent, state)
    for blocker in filter(is_gone, waits_for):
        _cancel(link, parent_of(blocker), None, _ROUNDS)
    if any(has_failed(states.get(parent)) for parent in wanted):
        _sweep_on(link)


def _tell_children(link: Link, parent: str, state: State | None, rounds: int = _ROUNDS) -> bool:
    """Release the children of a job that has ended, or cancel them; return whether all know."""
    all_know = _release(link, parent, state, rounds)
    return all_know and (not has_failed(state) or _cancel(link, parent, state, rounds))


def _release(link: Link, parent: str, state: State | None, rounds: int) -> bool:
    """Tell children of a parent's end, some a round; return whether all have been told."""
    met = dict.fromkeys(met_by(parent, state), "")
    if state is None:
        met[wish_for(parent)] = gone(parent)
    waiting = {"waits_for": {"$in": sorted(met)}}
    fields = dict.fromkeys(("waits_for", "state", "held", "batch"), True)
    for _ in range(rounds):
        whose = _whose(link, parent, state)
        children = list(link.jobs.find({**waiting, **whose}, fields).limit(TOLD_AT_ONCE))
        if not children:
            return True
        if _whose(link, parent, state) != whose:
            continue  # another job has got the id just now, and may have children of its own
        for seen, ids in _alike(children).items():
            for some in link.changes.of(ids):
                _tell(link, some, seen, met)
    whose = _whose(link, parent, state)
    return link.jobs.find_one({**waiting, **whose}, {"_id": True}) is None


def _whose(link: Link, parent: str, state: State | None) -> Document:
    """Return what tells the children of a deleted job from those of a later one of its id."""
    if state is not None:
        return {}
    certain = link.jobs.with_options(read_concern=MAJORITY)
    anew = certain.find_one({"_id": parent}, {"created_at": True})
    return {"created_at": {"$lt": anew["created_at"]}} if anew else {}


def _cancel(link: Link, parent: str, state: State | None, rounds: int) -> bool:
    """Cancel the children of a failed job that ask for it, and theirs; return whether all are."""
    unwanted: Document = {
        "waits_for": unwanted_by(parent, state),
        "on_parent_failure": CANCEL,
        "state": {"$in": _WAITING},
        "batch": None,
    }
    for _ in range(rounds):
        found = map(readable, link.jobs.find(unwanted).limit(TOLD_AT_ONCE))
        children = [child for child in found if child is not None]
        if not children:
            return True
        why, now, stamp = _root_cause(link, parent, state), link.now(), new_stamp()
        changes = [transitions.cancel_with_parent(child, why, now) for child in children]
        writes = [
            UpdateOne(fence(change), update(change, change.after, now, stamp))
            for change in changes
            if change.after is not None
        ]
        if not all(_written(link, some) for some in link.changes.of(writes)):
            break  # upkeep tries again
    return link.jobs.find_one(unwanted, {"_id": True}) is None


def _written(link: Link, writes: Sequence[UpdateOne]) -> bool:
    """Write what can be; return whether all of it was taken, but for what has changed meanwhile."""
    try:
        return link.jobs.bulk_write(list(writes), ordered=False).matched_count > 0
    except BulkWriteError:
        return False


def _root_cause(link: Link, parent: str, state: State | None) -> str:
    found = link.jobs.find_one({"_id": parent}, {"last_error": True}) or {}
    return transitions.root_cause(parent, state, found.get("last_error"))


_Seen = tuple[tuple[str, ...], bool, bool]
"""What decides how a child changes: its blockers, whether it is held, and its state and batch."""


def _alike(children: list[Document]) -> dict[_Seen, list[str]]:
    """Group children that change in the same way."""
    groups: dict[_Seen, list[str]] = {}
    for child in children:
        is_listed = child["state"] in _WAITING and "batch" not in child
        seen = (tuple(child["waits_for"]), bool(child.get("held")), is_listed)
        groups.setdefault(seen, []).append(child["_id"])
    return groups


def _tell(link: Link, children: Sequence[str], seen: _Seen, met: dict[str, str]) -> None:
    """Change children that are still as they were seen; one that is not is seen again.

    `met` has the blockers that are gone, with what takes the place of each.
    """
    waits_for, is_held, is_listed = seen
    ids = list(children)
    left = [named for blocker in waits_for if (named := met.get(blocker, blocker))]
    where: Document = {"_id": {"$in": ids}, "waits_for": list(waits_for)}
    where["held"] = True if is_held else {"$ne": True}
    if is_listed:
        where |= {"state": {"$in": _WAITING}, "batch": None}
    change: Document = {"$inc": {"rev": 1}}
    if left:
        change["$set"] = {"waits_for": left}
    else:
        change["$unset"] = {"waits_for": ""}
        if is_listed and not is_held:
            change["$set"] = {"ready": False}
    link.jobs.update_many(where, change)
    if not left:
        free = {"_id": {"$in": ids}, "ready": False, "state": {"$in": _WAITING}}
        link.jobs.update_many({**free, "run_at": {"$lte": link.now()}}, {"$set": {"ready": True}})


def sweep_one(link: Link, parent: Document, rounds: int = _ROUNDS) -> None:
    """Tell the children of one job that has ended (`_id`, `state`, `seq`); clear its mark."""
    if _tell_children(link, parent["_id"], State(parent["state"]), rounds):
        ended = {"_id": parent["_id"], "seq": parent["seq"], "state": parent["state"]}
        if parent["state"] == State.DEAD.value:
            # its copy first: the mark that upkeep looks for is the one in `jobs`
            link.dlq.update_one({**ended, "unswept": True}, {"$unset": {"unswept": ""}})
        link.jobs.update_one({**ended, "unswept": True}, {"$unset": {"unswept": ""}})


def try_to_sweep(link: Link, after: Job) -> None:
    """Tell the first children of a job that has just ended; `sweep` does the rest."""
    ended = {"_id": after.id, "seq": after.seq, "state": after.state.value}
    try:
        sweep_one(link, ended, rounds=1)
        if has_failed(after.state):
            _sweep_on(link)
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise


def _sweep_on(link: Link) -> None:
    """Go on with the children of those that were cancelled with a parent, down the chain."""
    for _ in range(TOLD_AT_ONCE):
        ended = link.jobs.find_one({"unswept": True, "state": _CANCELLED}, _ENDED)
        if ended is None:
            return
        sweep_one(link, ended, rounds=1)


def sweep(link: Link) -> int:
    """Tell the children of jobs that have ended or were deleted; return of how many."""
    ended = list(link.jobs.find({"unswept": True}, _ENDED).limit(10))
    for parent in ended:
        sweep_one(link, parent)
    deleted = list(link.deleted.find().limit(10))
    for parent in deleted:
        named = {"_id": parent["_id"], "seq": parent["seq"]}
        if link.jobs.find_one(named, {"_id": True}) is None:
            forsake(link, parent["_id"], parent["seq"])
        elif link.now() - parent["announced_at"] > timedelta(seconds=KEPT_SECONDS):
            link.deleted.delete_one(named)  # it was not deleted after all
    return len(ended) + len(deleted)


def announce_deletion(link: Link, job: Job) -> None:
    """Remember that a job with children is about to be deleted, once its end was told."""
    if job.unswept:
        _tell_children(link, job.id, job.state)
    announced = {"seq": job.seq, "announced_at": link.now()}
    link.deleted.replace_one({"_id": job.id}, announced, upsert=True)


def forsake(link: Link, job_id: str, seq: int) -> None:
    """Tell the children of a deleted job."""
    if _tell_children(link, job_id, None):
        link.deleted.delete_one({"_id": job_id, "seq": seq})
    _sweep_on(link)
