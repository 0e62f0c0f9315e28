"""Forgetting the past runs of jobs: those in a history that are not the latest.

A commit that adds another run to a history notes only that it did (`past_since` becomes `EPOCH`),
as it does not know the runs before. Whoever looks for old runs first finds out when they ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection

from queuectl.domain.job import State
from queuectl.stores.mongo.connection import Document, Link

_LOOKED_AT = {"seq": True, "rev": True, "past_since": True, "history.n": True,
              "history.finished_at": True}  # fmt: skip
_RESTING = {"state": {"$nin": [State.PROCESSING.value, State.DEAD.value]}}
"""In `jobs`: of the dead it has stubs, and whole ones that are on their way to `dlq`."""


def has_past_runs(link: Link, before: datetime) -> bool:
    """Whether a history holds runs that ended before an instant, or may hold them."""
    return any(
        place.find_one(wanted, {"_id": True}) is not None for place, wanted in _places(link, before)
    )


def forget_runs(link: Link, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
    """Take old runs off the histories of at most `limit` jobs here and as many in the DLQ.

    Returns what is gone for certain, and whether there may be more to do.
    """
    gone: list[tuple[str, int]] = []
    is_more = False
    for place, wanted in _places(link, before):
        found = list(place.find(wanted, _LOOKED_AT).sort("past_since", 1).limit(limit))
        if not found:
            continue
        is_more |= len(found) == limit
        old = {each["_id"]: _old_runs(each, before) for each in found}
        writes = [_without(each, old[each["_id"]]) for each in found]
        applied = sum(
            place.bulk_write(some, ordered=False).matched_count for some in link.changes.of(writes)
        )
        if applied == len(found):
            gone += [(job_id, n) for job_id, runs in old.items() for n in runs]
    return gone, is_more


def _places(link: Link, before: datetime) -> Iterator[tuple[Collection[dict[str, Any]], Document]]:
    wanted = {"past_since": {"$lt": before}}
    yield link.jobs, {**wanted, **_RESTING}
    yield link.dlq, wanted


def _old_runs(found: Document, before: datetime) -> list[int]:
    return [run["n"] for run in found["history"][:-1] if run["finished_at"] < before]


def _without(found: Document, old: list[int]) -> UpdateOne:
    """Return the write that takes runs off a history, if the job is still as it was read."""
    left = [run["finished_at"] for run in found["history"][:-1] if run["n"] not in old]
    looked: Document = (
        {"$set": {"past_since": min(left)}} if left else {"$unset": {"past_since": ""}}
    )
    fence = {name: found[name] for name in ("_id", "seq", "rev", "past_since")}
    return UpdateOne(fence, {**looked, "$pull": {"history": {"n": {"$in": old}}}})
