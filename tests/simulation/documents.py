"""Filters and updates of MongoDB, as far as the store uses them; anything else is refused.

What a filter or an update means is in the manual of MongoDB, "Query and Projection Operators" and
"Update Operators". `test_simulation` compares the answers with those of a real wire server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Document = dict[str, Any]

_RANKS: dict[type, int] = {
    type(None): 0, int: 1, float: 1, str: 2, dict: 3, list: 4, bytes: 5, bool: 8, datetime: 9,
}  # fmt: skip


_PLAIN = frozenset((str, bool, int, float, datetime))
_BOUNDS = frozenset(("$gt", "$gte", "$lt", "$lte"))


def copied(value: Any) -> Any:
    """Return a value that shares nothing with another; what cannot change is itself."""
    kind = type(value)
    if kind in _PLAIN or value is None:
        return value
    if kind is dict:
        return {name: copied(each) for name, each in value.items()}
    if kind in (list, tuple):
        return [copied(each) for each in value]
    return value


def rank(value: Any) -> tuple[Any, ...]:
    """Return by what values are compared and ordered; of other kinds they are never equal."""
    kind = _RANKS[type(value)]
    return (kind,) if value is None else (kind, value)


def values_at(document: Any, path: str) -> Iterator[Any]:
    """Yield what is at a path, and what is in it where that is an array; nothing where none is."""
    name, _, rest = path.partition(".")
    if isinstance(document, list):
        for each in document:
            if isinstance(each, dict):
                yield from values_at(each, path)
        return
    if not isinstance(document, dict) or name not in document:
        return
    value = document[name]
    if rest:
        yield from values_at(value, rest)
        return
    yield value
    if isinstance(value, list):
        yield from value


def matches(document: Document, where: Mapping[str, Any]) -> bool:
    """Whether a filter matches a document."""
    for path, wanted in where.items():
        if type(wanted) in _PLAIN and type(value := document.get(path)) is type(wanted):
            if value != wanted:  # as nearly always, and several times as quick
                return False
        elif path == "$or":
            if not any(matches(document, each) for each in wanted):
                return False
        elif path == "$and":
            if not all(matches(document, each) for each in wanted):
                return False
        elif path.startswith("$"):
            raise NotImplementedError(path)
        elif not _holds(document, path, wanted):
            return False
    return True


def is_condition(wanted: Any) -> bool:
    """Whether a value of a filter consists of operators."""
    return type(wanted) is dict and bool(wanted) and next(iter(wanted)).startswith("$")


def _holds(document: Document, path: str, wanted: Any) -> bool:
    if not is_condition(wanted):
        return _has(document, path, wanted)
    value = document.get(path)
    if type(value) in _PLAIN:
        for operator, bound in wanted.items():
            known = _of_plain(value, operator, bound)
            if known is False:
                return False
            if known is None and not _fits(document, path, operator, bound):
                return False
        return True
    return all(_fits(document, path, name, bound) for name, bound in wanted.items())


def _of_plain(value: Any, operator: str, bound: Any) -> bool | None:
    """Return whether a value fits that is no array; None where that is to be looked at closer."""
    if operator == "$in":
        return value in bound if type(value) is str else None
    if operator == "$ne":
        return bool(value != bound) if type(value) is type(bound) else None
    if operator in _BOUNDS and type(value) is type(bound):
        return _compares(value, operator, bound)
    return None


def _has(document: Document, path: str, wanted: Any) -> bool:
    found = list(values_at(document, path))
    if wanted is None:
        return not found or None in found
    return any(rank(each) == rank(wanted) for each in found)


def _fits(document: Document, path: str, operator: str, value: Any) -> bool:
    if operator == "$in":
        return any(_has(document, path, each) for each in value)
    if operator == "$nin":
        return not any(_has(document, path, each) for each in value)
    if operator == "$ne":
        return not _has(document, path, value)
    if operator == "$exists":
        return any(True for _ in values_at(document, path)) is bool(value)
    found = values_at(document, path)
    if operator == "$elemMatch":
        return any(isinstance(each, dict) and matches(each, value) for each in found)
    if operator == "$type":
        assert value == "string", value
        return any(isinstance(each, str) for each in found)
    return any(_compares(each, operator, value) for each in found)


def _compares(value: Any, operator: str, bound: Any) -> bool:
    if _RANKS[type(value)] != _RANKS[type(bound)]:
        return False
    if operator == "$gt":
        return bool(value > bound)
    if operator == "$gte":
        return bool(value >= bound)
    if operator == "$lt":
        return bool(value < bound)
    if operator == "$lte":
        return bool(value <= bound)
    raise NotImplementedError(operator)


def projected(
    documents: Iterable[Document], fields: Mapping[str, Any] | None
) -> Iterator[Document]:
    """Yield the part of each document that a projection names, as a copy."""
    if not fields:
        yield from map(copied, documents)
    elif any(fields.values()):
        names = sorted({"_id", *(name.partition(".")[0] for name in fields)})
        for document in documents:
            yield {name: copied(document[name]) for name in names if name in document}
    else:
        for document in documents:
            yield {name: copied(each) for name, each in document.items() if name not in fields}


def updated(document: Document, change: Mapping[str, Any], where: Mapping[str, Any]) -> Document:
    """Return a document after an update; `where` says which element `$` in a path means."""
    after = dict(document)
    for operator, fields in change.items():
        if operator == "$setOnInsert":
            continue
        for path, value in fields.items():
            _apply(after, operator, path, value, where)
    return after


def inserted(where: Mapping[str, Any], change: Mapping[str, Any]) -> Document:
    """Return the document that an upsert inserts."""
    base = {name: each for name, each in where.items() if not is_condition(each)}
    base.pop("$or", None)
    document = updated(base, change, where)
    document.update(copied(change.get("$setOnInsert", {})))
    return document


def _apply(after: Document, operator: str, path: str, value: Any, where: Mapping[str, Any]) -> None:
    place, name = _place(after, path, where, make=operator not in ("$unset", "$pull"))
    if place is None:
        return
    if operator == "$set":
        place[name] = copied(value)
    elif operator == "$unset":
        place.pop(name, None)
    elif operator == "$inc":
        place[name] = place.get(name, 0) + value
    elif operator == "$max":
        place[name] = max(place.get(name, value), value)
    elif operator == "$push":
        pushed = value["$each"] if is_condition(value) else [value]
        whole = [*place.get(name, ()), *copied(pushed)]
        place[name] = whole[value["$slice"] :] if is_condition(value) else whole
    elif operator == "$pull":
        if name in place:
            place[name] = [each for each in place[name] if not matches(each, value)]
    else:
        raise NotImplementedError(operator)


def _place(
    after: Document, path: str, where: Mapping[str, Any], *, make: bool
) -> tuple[Document | None, str]:
    """Return the document that a path leads into, a copy of its own, and the last name."""
    place: Document = after
    *way, last = path.split(".")
    for number, name in enumerate(way):
        if name == "$":
            continue
        inner = place.get(name)
        if inner is None and not make:
            return None, last
        if isinstance(inner, list):
            assert way[number + 1] == "$", path
            at = _meant(inner, name, where)
            place[name] = inner = [*inner[:at], dict(inner[at]), *inner[at + 1 :]]
            place = inner[at]
        else:
            place[name] = place = dict(inner or {})
    return place, last


def _meant(elements: list[Any], name: str, where: Mapping[str, Any]) -> int:
    wanted = {
        path.removeprefix(f"{name}."): value
        for path, value in where.items()
        if path.startswith(f"{name}.")
    }
    return next(at for at, each in enumerate(elements) if matches(each, wanted))
