"""What a job looks like in `jobs` and in `dlq`, beyond the fields that `serialization` names.

- `ready`: true on a job that can be claimed, NEEDS on one that needs resources too, false on one
  that waits for its time, else absent;
- `needs_key`: what a job needs, as one text; `passed_at`: since when it has been passed over;
- `holding`: what the claim of such a job holds;
- `token`: the call of `insert` that inserted it; `stamp`: the commit that wrote it last;
- `batch`: the atomic batch it was staged by; it exists for readers once that is committed;
- `moving`: true on a dead job whose move to `dlq` is not finished;
- `linking`: on a job whose blockers are being written (`dependencies`);
- `unique_live`: the unique key of a job that waits or runs, under a unique index;
- `pending_events`: what ended with the job and is in no figures yet; see `stats`;
- `past_since`: on a job with more than one run in its history, when the first of those that are
  not the latest ended, or `EPOCH` until somebody has looked (`retention`);
- `suspect`: true on a suspect, else absent;
- `put_back` and `put_backs`: on a job that was put back before it ran, else absent;
- `not_on`: on a job that some host could not start, else absent;
- `claim_alone`: false on a job whose worker runs others beside it, else absent;
- `slots_held`: numbers below its queue's limit that a running job holds, each nobody else's;
- `turn_held`: the number that a job holds which its batch has let go (`turns`);
- `stub`: true on what `jobs` keeps of a dead job when `dlq` has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from secrets import token_hex
from typing import Any

from queuectl.domain.dependencies import holds_turn
from queuectl.domain.events import event_of
from queuectl.domain.job import HISTORY_RUNS, SETTLED, Job, State
from queuectl.domain.query import Page
from queuectl.domain.resources import needs_text
from queuectl.domain.state_machine import MARKS, Fence, Transition
from queuectl.domain.times import EPOCH
from queuectl.stores.mongo.connection import Document, Link
from queuectl.stores.records import event_to_document
from queuectl.stores.serialization import (
    OUTPUT_FIELDS,
    UNREADABLE,
    changed_fields,
    job_from_document,
    job_to_document,
    note_unreadable,
    run_from_document,
    run_to_document,
)

NEEDS = "needs"
"""What `ready` is of a job that can be claimed by whoever has what it needs."""

STUB_FIELDS = (
    "_id", "seq", "rev", "state", "queue", "labels", "batch_name", "updated_at", "finished_at",
    "generated_id", "token", "stamp", "has_dependents", "children_pending", "pending_events",
)  # fmt: skip
BARE = dict.fromkeys(("history", "pending_events", *OUTPUT_FIELDS), False)
"""The projection that leaves out what costs most to read."""


def projection(page: Page) -> dict[str, bool] | None:
    """Return what to leave out of the documents of a page."""
    left_out = () if page.with_output else OUTPUT_FIELDS
    if not page.with_history:
        left_out = (*left_out, "history")
    return dict.fromkeys(left_out, False) or None


def key_of(job: Job) -> Document:
    """Return the filter for a job as it was read; no two have the same `seq`."""
    return {"_id": job.id, "seq": job.seq, "rev": job.rev}


def new_stamp() -> str:
    """Return a mark that tells one write from every other."""
    return token_hex(8)


def to_document(job: Job, now: datetime) -> Document:
    """Return the document of a new job."""
    fields = job_to_document(job)
    document = {"_id": fields.pop("id"), **fields}
    document["history"] = [run_to_document(run) for run in job.history]
    if len(job.history) > 1:
        document["past_since"] = EPOCH
    return _with_ours(document, job, now)


def _with_ours(fields: Document, job: Job, now: datetime) -> Document:
    """Return fields of a job with those that this store adds, without those that it lacks."""
    fields = {**fields, "unique_live": job.spec.unique, "ready": job.is_due(now)}
    if job.spec.needs:
        fields["needs_key"] = needs_text(job.spec.needs)
        fields["ready"] = fields["ready"] and NEEDS
    absent = lacking(job)
    return {name: value for name, value in fields.items() if name not in absent}


def lacking(job: Job) -> set[str]:
    """Return the fields that a document of this job lacks, which keeps them out of indexes."""
    absent = set() if job.is_free else {"ready"}
    if not job.blocked_by:
        absent.add("blocked_by")
    if not job.children_pending:
        absent.add("children_pending")
    if job.spec.unique is None or job.state in SETTLED:
        absent.add("unique_live")
    if job.state is not State.PROCESSING:
        absent.add("slots_held")
    if not holds_turn(job):
        absent.add("turn_held")
    if not job.suspect:
        absent.add("suspect")
    if not job.put_backs:
        absent.update(("put_back", "put_backs"))
    if not job.not_on:
        absent.add("not_on")
    if job.claim is None or job.claim.alone:
        absent.add("claim_alone")
    if job.spec.needs and (job.claim is None or job.claim.holding is None):
        absent.add("holding")
    return absent


def to_job(document: Document) -> Job:
    """Return the job that a document holds."""
    runs = [run_from_document(run) for run in document.get("history") or ()]
    return job_from_document({**document, "id": document["_id"]}, runs)


def readable(document: Document) -> Job | None:
    """Return the job that a document holds, or None, noted once, when there is none."""
    try:
        return to_job(document)
    except UNREADABLE:
        note_unreadable("jobs", document.get("_id"))
        return None


def readable_jobs(documents: Iterable[Document]) -> list[Job]:
    """Return the jobs that documents hold, without those that cannot be read."""
    return [job for job in map(readable, documents) if job is not None]


def set_aside(link: Link, job_id: object) -> None:
    """Take a record that cannot be claimed out of the way of the others, noted once."""
    link.jobs.update_one({"_id": job_id, "ready": True}, {"$unset": {"ready": ""}})
    note_unreadable("jobs", job_id)


def to_stub(document: Document) -> Document:
    """Return what `jobs` keeps of a dead job: all that a filter looks at."""
    kept = {name: document[name] for name in STUB_FIELDS if name in document}
    return {**kept, "stub": True}


def fence(change: Transition, linking: Document | None = None) -> Document:
    """Return the filter that matches the job only while it is as the transition read it.

    With `linking` it must bear that mark too.
    """
    before = change.before
    if change.fence is Fence.REV:
        return {**key_of(before), **({"linking.stamp": linking["stamp"]} if linking else {})}
    claim = before.claim
    held: Document = {
        "_id": before.id,
        "state": before.state.value,
        "claim_id": claim.id if claim else "",
        # one that was stored before there was such a mark lacks it
        **{mark: True if getattr(before, mark) else {"$ne": True} for mark in MARKS},
    }
    if change.fence is Fence.LEASE and claim:
        held["lease_until"] = claim.lease_until
    return held


def new_fields(change: Transition, after: Job, now: datetime) -> Document:
    """Return the fields that a transition sets, and what this store adds to them."""
    fields = changed_fields(change.before, after)
    fields.pop("id", None)
    return _with_ours(fields, after, now)


def update(change: Transition, after: Job, now: datetime, stamp: str) -> Document:
    """Return the update that applies a transition to a document in `jobs`."""
    fields = {**new_fields(change, after, now), "state": after.state.value, "stamp": stamp}
    unset = dict.fromkeys(("batch", *sorted(lacking(after))), "")
    if change.to_dead:
        fields["moving"] = True
    operators: dict[str, Any] = {"$set": fields, "$unset": unset}
    if change.run is not None:
        entry = [run_to_document(change.run)]
        operators["$push"] = {"history": {"$each": entry, "$slice": -HISTORY_RUNS}}
        if change.run.n > 1:
            operators["$max"] = {"past_since": EPOCH}  # stays where it is there already
    event = event_of(change)
    if event is not None:
        operators.setdefault("$push", {})["pending_events"] = event_to_document(event)
    return operators


def run_filter(change: Transition) -> Document | None:
    """Return the filter for a job whose history has this very run, or None without one."""
    marks = _marks_of_run(change)
    return {"_id": change.before.id, "history": {"$elemMatch": marks}} if marks else None


def has_run(document: Document, change: Transition) -> bool:
    """Whether the history of a document that was read has the very run of a change."""
    marks = _marks_of_run(change)
    runs = document.get("history") or ()
    return bool(marks) and any(marks.items() <= run.items() for run in runs)


def _marks_of_run(change: Transition) -> Document:
    """Return the fields that tell a run from every other; none where a change ends no run.

    The claim alone would not do: a claim that expired is in the history too.
    """
    if change.run is None:
        return {}
    entry = run_to_document(change.run)
    return {name: entry[name] for name in ("claim_id", "finished_at", "exit_code", "error")}
