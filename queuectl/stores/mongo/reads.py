"""Looking at jobs: one, a listing in order of arrival, and how many there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from pymongo import ASCENDING, DESCENDING

from queuectl.domain.errors import StoreRefused
from queuectl.domain.job import Job, State
from queuectl.domain.query import SIGNALLED, TIMED_OUT, Counts, Filter, Page
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.text import counted
from queuectl.domain.times import EPOCH
from queuectl.stores.mongo.batches import committed, existing, unmended
from queuectl.stores.mongo.connection import Document, Link, translated
from queuectl.stores.mongo.dead import unbelieved, wholes
from queuectl.stores.mongo.documents import BARE, NEEDS, projection, readable, readable_jobs, to_job
from queuectl.stores.mongo.probe import twice_given
from queuectl.stores.mongo.schema import CLAIM_ORDER, missing_indexes
from queuectl.stores.records import BATCH
from queuectl.stores.serialization import UNREADABLE, known_state, unreadable

_PROCESSING = {"state": State.PROCESSING.value}
READ_AT_ONCE = 500
_READS = 20
_OF_REST = {"queue": True, "rest": True, "unmade": True}
_BEYOND_ALL = 2**63 - 1


def get(link: Link, job_id: str, left_out: dict[str, bool] | None = None) -> Job | None:
    """Return one job, in the DLQ or not; a job that is being moved is read again."""
    for _ in range(_READS):
        found = existing(link, list(link.jobs.find({"_id": job_id}, left_out)))
        if not found:
            return None
        document = wholes(link, found, left_out).get(job_id)
        if document is not None:
            try:
                return to_job(document)
            except UNREADABLE as fault:
                raise StoreRefused(
                    f"the record of job '{job_id}' cannot be read: {fault!r}",
                    hint="mend or remove it in the database",
                ) from fault
    return None


def ready_job(link: Link, queue: str, *, last: bool = False) -> Job | None:
    """Return the first or last ready job of a queue, without output and history."""
    order = [("queue", ASCENDING), *CLAIM_ORDER]
    document = link.jobs.find_one(
        {"ready": True, "queue": queue},
        BARE,
        sort=[(name, -way) for name, way in order] if last else order,
        hint="claim",
    )
    return readable(document) if document else None


def oldest_due(link: Link) -> dict[str, datetime]:
    """Return since when jobs of each queue have been due: one read for each queue and priority."""
    found: dict[str, datetime] = {}
    first = _first_ready(link, {})
    while first is not None:
        queue, since = first["queue"], first["run_at"]
        if isinstance(since, datetime):
            found[queue] = min(found.get(queue, since), since)
        lower = {"queue": queue, "priority": {"$lt": first["priority"]}}
        first = _first_ready(link, lower) or _first_ready(link, {"queue": {"$gt": queue}})
    since_of = {"_id": "$queue", "since": {"$min": "$run_at"}}
    for each in link.jobs.aggregate([{"$match": {"ready": NEEDS}}, {"$group": since_of}]):
        if isinstance(each["since"], datetime):
            found[each["_id"]] = min(found.get(each["_id"], each["since"]), each["since"])
    return found


def _first_ready(link: Link, where: Document) -> Document | None:
    fields = {"queue": True, "priority": True, "run_at": True}
    order = [("queue", ASCENDING), *CLAIM_ORDER]
    return link.jobs.find_one({"ready": True, **where}, fields, sort=order, hint="claim")


def generated_ids(link: Link, prefix: str, limit: int) -> list[str]:
    """Return at most `limit` ids that were made for the user and begin with `prefix`."""
    where = {"_id": {"$regex": f"^{re.escape(prefix)}"}, "generated_id": True}
    cursor = link.jobs.find(where, {"_id": True, "batch": True}).sort("_id", 1).limit(limit)
    return [document["_id"] for document in existing(link, list(cursor))]


def find(link: Link, chosen: Filter, page: Page) -> Iterator[Job]:
    """Yield jobs in order of arrival, as `Store.find` says."""
    left_out, where = projection(page), where_of(chosen)
    remaining = page.limit
    after = page.after_seq
    way = DESCENDING if page.newest_first else ASCENDING
    while remaining is None or remaining > 0:
        size = READ_AT_ONCE
        if remaining is not None and not chosen.is_detailed:
            size = min(size, remaining)
        beyond = {"$lt": after or _BEYOND_ALL} if page.newest_first else {"$gt": after}
        with translated(link):
            found = link.jobs.find({"seq": beyond, **where}, left_out)
            documents = list(found.sort("seq", way).limit(size))
            jobs = resolve(link, documents, chosen, left_out)
        yield from jobs if remaining is None else jobs[:remaining]
        if len(documents) < size:
            return
        after = documents[-1]["seq"]
        remaining = None if remaining is None else remaining - len(jobs)


def resolve(
    link: Link, documents: list[Document], chosen: Filter, left_out: dict[str, bool] | None
) -> list[Job]:
    """Return the jobs that documents of `jobs` stand for, the dead ones from `dlq`."""
    real = existing(link, documents)
    whole = wholes(link, real, left_out)
    jobs = []
    for document in real:
        job_id = document["_id"]
        # one that is not there left the DLQ since its stub was read
        job = readable(whole[job_id]) if job_id in whole else get(link, job_id, left_out)
        if job and job.seq == document["seq"] and chosen.fits(job):
            jobs.append(job)
    return jobs


def where_of(chosen: Filter) -> Document:
    """Return what finds, in `jobs` and in `dlq`, the jobs that a filter means.

    A stub may not tell that it is none of them: `resolve` sees.
    """
    where: Document = {}
    if chosen.states:
        where["state"] = {"$in": sorted(state.value for state in chosen.states)}
    if chosen.queue is not None:
        where["queue"] = chosen.queue
    elif chosen.deliveries is not None:
        where["queue"] = {"$lt" if chosen.deliveries else "$gte": FIRST_NAME}
    if chosen.batch is not None:
        where["batch_name"] = chosen.batch
    if chosen.labels:
        where["labels"] = {"$all": list(chosen.labels)}
    if chosen.id_prefix:
        where["_id"] = {"$regex": f"^{re.escape(chosen.id_prefix)}"}
    if chosen.unchanged_since is not None:
        where["updated_at"] = {"$lt": chosen.unchanged_since}
    if chosen.changed_since is not None:
        where["updated_at"] = {**where.get("updated_at", {}), "$gte": chosen.changed_since}
    if chosen.is_detailed:
        where["$and"] = [{"$or": [{"stub": True}, *ways]} for ways in _ways(chosen)]
    return where


def _ways(chosen: Filter) -> Iterator[list[Document]]:
    """Yield, for each thing that a stub does not tell, the ways in which a job may have it."""
    for text in chosen.texts:
        there = {"$regex": re.escape(text), "$options": "i"}
        yield [{name: there} for name in ("_id", "command", "last_error")]
    if chosen.parent is not None:
        yield [{name: chosen.parent} for name in ("after", "after_any", "after_fail")]
    if (code := chosen.exit_code) is not None:
        ways: list[Document] = [{"exit_code": code}, {"signal": code - SIGNALLED}]
        yield [*ways, {"timed_out": True}] if code == TIMED_OUT else ways


def unique_key_owner(link: Link, unique: str) -> str | None:
    """Return the id of the job that waits or runs and has a unique key."""
    found = link.jobs.find_one({"unique_live": unique}, {"batch": True})
    return found["_id"] if found and existing(link, [found]) else None


def next_due(link: Link) -> datetime | None:
    """Return when the next job that waits for its time is due."""
    waiting = {"ready": False, "run_at": {"$gt": EPOCH}}
    first = link.jobs.find_one(waiting, {"run_at": True}, sort=[("run_at", 1)])
    return first["run_at"] if first else None


def leases_ending(link: Link, before: datetime) -> list[Job]:
    """Return the jobs whose lease ends before an instant, the first to end first."""
    ending = {**_PROCESSING, "lease_until": {"$lt": before}}
    return readable_jobs(link.jobs.find(ending, BARE).sort("lease_until", 1).limit(BATCH))


def claimed_by(link: Link, worker_id: str) -> list[Job]:
    """Return the jobs that a worker has claimed and not finished."""
    return readable_jobs(link.jobs.find({**_PROCESSING, "worker": worker_id}, BARE))


def faults(link: Link) -> Iterator[str]:
    """Yield a line for each missing index, half-done move or batch, and damaged record.

    Nothing of it keeps a store from being used, and the server looks after its own pages.
    """
    if twice := twice_given(link):
        yield f"the server gives one document to two who ask at once ({twice} of 50)"
    for name in missing_indexes(link):
        yield f"the index '{name}' of 'jobs' is missing"
    if moving := link.jobs.count_documents({"moving": True}):
        yield f"{counted(moving, 'job')} on the way to the DLQ; upkeep finishes that"
    leftovers, after = unbelieved(link, "")
    while after:
        more, after = unbelieved(link, after)
        leftovers += more
    if leftovers:
        yield f"{counted(len(leftovers), 'leftover')} in the DLQ; upkeep removes them"
    if batches := unmended(link):
        yield f"unfinished batches: {batches}; upkeep removes them"
    for place, chosen in ((link.jobs, {"stub": {"$ne": True}}), (link.dlq, {})):
        for document in place.find(chosen, BARE):
            try:
                to_job(document)
            except UNREADABLE:
                yield unreadable(document["_id"])


def counts(link: Link) -> Counts:
    """Return how many jobs there are in each state of each queue, from one index."""
    group = {"queue": "$queue", "state": "$state", "batch": "$batch"}
    # the match makes the server walk the index that has all three
    named = {"state": {"$gte": ""}}
    rows = list(
        link.jobs.aggregate([{"$match": named}, {"$group": {"_id": group, "number": {"$sum": 1}}}])
    )
    staged_by = {row["_id"]["batch"] for row in rows if row["_id"].get("batch")}
    real = committed(link, staged_by)
    by_queue: dict[str, dict[State, int]] = {}
    for row in rows:
        batch = row["_id"].get("batch")
        if batch and batch not in real:
            continue
        state = known_state(row["_id"]["state"])
        if state is not None:
            states = by_queue.setdefault(row["_id"]["queue"], {})
            states[state] = states.get(state, 0) + row["number"]
    for found in link.job_batches.find({"unmade": {"$gt": 0}}, _OF_REST):
        if (state := known_state(found["rest"])) is not None:
            states = by_queue.setdefault(found["queue"], {})
            states[state] = states.get(state, 0) + found["unmade"]
    return Counts(by_queue)
