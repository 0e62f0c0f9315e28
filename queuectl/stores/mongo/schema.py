"""The mark that makes a database ours, and the indexes that every query leans on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.times import to_millis
from queuectl.stores.mongo.connection import SELECTION_SECONDS, Document, Documents, Link
from queuectl.stores.mongo.errors import is_not_allowed
from queuectl.stores.mongo.probe import PROBE, require_fit

VERSION = 6
"""Of all there is in a database; one that has another version is refused."""

MARK = "schema"
SEQUENCE = "sequence"
QUEUE_DOT = "/"
"""Stands for a dot in the name of a field, where it would divide; no queue's name has one."""

_TRIES = 10
_OTHER_FORM = (85, 86)
"""The codes by which a server tells of an index of the same name, or the same keys, that differs:
IndexOptionsConflict and IndexKeySpecsConflict."""

OWN_NAMES = frozenset({"jobs", "dlq"})

CLAIM_ORDER = [("priority", DESCENDING), ("run_at", ASCENDING), ("seq", ASCENDING)]


def _index(
    name: str, *fields: str | tuple[str, int], where: Document | None = None, **options: object
) -> IndexModel:
    keys = [each if isinstance(each, tuple) else (each, ASCENDING) for each in fields]
    partial = {} if where is None else {"partialFilterExpression": where}
    return IndexModel(keys, name=name, **partial, **options)


_PROCESSING = {"state": "processing"}
_ENVIRONMENT = _index("environment", "environment", where={"environment": {"$type": "string"}})
"""Whether a job still has an environment that is to be forgotten. Of a text: every document has
the field."""

_SNAPSHOT = _index("snapshot", "snapshot", where={"snapshot": {"$type": "string"}})
"""Whether a job still has a snapshot that is to be removed."""

_PAST_SINCE = _index("past_since", "past_since", sparse=True)
"""Jobs with past runs that are old enough to be removed."""

JOB_INDEXES = (
    # the next job of a queue, the queues that have any, and pages of candidates
    _index("claim", "queue", *CLAIM_ORDER, where={"ready": True}),
    # jobs whose time has come, and when the next one's comes
    _index("due", "run_at", where={"ready": False}),
    # suspects of any queue in the order of the claim
    _index("suspects", *CLAIM_ORDER, where={"ready": True, "suspect": True}),
    # whether jobs that need resources are ready, their kinds, and the first of each kind
    _index("needs", "needs_key", *CLAIM_ORDER, where={"ready": "needs"}),
    # what a claim holds, after a lost reply and at a renewal; no claim holds two jobs
    _index("claim_id", "claim_id", where=_PROCESSING, unique=True),
    # claims whose lease ends
    _index("lease_until", "lease_until", where=_PROCESSING),
    # what a worker runs, when it registers, leaves or was lost
    _index("worker", "worker", where=_PROCESSING),
    # retention, by the time of the end; two of the same keys are refused by some servers, and by
    # mongod before 5.0, even where their filters differ
    _index("completed", "finished_at", where={"state": "completed"}),
    _index("cancelled", "finished_at", "seq", where={"state": "cancelled"}),
    # no two jobs hold one number of a queue's limit, or of a batch's (which is read by its name)
    _index("slots_held", "slots_held", unique=True, sparse=True),
    _index("turn_held", "turn_held", unique=True, sparse=True),
    # counts and lists of a batch, and those of it that wait for their turn
    _index("batch_state", "batch_name", "state", where={"batch_name": {"$type": "string"}}),
    # no two jobs that wait or run have one unique key; and who has it
    _index("unique_live", "unique_live", unique=True, sparse=True),
    # the children of a parent that ends or is deleted, and jobs that wait for their turn
    _index("blocked_by", "blocked_by", sparse=True),
    # parents that have ended and whose children are not all notified
    _index("children_pending", "children_pending", sparse=True),
    # ends that are in no figures yet, oldest first
    _index("pending_events", "pending_events.finished_at", sparse=True),
    # the jobs of an atomic batch that is staged: to publish it, or to take it away
    _index("batch", "batch", sparse=True),
    # what a crash left half done: links to parents, and moves to the DLQ
    _index("linking", "linking.at", sparse=True),
    _index("moving", "moving", sparse=True),
    # lists in the order of arrival
    _index("seq", "seq"),
    # lists by state and queue, deliveries that have ended, what runs in a queue with a limit, and
    # counts, for which `batch` ends it
    _index("state_queue_seq", "state", "queue", "seq", "batch"),
    _ENVIRONMENT,
    _SNAPSHOT,
    _PAST_SINCE,
)

_OTHER_INDEXES = {
    # dead jobs that are old, and what is asked of `jobs` too
    "dlq": (_index("finished_at", "finished_at"), _ENVIRONMENT, _SNAPSHOT, _PAST_SINCE),
    "job_batches": (
        # batches of which an end is still to be told, and those that are made while they run
        _index("open", "is_open", where={"is_open": True}),
        _index("unmade", "created_at", where={"unmade": {"$gt": 0}}),
    ),
    # runs that are due
    "schedules": (_index("due", "paused", "next_due"),),
    # what people did, by time
    "audit": (_index("at", "at"),),
    # figures of a span of time
    "figures": (_index("minute", "minute"),),
    # events of jobs that were deleted, oldest first
    "events": (_index("pending", "event.finished_at", sparse=True),),
}

_FORMER = ("running",)
"""Indexes of `jobs` that there were once, and that no query needs: what runs in a queue is found
by its state and queue."""

INDEXED = len(JOB_INDEXES) + sum(map(len, _OTHER_INDEXES.values())) + 2 * len(_FORMER)
"""What the mark has once the indexes are made: those of a database from before one came or went
are made, or dropped, when it is opened. Both raise it."""


def prepare(link: Link, *, make: bool = True) -> bool:
    """Make the database ours, or see that it is; one read when it has been done before.

    Without `make` one that has no mark of ours stays as it is. Returns whether it is ours.

    Raises StoreRefused, with nothing written, when `jobs` or `dlq` are somebody else's or the
    database is of another version.
    """
    with pymongo.timeout(SELECTION_SECONDS):  # a server that is away is not asked twice
        mark = link.meta.find_one({"_id": MARK})
    if mark is None:
        mark = _refuse_strangers(link)
        if mark is None and not make:
            return False
        if mark is None:
            require_fit(link)
            mark = _write_mark(link)
    _require_known(mark, link)
    if make and mark.get("probed") != PROBE:
        _probe_again(link)
    if mark.get("indexed") == INDEXED:
        return True
    _make_indexes(link.jobs, JOB_INDEXES)
    for place, indexes in _OTHER_INDEXES.items():
        _make_indexes(getattr(link, place), indexes)
    for name in set(_FORMER).intersection(link.jobs.index_information()):
        with suppress(OperationFailure):  # somebody else has just dropped it
            link.jobs.drop_index(name)
    link.meta.update_one({"_id": MARK}, {"$set": {"indexed": INDEXED}})
    return True


def _make_indexes(place: Documents, indexes: Sequence[IndexModel]) -> None:
    """Make the indexes of a collection, but for those of which an older version made another form.

    That serves the same queries, if not all as quickly, and older versions that are at work too.
    """
    try:
        place.create_indexes(list(indexes))
    except OperationFailure as fault:
        if fault.code not in _OTHER_FORM:
            raise
        there = place.index_information()
        left = [each for each in indexes if each.document["name"] not in there]
        if left:
            place.create_indexes(left)


def _probe_again(link: Link) -> None:
    """Look at a server that was looked at by a version with other checks, or by none.

    A login that may only look trusts what others found.
    """
    try:
        require_fit(link)
        link.meta.update_one({"_id": MARK}, {"$set": {"probed": PROBE}})
    except OperationFailure as fault:
        if not is_not_allowed(fault):
            raise


def _refuse_strangers(link: Link) -> Document | None:
    """Raise StoreRefused for collections of our names without our mark.

    Returns the mark where one was made just now.
    """
    foreign = OWN_NAMES.intersection(link.database.list_collection_names())
    # another process may have written the mark and made them since we looked
    mark = link.meta.find_one({"_id": MARK}) if foreign else None
    if foreign and mark is None:
        raise StoreRefused(
            f"the database '{link.database.name}' has a collection '{min(foreign)}' that is not "
            "queuectl's",
            hint=f"name another database: mongodb://{link.hosts}/queuectl",
        )
    return mark


def _write_mark(link: Link) -> Document:
    """Write the mark, which comes before any collection of ours; return the one that is there."""
    mark = {"_id": MARK, "version": VERSION, "indexed": 0, "probed": PROBE}
    try:
        link.meta.insert_one(mark)
    except DuplicateKeyError:
        return link.meta.find_one({"_id": MARK}) or mark
    return mark


def _require_known(mark: Document, link: Link) -> None:
    version, database = mark.get("version"), f"the database '{link.database.name}'"
    if not isinstance(version, int):
        raise StoreRefused(
            f"the schema mark of {database} is damaged", hint="mongorestore brings a dump back"
        )
    if version < VERSION:
        raise StoreRefused(
            f"{database} was written by a development version of queuectl, which this one cannot "
            "read",
            hint="queuectl export FILE of that version writes what queuectl import reads here",
        )
    if version > VERSION:
        raise StoreRefused(
            f"{database} was written by a newer queuectl "
            f"(version {version}, this one knows {VERSION})",
            hint="upgrade queuectl",
        )


def missing_indexes(link: Link) -> list[str]:
    """Return the names of the indexes that `jobs` lacks."""
    present = link.jobs.index_information()
    return [name for index in JOB_INDEXES if (name := index.document["name"]) not in present]


def arrival(queue: str, minute: datetime) -> str:
    """Return the field beside the sequence that counts the new jobs of a queue and minute."""
    return f"arrivals.{to_millis(minute)}.{queue.replace('.', QUEUE_DOT)}"


def take_numbers(link: Link, count: int, arrivals: Mapping[str, int] | None = None) -> int:
    """Take `count` numbers of the order of arrival; return the first of them.

    `arrivals` says what is to be counted with that, under the fields that `arrival` names.
    """
    for _ in range(_TRIES):
        with suppress(DuplicateKeyError):  # two callers may make the counter at once
            counter = link.meta.find_one_and_update(
                {"_id": SEQUENCE},
                {"$inc": {"value": count, **(arrivals or {})}},
                {"value": True},
                upsert=True,
                return_document=True,
            )
            if counter is not None:
                return int(counter["value"]) - count + 1
    raise StoreUnavailable("the numbers of arrival cannot be counted", hint="try again")
