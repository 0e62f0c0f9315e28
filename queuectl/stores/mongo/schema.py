"""The mark that makes a database ours, and the indexes that every query leans on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.times import to_millis
from queuectl.stores.mongo.connection import SELECTION_SECONDS, Document, Link

VERSION = 6
"""Of all there is in a database; one that has another version is refused."""

MARK = "schema"
SEQUENCE = "sequence"
QUEUE_DOT = "/"
"""Stands for a dot in the name of a field, where it would divide; no queue's name has one."""

_TRIES = 10
OWN_NAMES = frozenset({"jobs", "dlq"})

CLAIM_ORDER = [("priority", DESCENDING), ("run_at", ASCENDING), ("seq", ASCENDING)]
_PROCESSING = {"state": "processing"}

JOB_INDEXES = (
    IndexModel(
        [("queue", ASCENDING), *CLAIM_ORDER],
        name="claim",
        partialFilterExpression={"ready": True},
    ),
    IndexModel([("run_at", ASCENDING)], name="due", partialFilterExpression={"ready": False}),
    IndexModel(
        [("claim_id", ASCENDING)],
        name="claim_id",
        unique=True,
        partialFilterExpression=_PROCESSING,
    ),
    IndexModel(
        [("lease_until", ASCENDING)], name="lease_until", partialFilterExpression=_PROCESSING
    ),
    IndexModel([("queue", ASCENDING)], name="running", partialFilterExpression=_PROCESSING),
    IndexModel([("slots_held", ASCENDING)], name="slots_held", unique=True, sparse=True),
    IndexModel([("unique_live", ASCENDING)], name="unique_live", unique=True, sparse=True),
    IndexModel([("blocked_by", ASCENDING)], name="blocked_by", sparse=True),
    IndexModel([("children_pending", ASCENDING)], name="children_pending", sparse=True),
    IndexModel([("pending_events.finished_at", ASCENDING)], name="pending_events", sparse=True),
    IndexModel([("worker", ASCENDING)], name="worker", partialFilterExpression=_PROCESSING),
    IndexModel([("seq", ASCENDING)], name="seq"),
    # `batch` ends it so that counting needs the index alone
    IndexModel(
        [("state", ASCENDING), ("queue", ASCENDING), ("seq", ASCENDING), ("batch", ASCENDING)],
        name="state_queue_seq",
    ),
    IndexModel(
        [("finished_at", ASCENDING)],
        name="completed",
        partialFilterExpression={"state": "completed"},
    ),
    IndexModel(
        [("finished_at", ASCENDING)],
        name="cancelled",
        partialFilterExpression={"state": "cancelled"},
    ),
    # of a text: every document has the field
    IndexModel(
        [("environment", ASCENDING)],
        name="environment",
        partialFilterExpression={"environment": {"$type": "string"}},
    ),
    IndexModel([("batch", ASCENDING)], name="batch", sparse=True),
    IndexModel([("linking.at", ASCENDING)], name="linking", sparse=True),
    IndexModel([("moving", ASCENDING)], name="moving", sparse=True),
    IndexModel([("past_since", ASCENDING)], name="past_since", sparse=True),
)

DLQ_INDEXES = (
    IndexModel([("finished_at", ASCENDING)], name="finished_at"),
    IndexModel([("past_since", ASCENDING)], name="past_since", sparse=True),
    IndexModel(
        [("environment", ASCENDING)],
        name="environment",
        partialFilterExpression={"environment": {"$type": "string"}},
    ),
)


def prepare(link: Link, *, make: bool = True) -> bool:
    """Make the database ours, or see that it is; one read when it has been done before.

    Without `make` one that has no mark of ours stays as it is. Returns whether it is ours.

    Raises StoreRefused, with nothing written, when `jobs` or `dlq` are somebody else's or the
    database is of another version.
    """
    with pymongo.timeout(SELECTION_SECONDS):  # a server that is away is not asked twice
        mark = link.meta.find_one({"_id": MARK})
    if mark is None:
        if not make:
            _refuse_strangers(link)
            return False
        mark = _claim_database(link)
    _require_known(mark, link)
    if mark.get("indexed"):
        return True
    link.jobs.create_indexes(list(JOB_INDEXES))
    link.schedules.create_index([("paused", ASCENDING), ("next_due", ASCENDING)], name="due")
    link.figures.create_index([("minute", ASCENDING)], name="minute")
    link.dlq.create_indexes(list(DLQ_INDEXES))
    link.meta.update_one({"_id": MARK}, {"$set": {"indexed": True}})
    return True


def _claim_database(link: Link) -> Document:
    """Write the mark, which comes before any collection of ours; return the one that is there."""
    if mark := _refuse_strangers(link):
        return mark
    mark = {"_id": MARK, "version": VERSION, "indexed": False}
    try:
        link.meta.insert_one(mark)
    except DuplicateKeyError:
        return link.meta.find_one({"_id": MARK}) or mark
    return mark


def _refuse_strangers(link: Link) -> Document | None:
    """Raise StoreRefused for collections of our names without our mark.

    Returns the mark where one was made just now.
    """
    foreign = OWN_NAMES.intersection(link.database.list_collection_names())
    if not foreign:
        return None
    # another process may have written the mark and made them since we looked
    mark = link.meta.find_one({"_id": MARK})
    if mark is not None:
        return mark
    raise StoreRefused(
        f"the database '{link.database.name}' has a collection '{min(foreign)}' that is not "
        "queuectl's",
        hint=f"name another database: mongodb://{link.hosts}/queuectl",
    )


def _require_known(mark: Document, link: Link) -> None:
    version = mark.get("version")
    if not isinstance(version, int):
        raise StoreRefused(
            f"the schema mark of the database '{link.database.name}' is damaged",
            hint="mongorestore brings a dump back",
        )
    if version < VERSION:
        raise StoreRefused(
            f"the database '{link.database.name}' was written by a development version of "
            "queuectl, which this one cannot read",
            hint="queuectl export FILE of that version writes what queuectl import reads here",
        )
    if version > VERSION:
        raise StoreRefused(
            f"the database '{link.database.name}' was written by a newer queuectl "
            f"(version {version}, this one knows {VERSION})",
            hint="upgrade queuectl",
        )


def missing_indexes(link: Link) -> list[str]:
    """Return the names of the indexes that `jobs` lacks."""
    present = link.jobs.index_information()
    return [
        name for name in (index.document["name"] for index in JOB_INDEXES) if name not in present
    ]


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
