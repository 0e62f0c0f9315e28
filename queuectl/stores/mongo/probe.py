"""Whether a server does what the store is built upon: looked at before any job is entrusted to it.

Some servers that speak MongoDB's protocol take every command and do something else: they drop the
filter of an index, store a date as text, or give one document to two who ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from queuectl.domain.errors import StoreRefused
from queuectl.domain.times import UTC
from queuectl.stores.mongo.connection import Document, Documents, Link
from queuectl.stores.mongo.errors import OTHER_SERVERS, is_not_allowed
from queuectl.system.ids import new_token

PROBE = 1
"""Grows when more is looked at; the mark of a database has the number of the latest that passed."""

_DATE = datetime(2030, 1, 31, 14, 30, tzinfo=UTC) + timedelta(milliseconds=7)
_RACERS, _PRIZES = 4, 50


def require_fit(link: Link) -> None:
    """Raise StoreRefused, naming what is missing, for a server that cannot keep a queue.

    It is tried in a collection that is gone afterwards.
    """
    link.now()  # which is refused where the server does not tell its time
    with _Scratch(link) as place:
        lacks = [what for what, check in _CHECKS.items() if not _is_fit(check, place)]
    if lacks:
        what = " and ".join((", ".join(lacks[:-1]), lacks[-1])) if lacks[1:] else lacks[0]
        raise StoreRefused(
            f"the server at {link.hosts} cannot keep a queue: it does not {what}",
            hint=OTHER_SERVERS,
        )


def twice_given(link: Link) -> int:
    """Return how many of fifty documents a server gives to two who ask for one at a time.

    0 for a login that may only look, too: it cannot ask.
    """
    try:
        return _race(link)
    except OperationFailure as fault:
        if is_not_allowed(fault):
            return 0
        raise


def _race(link: Link) -> int:
    with _Scratch(link) as place:
        place.insert_many([{"_id": number, "owner": None} for number in range(_PRIZES)])

        with ThreadPoolExecutor(_RACERS) as pool:
            numbers = pool.map(lambda owner: list(_won(place, owner)), range(_RACERS))
            won = [*chain.from_iterable(numbers)]
    return len(won) - len({*won})


def _won(place: Documents, owner: int) -> Iterator[int]:
    """Yield the documents that one of the racers is given."""
    change = {"$set": {"owner": owner}}
    while found := place.find_one_and_update({"owner": None}, change, sort=[("_id", ASCENDING)]):
        yield found["_id"]


class _Scratch:
    """A collection to try things in."""

    def __init__(self, link: Link) -> None:
        self._place = link.database[f"queuectl_probe_{new_token()}"]

    def __enter__(self) -> Documents:
        return self._place

    def __exit__(self, *_: object) -> None:
        self._place.drop()


def _is_fit(check: Callable[[Documents], bool], place: Documents) -> bool:
    """Whether a check passes; what the server refuses, or answers beyond the driver, is a no."""
    try:
        place.delete_many({})
        return check(place)
    except PyMongoError as fault:
        if fault.timeout:
            raise
        return False
    except (KeyError, TypeError):
        return False


def _keeps_indexes(place: Documents) -> bool:
    where = {"state": "a"}
    place.create_indexes([
        IndexModel([("at", ASCENDING)], name="named", partialFilterExpression=where),
        IndexModel([("at", ASCENDING), ("n", ASCENDING)], name="other"),
        IndexModel([("held", ASCENDING)], name="held", unique=True, sparse=True),
    ])  # fmt: skip
    found = place.index_information()
    return {"named", "other", "held"} <= found.keys() and (
        found["named"].get("partialFilterExpression") == where
    )


def _keeps_dates(place: Documents) -> bool:
    place.insert_one({"_id": 1, "at": None})
    place.update_one({"_id": 1}, {"$set": {"at": _DATE}})
    found = place.find_one({"_id": 1, "at": {"$lte": _DATE}})
    return found is not None and found["at"] == _DATE


def _keeps_apart(place: Documents) -> bool:
    place.insert_many([{"_id": 1, "held": ["a", "b"]}, {"_id": 2}])
    try:
        place.find_one_and_update({"_id": 2}, {"$set": {"held": ["b", "c"]}})
    except DuplicateKeyError as fault:
        return fault.code == 11000
    return False


def _groups(place: Documents) -> bool:
    place.insert_many([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 3}])
    group: Document = {"_id": {"a": "$a", "b": "$b"}, "count": {"$sum": 1}}
    found = {row["_id"]["b"]: row["count"] for row in place.aggregate([{"$group": group}])}
    return found == {2: 2, 3: 1}


def _computes(place: Documents) -> bool:
    place.insert_one({"_id": 1, "n": 4})
    place.update_one({"_id": 1}, [{"$set": {"n": {"$add": ["$n", 1]}, "text": {"$literal": "$n"}}}])
    return place.find_one({"_id": 1}) == {"_id": 1, "n": 5, "text": "$n"}


_CHECKS: dict[str, Callable[[Documents], bool]] = {
    "keep the names and filters of indexes": _keeps_indexes,
    "keep dates as dates": _keeps_dates,
    "refuse a member of an array that another has, as a unique index does": _keeps_apart,
    "group by several fields": _groups,
    "know updates that are pipelines": _computes,
}
"""What a server must do, in the words in which one is refused that does not."""
