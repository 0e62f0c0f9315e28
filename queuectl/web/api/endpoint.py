"""One entry of the API: where it is, its parameters and how they are read, and what it answers."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.datastructures import ImmutableMultiDict

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import ASKED, Kind
from queuectl.queue import Queue
from queuectl.web.api.schemas import NAME, Schema

PATH, QUERY, BODY = "path", "query", "body"

WHOLE_BODY = "*"
"""The name of a parameter that stands for all fields of the body, whatever their names."""

Arguments = Mapping[str, Any]
"""The values of an endpoint's parameters, by their names; those not given are not there."""

Texts = ImmutableMultiDict[str, str]
"""The parameters of a query, or the fields of a form."""

_WHOLE = re.compile(r"-?\d{1,16}")
_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list,), "object": (dict,),
}  # fmt: skip


@frozen
class Param:
    """One parameter: in the path, in the query, or a field of a JSON body."""

    name: str
    place: str
    schema: Schema
    about: str
    required: bool = False
    has_empty: bool = False
    """Whether a field of a form that is left empty says so, with None."""


@frozen
class Question:
    """What is asked, and what the button says that means yes."""

    text: str
    yes: str


Asks = Callable[[Queue, Arguments], Question | None]
"""Returns what to ask before a change; None where nothing needs to be asked."""


@frozen
class Endpoint:
    """What a method on a path below /api does; `{name}` in the path is a parameter.

    `act` returns the answer as JSON has it; `message` says what became of a change in one line,
    with the names of parameters and fields of the answer in braces; `asks` returns what a person
    is asked before it, a `Question`, or None.
    """

    name: str
    method: str
    path: str
    about: str
    act: Callable[[Queue, Arguments], Any]
    answer: Schema
    params: tuple[Param, ...] = ()
    status: int = 200
    message: str | Callable[[Arguments, Any], str] = ""
    asks: Asks | None = None
    is_slow: bool = False
    """Whether it may wait, for a run to end or for another host."""

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"

    def message_for(self, arguments: Arguments, answer: Any) -> str:
        """Return what became of a change in one line; nothing where nothing is changed."""
        if callable(self.message):
            return self.message(arguments, answer)
        return self.message and self.message.format_map({**arguments, **answer})

    def params_in(self, place: str) -> tuple[Param, ...]:
        """Return the parameters that are in the path, in the query or in the body."""
        return tuple(param for param in self.params if param.place == place)


JOB_ID = Param("id", PATH, NAME, "the id of a job, or a prefix of one that was made", True)


def read(
    params: Sequence[Param], path: Mapping[str, str], query: Texts, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the value of every parameter that was given. Raises InvalidInput.

    Those in path and query are text and are read as their schema says.
    """
    _refuse_unknown("parameter", query, [each.name for each in params if each.place == QUERY])
    fields = [each.name for each in params if each.place == BODY]
    if WHOLE_BODY not in fields:
        _refuse_unknown("field", body, fields)
    values: dict[str, Any] = {}
    for param in params:
        name, schema = param.name, param.schema
        if name == WHOLE_BODY:
            values["fields"] = body
        elif param.place == PATH:
            values[name] = _from_text(name, [path[name]], schema)
        elif param.place == QUERY and name in query:
            values[name] = _from_text(name, query.getlist(name), schema)
        elif param.place == BODY and name in body:
            values[name] = check(name, body[name], schema)
        elif param.required:
            raise InvalidInput(f"'{name}' is missing: {param.about}")
    return values


def read_fields(params: Sequence[Param], fields: Texts) -> dict[str, Any]:
    """Return the same from the fields of an HTML form, which are all text.

    Fields that are left empty are not given, unless that says something, and those that are
    unknown, or begin with `_`, are passed over.
    """
    values: dict[str, Any] = {}
    own = {param.name for param in params}
    for param in params:
        name, texts = param.name, fields.getlist(param.name)
        if name == WHOLE_BODY:
            others = [key for key in fields if key not in own and not key.startswith("_")]
            values["fields"] = {
                key: _of_job(key, fields[key]) if fields[key] else None
                for key in others
                if fields[key] or param.has_empty
            }
        elif any(texts):
            values[name] = _from_text(name, texts, param.schema)
        elif param.required:
            raise InvalidInput(f"'{name}' is missing: {param.about}")
    return values


def _of_job(name: str, text: str) -> str | list[str]:
    """Return the value of a field of a job in a form: of one with several words, these."""
    field = ASKED.get(name)
    if field is None or field.kind is not Kind.WORDS:
        return text
    return [word for each in text.split(",") if (word := each.strip())]


def _refuse_unknown(what: str, words: Iterable[str], known: list[str]) -> None:
    for word in words:
        if word not in known:
            raise InvalidInput(f"unknown {what} {shown(word)}{nearest(word, known)}")


def _from_text(name: str, texts: Sequence[str], schema: Schema) -> Any:
    if schema.get("type") == "array":
        return check(name, [_from_text(name, [text], schema["items"]) for text in texts], schema)
    if len(texts) > 1:
        raise InvalidInput(f"'{name}' is given twice")
    text = texts[0]
    if schema.get("type") == "integer":
        if not _WHOLE.fullmatch(text):
            raise InvalidInput(f"{name} must be a whole number, not {shown(text)}")
        return check(name, int(text), schema)
    if schema.get("type") == "boolean":
        if text.lower() not in _FLAGS:
            raise InvalidInput(f"{name} must be true or false, not {shown(text)}")
        return _FLAGS[text.lower()]
    return check(name, text, schema)


def check(name: str, value: Any, schema: Schema) -> Any:
    """Return a value that fits a schema. Raises InvalidInput otherwise."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if isinstance(value, float) and kinds == ["integer"] and value.is_integer():
        value = int(value)  # JSON knows one kind of number
    if kinds and not any(_is_of_type(value, kind) for kind in kinds):
        raise InvalidInput(f"{name} must be of type {' or '.join(kinds)}, not {shown(value)}")
    for word, (is_met, why) in _RULES.items():
        if word in schema and not is_met(value, schema[word]):
            limit = ", ".join(schema[word]) if word == "enum" else schema[word]
            raise InvalidInput(f"{name} {why.format(limit)}, not {shown(value)}")
    if kinds == ["array"]:
        for each in value:
            check(name, each, schema["items"])
    return value


def _is_of_type(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


_RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (operator.ge, "must be at least {}"),
    "maximum": (operator.le, "must be at most {}"),
    "minLength": (lambda value, least: not isinstance(value, str) or len(value) >= least,
                  "has fewer than {} characters"),
    "maxLength": (lambda value, most: len(value) <= most, "has over {} characters"),
    "maxItems": (lambda value, most: len(value) <= most, "has more than {}"),
    "enum": (lambda value, words: value in words, "must be one of {}"),
    "pattern": (lambda value, form: re.search(form, value) is not None,
                "must be letters, digits and . _ : @ -"),
}  # fmt: skip
"""The words of JSON schemas that `check` heeds: whether one is met, and what to say if not."""
