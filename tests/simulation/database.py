"""A database in memory with the store's own indexes, in which each document is written atomically.

A query of a collection that may be large must be served by an index, or is refused: a claim that
reads the whole backlog would be found here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

from pymongo import DeleteOne, IndexModel, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.results import DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from tests.simulation.documents import (
    Document,
    copied,
    inserted,
    is_condition,
    matches,
    projected,
    rank,
    updated,
    values_at,
)
from tests.simulation.index import Index, Sort

_SMALL = 500
"""A collection of so many documents is read whole where no index serves."""

_DUPLICATE = 11000

Watch = Callable[[Document | None, Document | None], None]
"""Hears of a write: the document before it, and after it."""


class Collection:
    """The documents of one collection, and its indexes; `watch` hears of every write."""

    def __init__(self, name: str, indexes: Sequence[IndexModel] = ()) -> None:
        self.name = name
        self.documents: dict[Any, Document] = {}
        self.indexes = {each.name: each for each in map(Index, indexes)}
        self.writes: Counter[Any] = Counter()
        self.missed = 0
        """How many claims found that somebody else was faster."""

        self.watch: Watch = lambda _before, _after: None

    # reading

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        sort: Sort = (),
        limit: int = 0,
    ) -> list[Document]:
        """Return what matches, in an order, at most so many."""
        found = self._found(where or {}, sort)
        return list(projected(islice(found, limit) if limit else found, fields))

    def distinct(self, field: str, where: Mapping[str, Any]) -> list[Any]:
        """Return the values of a field among what matches."""
        values = {each[field] for each in self._found(where, ()) if field in each}
        return sorted(values, key=rank)

    def _found(self, where: Mapping[str, Any], sort: Sort) -> Iterator[Document]:
        ids, rest, is_ordered = self._planned(where, sort)
        found = (
            document
            for each in ids
            if (document := self.documents.get(each)) is not None and matches(document, rest)
        )
        if is_ordered or not sort:
            return found
        rows = list(found)
        for path, way in reversed(sort):
            rows.sort(key=lambda each: rank(next(values_at(each, path), None)), reverse=way < 0)
        return iter(rows)

    def _planned(
        self, where: Mapping[str, Any], sort: Sort
    ) -> tuple[Iterator[Any], Mapping[str, Any], bool]:
        """Return the ids of what a filter may be about, what is left of it, and are they in order.

        Each id comes once.
        """
        wanted = where.get("_id")
        if wanted is not None and not is_condition(wanted):
            return iter((wanted,)), where, True
        if type(wanted) is dict and "$in" in wanted:
            return iter(sorted(set(wanted["$in"]))), where, False
        best, served = None, 0
        for index in self.indexes.values():
            number = index.serves(where)
            if number and index.is_ordered(where, sort):
                number += 10
            if number > served:
                best, served = index, number
        if best is not None:
            ids: Iterator[Any] = (each for _, each in best.ids(where))
            if best.is_sparse:  # of an array, by several of whose keys it may be found
                ids = iter(dict.fromkeys(ids))
            return ids, best.rest(where), best.is_ordered(where, sort)
        assert self.name != "jobs" or len(self.documents) <= _SMALL, (
            f"no index of {self.name} serves {where}"
        )
        return iter(sorted(self.documents, key=rank)), where, [*sort] == [("_id", 1)]

    # writing

    def insert_one(self, document: Document) -> InsertOneResult:
        """Insert a document. Raises DuplicateKeyError."""
        self._put(None, copied(document))
        return InsertOneResult(document["_id"], acknowledged=True)

    def insert_many(self, documents: Sequence[Document]) -> InsertManyResult:
        """Insert documents, each by itself. Raises BulkWriteError for those that are there."""
        errors = []
        for number, document in enumerate(documents):
            try:
                self._put(None, copied(document))
            except DuplicateKeyError:
                errors.append({"index": number, "code": _DUPLICATE, "op": document})
        if errors:
            raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": []})
        return InsertManyResult([each["_id"] for each in documents], acknowledged=True)

    def find_one_and_update(
        self,
        where: Mapping[str, Any],
        change: Mapping[str, Any],
        fields: Mapping[str, Any] | None = None,
        sort: Sort = (),
        *,
        upsert: bool = False,
        is_after: bool = False,
    ) -> Document | None:
        """Update the first that matches; return it as it was, or as it is then."""
        before = next(self._found(where, sort), None)
        if before is None and not upsert:
            self.missed += "_id" in where and "ready" in where
            return None
        after = self._change(before, where, change)
        shown = after if is_after else before
        return None if shown is None else next(projected([shown], fields))

    def update_one(
        self, where: Mapping[str, Any], change: Mapping[str, Any], *, upsert: bool = False
    ) -> UpdateResult:
        """Update one document that matches."""
        before = next(self._found(where, ()), None)
        if before is None and not upsert:
            self.missed += "claim_id" in change.get("$set", ())
            return _told(0, 0)
        after = self._change(before, where, change)
        return _told(before is not None, before != after, after["_id"] if before is None else None)

    def update_many(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> UpdateResult:
        """Update each document that matches."""
        changed = 0
        found = list(self._found(where, ()))
        for before in found:
            changed += self._change(before, where, change) != before
        return _told(len(found), changed)

    def replace_one(
        self, where: Mapping[str, Any], whole: Document, *, upsert: bool = False
    ) -> UpdateResult:
        """Put another document in the place of one that matches."""
        before = next(self._found(where, ()), None)
        if before is None and not upsert:
            return _told(0, 0)
        after = {"_id": before["_id"] if before else where["_id"], **copied(whole)}
        self._put(before, after)
        return _told(before is not None, before != after, after["_id"] if before is None else None)

    def delete_many(self, where: Mapping[str, Any], *, most: int = 0) -> DeleteResult:
        """Delete what matches."""
        found = list(self._found(where, ()))[: most or None]
        for each in found:
            self._drop(each)
        return DeleteResult({"n": len(found)}, acknowledged=True)

    def bulk_write(self, writes: Sequence[Any]) -> Any:
        """Do several writes, each by itself. Raises BulkWriteError for those that are refused."""
        told = {"nMatched": 0, "nModified": 0}
        errors = []
        for number, write in enumerate(writes):
            try:
                result = self._written(write)
            except DuplicateKeyError:
                errors.append({"index": number, "code": _DUPLICATE})
                continue
            if isinstance(result, UpdateResult):
                told["nMatched"] += result.matched_count
                told["nModified"] += result.modified_count
        if errors:
            raise BulkWriteError({**told, "writeErrors": errors, "writeConcernErrors": []})
        return _Bulk(told["nMatched"], told["nModified"])

    def _written(self, write: Any) -> UpdateResult | DeleteResult:
        where, change = write._filter, cast("Document", getattr(write, "_doc", {}))
        if isinstance(write, DeleteOne):
            return self.delete_many(where, most=1)
        if isinstance(write, ReplaceOne):
            return self.replace_one(where, change, upsert=bool(write._upsert))
        if isinstance(write, UpdateMany):
            return self.update_many(where, change)
        assert isinstance(write, UpdateOne), write
        return self.update_one(where, change, upsert=bool(write._upsert))

    def _change(
        self, before: Document | None, where: Mapping[str, Any], change: Mapping[str, Any]
    ) -> Document:
        after = inserted(where, change) if before is None else updated(before, change, where)
        self._put(before, after)
        return after

    def _put(self, before: Document | None, after: Document) -> None:
        key = after["_id"]
        if before is None and key in self.documents:
            raise DuplicateKeyError(f"E11000 duplicate key: {self.name} _id", _DUPLICATE)
        placed = [(index, index.keys(after)) for index in self.indexes.values()]
        for index, keys in placed:
            if index.is_unique and index.has_others(key, keys):
                raise DuplicateKeyError(
                    f"E11000 duplicate key: {self.name} {index.name}", _DUPLICATE
                )
        for index, keys in placed:
            index.put(key, keys)
        self.documents[key] = after
        self.writes[key] += 1
        self.watch(before, after)

    def _drop(self, before: Document) -> None:
        for index in self.indexes.values():
            index.put(before["_id"], [])
        del self.documents[before["_id"]]
        self.writes[before["_id"]] += 1
        self.watch(before, None)


class _Bulk:
    def __init__(self, matched: int, modified: int) -> None:
        self.matched_count, self.modified_count = matched, modified


def _told(matched: int, modified: int, upserted: Any = None) -> UpdateResult:
    raw = {"n": int(matched), "nModified": int(modified)}
    if upserted is not None:
        raw = {"n": 1, "nModified": 0}
        raw["upserted"] = upserted
    return UpdateResult(raw, acknowledged=True)
