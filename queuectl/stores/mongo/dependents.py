"""Jobs that wait for other jobs, without transactions.

A child's `blocked_by` is a set, and notifying a child removes members of it, so everything here
may be done twice, and what one call does not come to is found by the next. Before children are
inserted their parents are marked, so that whoever finishes one leaves the mark
`children_pending` with the same write; after it the parents are read again, for those that had
ended before they were marked. A deleted parent is remembered in a collection of its own until its
children know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from pymongo.errors import PyMongoError

from queuectl.domain.dependencies import has_failed, is_gone, parent_of
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.stores.mongo.chunks import Budget, by_id
from queuectl.stores.mongo.connection import MAJORITY, Document, Link, is_doubtful
from queuectl.stores.mongo.parent_ends import End, cancel, release, tell_end
from queuectl.stores.serialization import parent_state

KEPT_SECONDS = 60.0
_TRIES = 20
NOTIFIED_AT_ONCE = 200
"""How many children the one who ends their parent tells at once, at most; upkeep does the rest."""

_AT_ONCE_SECONDS = 1.0
SWEEP_SECONDS = 0.3
"""How long one sweep goes on to the next piece: leases are renewed in between."""

_WAITING = sorted(state.value for state in WAITING)
_CANCELLED = State.CANCELLED.value
_ENDED = {"state": True, "seq": True}
_UNMARKED = {"has_dependents": {"$ne": True}}


def with_children_marked(link: Link, jobs: Sequence[Job]) -> list[Job]:
    """Mark the parents of new jobs, here and in the store; return the jobs to insert."""
    wanted = {parent_of(blocker) for job in jobs for blocker in job.blocked_by}
    if not wanted:
        return list(jobs)
    for some in link.changes.of(sorted(wanted)):
        _mark(link, some)
    return [replace(job, has_dependents=True) if job.id in wanted else job for job in jobs]


def _mark(link: Link, parents: Sequence[str]) -> None:
    """Mark parents as such. Raises StoreUnavailable."""
    ids = {"_id": {"$in": list(parents)}}
    marked = {"$set": {"has_dependents": True}}
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


def drop_ended_blockers(link: Link, blocked_by: Collection[str]) -> None:
    """Take parents that have ended off what jobs that were just written wait for.

    Those that are to be cancelled with a parent are, if it has failed.
    """
    wanted = set(map(parent_of, blocked_by))
    if not wanted:
        return
    certain = link.jobs.with_options(read_concern=MAJORITY)
    found = by_id(certain, sorted(wanted), {"state": True}, link.reads)
    states = {each["_id"]: parent_state(each["state"]) for each in found}
    for parent in sorted(wanted):
        state = states.get(parent)
        if state is None or state in SETTLED:
            _release_or_cancel(link, parent, state, Budget())
    for blocker in filter(is_gone, blocked_by):
        cancel(link, End(parent_of(blocker), None), Budget())
    if any(has_failed(states.get(parent)) for parent in wanted):
        _notify_down(link, _little())


def _little() -> Budget:
    """Return what is done at once by whoever ends or deletes a parent."""
    return Budget(NOTIFIED_AT_ONCE, _AT_ONCE_SECONDS)


def _release_or_cancel(link: Link, parent: str, state: State | None, budget: Budget) -> bool:
    """Notify the children of a job of its end; return whether all know.

    Those of an earlier job of its id, which was deleted, come first: this end is not theirs.
    """
    return _tell_of_earlier(link, parent, budget) and tell_end(link, End(parent, state), budget)


def _tell_of_earlier(link: Link, job_id: str, budget: Budget) -> bool:
    """Notify the children of a deleted job which had this id; return whether all know."""
    deleted = link.deleted.find_one({"_id": job_id})
    if deleted is None or _exists(link, deleted):
        return True
    return _detach_children(link, deleted, budget)


def _exists(link: Link, announced: Document) -> bool:
    """Whether a job is there whose deletion was announced."""
    named = {"_id": announced["_id"], "seq": announced["seq"]}
    return link.jobs.find_one(named, {"_id": True}) is not None


def _notify_children_of(link: Link, parent: Document, budget: Budget) -> None:
    """Notify the children of one job that has ended (`_id`, `state`, `seq`); clear its mark."""
    if _release_or_cancel(link, parent["_id"], State(parent["state"]), budget):
        ended = {"_id": parent["_id"], "seq": parent["seq"], "state": parent["state"]}
        if parent["state"] == State.DEAD.value:
            # its copy first: the mark that upkeep looks for is the one in `jobs`
            link.dlq.update_one(
                {**ended, "children_pending": True}, {"$unset": {"children_pending": ""}}
            )
        link.jobs.update_one(
            {**ended, "children_pending": True}, {"$unset": {"children_pending": ""}}
        )


def try_to_notify(link: Link, after: Job) -> None:
    """Notify the first children of a job that has just ended; `notify_children` does the rest."""
    ended = {"_id": after.id, "seq": after.seq, "state": after.state.value}
    budget = _little()
    try:
        _notify_children_of(link, ended, budget)
        if has_failed(after.state):
            _notify_down(link, budget)
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise


def _notify_down(link: Link, budget: Budget) -> None:
    """Go on with the children of those that were cancelled with a parent, down the chain."""
    while not budget.is_spent:
        ended = link.jobs.find_one({"children_pending": True, "state": _CANCELLED}, _ENDED)
        if ended is None:
            return
        budget.left -= 1
        _notify_children_of(link, ended, budget)


def notify_children(link: Link) -> int:
    """Notify children of jobs that have ended or were deleted, for a while; return of how many."""
    told, budget = 0, Budget(seconds=SWEEP_SECONDS)
    known = {"$in": [state.value for state in State]}
    for parent in link.jobs.find({"children_pending": True, "state": known}, _ENDED).limit(10):
        if budget.is_spent:
            return told
        _notify_children_of(link, parent, budget)
        told += 1
    for deleted in link.deleted.find().limit(10):
        if budget.is_spent:
            return told
        if not _exists(link, deleted):
            _detach_children(link, deleted, budget)
            told += 1
        elif link.now() - deleted["announced_at"] > timedelta(seconds=KEPT_SECONDS):
            # it was not deleted after all
            link.deleted.delete_one({"_id": deleted["_id"], "seq": deleted["seq"]})
    return told


def announce_deletion(link: Link, job: Job) -> bool:
    """Remember that a job with children is about to be deleted, and its end if some wait for it.

    Returns False when it has to be tried again: children of an earlier job of its id do not know
    yet, of which another announcement tells.
    """
    if not _tell_of_earlier(link, job.id, _little()):
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


def _detach_children(link: Link, deleted: Document, budget: Budget) -> bool:
    """Notify the children of a deleted job of its end and its deletion; return whether all know."""
    job_id, state = deleted["_id"], deleted.get("state")
    # whoever waits for one that failed is told the same by its deletion
    if state == State.COMPLETED.value:
        ended = End(job_id, State(state), deleted["announced_at"])
        if not release(link, ended, budget):
            return False
    if not tell_end(link, End(job_id, None), budget):
        return False
    link.deleted.delete_one({"_id": job_id, "seq": deleted["seq"]})
    return True
