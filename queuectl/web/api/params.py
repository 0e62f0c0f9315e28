"""What an endpoint is asked for: each parameter with its schema, and reading it from a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.frozen import frozen

Schema = dict[str, Any]
"""A JSON schema, of the few words that OpenAPI and `check` below have in common."""

PATH, QUERY, BODY = "path", "query", "body"

_WHOLE = re.compile(r"-?\d{1,16}")
_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "": False}
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list,), "object": (dict,),
}  # fmt: skip


@frozen
class Param:
    """One thing that an endpoint is told: in its path, in the query, or in a JSON body."""

    name: str
    place: str
    schema: Schema
    about: str
    required: bool = False


@frozen
class Given:
    """What came with a request: the parts of its path, its query, and a body if it has one."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: Mapping[str, Any]


def read(params: Sequence[Param], given: Given) -> dict[str, Any]:
    """Return the value of every parameter that was given. Raises InvalidInput.

    Those in path and query are text and are read as their schema says.
    """
    query: dict[str, list[str]] = {}
    for name, text in given.query:
        query.setdefault(name, []).append(text)
    _refuse_unknown([p.name for p in params if p.place == QUERY], query, "parameter")
    if not any(param.name == "*" for param in params):
        _refuse_unknown([p.name for p in params if p.place == BODY], given.body, "field")
    found: dict[str, Any] = {}
    for param in params:
        if param.place == PATH:
            found[param.name] = _from_text(param, [given.path[param.name]])
        elif param.name == "*":
            found["fields"] = given.body
        elif param.place == QUERY and param.name in query:
            found[param.name] = _from_text(param, query[param.name])
        elif param.place == BODY and param.name in given.body:
            found[param.name] = check(param.name, given.body[param.name], param.schema)
        elif param.required:
            raise InvalidInput(f"'{param.name}' is missing: {param.about}")
    return found


def _refuse_unknown(known: list[str], words: Mapping[str, object], what: str) -> None:
    for word in words:
        if word not in known:
            raise InvalidInput(f"unknown {what} {shown(word)}{nearest(word, known)}")


def from_form(params: Sequence[Param], fields: Mapping[str, list[str]]) -> Given:
    """Return what the fields of an HTML form, which are all text, say to an endpoint.

    Fields that are left empty are not given.
    """
    filled = {name: texts for name, texts in fields.items() if any(texts)}
    path, query, body = {}, [], dict[str, Any]()
    for param in params:
        texts = filled.get(param.name)
        if param.name == "*":
            own = {each.name for each in params}
            body |= {name: found[0] for name, found in filled.items() if name not in own}
        elif texts is None:
            if param.place == PATH:
                raise InvalidInput(f"'{param.name}' is missing: {param.about}")
        elif param.place == PATH:
            path[param.name] = texts[0]
        elif param.place == QUERY:
            query += [(param.name, text) for text in texts]
        else:
            body[param.name] = _from_text(param, texts)
    return Given(path, query, body)


def _from_text(param: Param, texts: Sequence[str]) -> Any:
    schema = param.schema
    if schema.get("type") == "array":
        items = Param(param.name, param.place, schema["items"], param.about)
        values = [_from_text(items, [text]) for text in texts]
        return check(param.name, values, schema)
    if len(texts) > 1:
        raise InvalidInput(f"'{param.name}' is given twice")
    text = texts[0]
    if schema.get("type") == "integer":
        if not _WHOLE.fullmatch(text):
            raise InvalidInput(f"{param.name} must be a whole number, not {shown(text)}")
        return check(param.name, int(text), schema)
    if schema.get("type") == "boolean":
        if text.lower() not in _FLAGS:
            raise InvalidInput(f"{param.name} must be true or false, not {shown(text)}")
        return _FLAGS[text.lower()]
    return check(param.name, text, schema)


def check(name: str, value: Any, schema: Schema) -> Any:
    """Return a value that fits a schema. Raises InvalidInput otherwise."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if isinstance(value, float) and kinds == ["integer"] and value.is_integer():
        value = int(value)  # JSON knows one kind of number
    if kinds and not any(_is_kind(value, kind) for kind in kinds):
        raise InvalidInput(f"{name} must be of type {' or '.join(kinds)}, not {shown(value)}")
    for word, refuse in _RULES.items():
        if word in schema and (why := refuse(value, schema[word])):
            raise InvalidInput(f"{name} {why}, not {shown(value)}")
    if kinds == ["array"]:
        for each in value:
            check(name, each, schema["items"])
    return value


def _is_kind(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _unless(kept: bool, why: str) -> str:
    return "" if kept else why


_RULES: dict[str, Callable[[Any, Any], str]] = {
    "minimum": lambda value, least: _unless(value >= least, f"must be at least {least}"),
    "maximum": lambda value, most: _unless(value <= most, f"must be at most {most}"),
    "maxLength": lambda value, most: _unless(len(value) <= most, f"has over {most} characters"),
    "minItems": lambda value, least: _unless(len(value) >= least, f"needs {least} at least"),
    "maxItems": lambda value, most: _unless(len(value) <= most, f"has more than {most}"),
    "enum": lambda value, known: _unless(value in known, f"must be one of {', '.join(known)}"),
    "pattern": lambda value, form: _unless(
        re.search(form, value) is not None, "must be letters, digits and . _ : @ -"
    ),
}
