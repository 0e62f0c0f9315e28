"""An index of a collection in memory: keys in order, and which queries it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import IndexModel
from sortedcontainers import SortedList

from tests.simulation.documents import Document, is_condition, matches, rank, values_at

_BOUNDS = ("$gt", "$gte", "$lt", "$lte")
_LAST = (99,)

Sort = Sequence[tuple[str, int]]


class Index:
    """One index: its keys in order, of the documents that belong in it."""

    def __init__(self, model: IndexModel) -> None:
        document = model.document
        self.name: str = document["name"]
        self.fields: list[tuple[str, int]] = list(document["key"].items())
        self.where: Mapping[str, Any] = document.get("partialFilterExpression", {})
        self.is_sparse = bool(document.get("sparse"))
        self.is_unique = bool(document.get("unique"))
        self._entries: SortedList = SortedList()
        self._keys: dict[Any, list[tuple[Any, ...]]] = {}
        """Under which keys each document is found."""

    def keys(self, document: Document) -> list[tuple[Any, ...]]:
        """Return the keys under which a document is found; an array has one for each element."""
        if self.where and not matches(document, self.where):
            return []
        first, _ = self.fields[0]
        if self.is_sparse and first.partition(".")[0] not in document:
            return []
        if self.is_sparse or "." in first:
            found = list(values_at(document, first))
            if self.is_sparse and not found:
                return []
            if found and isinstance(found[0], list):
                return [(_ordered(each, 1),) for each in found[0]]
        return [tuple(_key_of(document, path, way) for path, way in self.fields)]

    def put(self, document_id: Any, keys: list[tuple[Any, ...]]) -> None:
        """Have a document found under these keys alone."""
        before = self._keys.get(document_id, [])
        if keys == before:
            return
        for key in before:
            self._entries.remove((key, document_id))
        for key in keys:
            self._entries.add((key, document_id))
        if keys:
            self._keys[document_id] = keys
        else:
            self._keys.pop(document_id, None)

    def has_others(self, document_id: Any, keys: list[tuple[Any, ...]]) -> bool:
        """Whether another document is found under one of these keys."""
        return any(
            other != document_id
            for key in keys
            for _, other in self._entries.irange((key, ""), (key, "\U0010ffff"))
        )

    def serves(self, where: Mapping[str, Any]) -> int:
        """Return how many of its first fields a filter is about; 0 where it cannot be used."""
        for path, wanted in self.where.items():
            if path not in where or where[path] != wanted:
                return 0
        served = 0
        for path, _ in self.fields:
            if path not in where:
                break
            served += 1
            if is_condition(where[path]) and "$in" not in where[path]:
                break
        return served

    def rest(self, where: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what of a filter is still to be looked at in the documents that `ids` yields."""
        if self.is_sparse:  # of an array, which has several keys
            return where
        sure = set(self.where)
        for path, _ in self.fields:
            if path not in where or is_condition(where[path]):
                break
            sure.add(path)
        return {path: wanted for path, wanted in where.items() if path not in sure}

    def ids(self, where: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Yield keys and ids in the order of the index, of what the filter may be about."""
        prefixes: list[tuple[Any, ...]] = [()]
        low: tuple[Any, ...] = ()
        high: tuple[Any, ...] = (_LAST,)
        for path, way in self.fields:
            if path not in where:
                break
            wanted = where[path]
            if not is_condition(wanted):
                prefixes = [(*each, _ordered(wanted, way)) for each in prefixes]
            elif "$in" in wanted:
                values = sorted({_ordered(each, way) for each in wanted["$in"]})
                prefixes = [(*each, value) for each in prefixes for value in values]
            else:
                low, high = _range(wanted, way)
                break
        for prefix in prefixes:
            begin, end = ((*prefix, *low),), ((*prefix, *high, _LAST),)
            yield from self._entries.irange(begin, end)

    def is_ordered(self, where: Mapping[str, Any], sort: Sort) -> bool:
        """Whether what `ids` yields is in that order."""
        fields = list(self.fields)
        while fields and fields[0][0] in where and not is_condition(where[fields[0][0]]):
            if sort and fields[0] == sort[0]:
                break
            fields.pop(0)
        return list(sort) == fields[: len(sort)]


def _key_of(document: Document, path: str, way: int) -> tuple[Any, ...]:
    if "." not in path:
        return _ordered(document.get(path), way)
    return _ordered(next(values_at(document, path), None), way)


def _ordered(value: Any, way: int) -> tuple[Any, ...]:
    if way < 0 and isinstance(value, int):
        return (1, -value)
    return rank(value)


def _range(wanted: Mapping[str, Any], way: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return bounds that hold all that a condition is about; they may hold more."""
    low: tuple[Any, ...] = ()
    high: tuple[Any, ...] = (_LAST,)
    for operator, bound in wanted.items():
        if operator not in _BOUNDS:
            continue
        is_low = operator.startswith("$g") == (way > 0)
        if is_low:
            low = (_ordered(bound, way),)
        else:
            high = (_ordered(bound, way),)
    return low, high
