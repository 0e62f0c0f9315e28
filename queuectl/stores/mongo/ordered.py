"""Listings in another order than that of arrival: of the jobs, and of the dead in `dlq`.

Where each has its place comes first, no more than are wanted; then the jobs themselves, a limited
number at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pymongo import ASCENDING, DESCENDING

from queuectl.domain.job import WAITING, Job
from queuectl.domain.query import ORDER_FIELDS, Filter, Order, Page
from queuectl.stores.mongo import reads
from queuectl.stores.mongo.connection import Document, Link, translated
from queuectl.stores.mongo.documents import NEEDS, projection
from queuectl.stores.mongo.reads import READ_AT_ONCE, resolve, where_of
from queuectl.stores.mongo.schema import CLAIM_ORDER
from queuectl.stores.state_order import by_state

Place = tuple[bool, Any, int, str]
"""Whether a job lacks the value that decides, that value, its number and its id."""

Keys = Sequence[tuple[str, int]]


def find(link: Link, chosen: Filter, page: Page) -> Iterator[Job]:
    """Yield jobs in the order of the page, which is not that of arrival; see `Store.find`."""
    if page.order is Order.STATE:
        yield from by_state(partial(reads.find, link), chosen, page)
        return
    with translated(link):
        in_turn = page.order is Order.TURN
        ids = _in_turn(link, chosen, page.limit) if in_turn else _by_field(link, chosen, page)
    left_out = projection(page)
    for start in range(0, len(ids), READ_AT_ONCE):
        wanted = ids[start : start + READ_AT_ONCE]
        with translated(link):
            documents = list(link.jobs.find({"_id": {"$in": wanted}}, left_out))
            jobs = {job.id: job for job in resolve(link, documents, chosen, left_out)}
        yield from (jobs[job_id] for job_id in wanted if job_id in jobs)


def _by_field(link: Link, chosen: Filter, page: Page) -> list[str]:
    """Return the ids of jobs by the value of a field; those that have none come last.

    Of the dead `jobs` has only stubs, which lack the field.
    """
    name = ORDER_FIELDS[page.order]
    field, way = "_id" if name == "id" else name, DESCENDING if page.newest_first else ASCENDING
    where, places = where_of(chosen), list[Place]()
    for collection, only in ((link.jobs, {"stub": {"$ne": True}}), (link.dlq, {})):
        for has_it in ({field: {"$ne": None}}, {field: None}):
            cursor = collection.find({"$and": [where, only, has_it]}, {field: True, "seq": True})
            if page.limit is not None:
                cursor = cursor.sort([(field, way), ("seq", way)]).limit(page.limit)
            places += [
                (each.get(field) is None, each.get(field), each["seq"], each["_id"])
                for each in cursor
            ]
    present = sorted((each for each in places if not each[0]), key=_key, reverse=way < 0)
    absent = sorted((each for each in places if each[0]), key=_number, reverse=way < 0)
    ids = dict.fromkeys(place[3] for place in (*present, *absent))
    return list(ids)[: page.limit]


def _key(place: Place) -> tuple[Any, int]:
    return place[1], place[2]


def _number(place: Place) -> int:
    return place[2]


def _in_turn(link: Link, chosen: Filter, limit: int | None) -> list[str]:
    """Return the ids of the jobs that wait, in the order in which they will run."""
    states = (chosen.states or WAITING) & WAITING
    where = {**where_of(chosen), "state": {"$in": sorted(state.value for state in states)}}
    shut = [each["_id"] for each in link.queues.find({"paused": True}, {"_id": True})]
    claimable = {"$in": [True, NEEDS]}
    stretches: list[tuple[Document, Keys]] = [
        ({"ready": claimable, "queue": {"$nin": shut}}, CLAIM_ORDER),
        ({"ready": False}, [("run_at", ASCENDING), ("seq", ASCENDING)]),
        ({"ready": claimable, "queue": {"$in": shut}}, CLAIM_ORDER),
        ({"ready": None}, [("seq", ASCENDING)]),
    ]
    ids: list[str] = []
    for stretch, order in stretches:
        left = 0 if limit is None else limit - len(ids)
        if limit is not None and left <= 0:
            break
        cursor = link.jobs.find({"$and": [where, stretch]}, {"_id": True}).sort(list(order))
        ids += [each["_id"] for each in cursor.allow_disk_use(True).limit(left)]
    return ids
