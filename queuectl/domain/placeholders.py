"""Placeholders in the command of a sweep: which there are, and what stands for them.

They are written as GNU parallel has them: `{}` is the value, `{lr}` and `{2}` one of several,
`{#}` the number of the job and `{%}` the slot that it runs in. After a value's name `.` leaves its
extension out, `/` its directory, `/.` both, and `//` all but the directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import Command
from queuectl.domain.sweep_names import (
    INDEX,
    INDEX_VARIABLE,
    NUMBER_VARIABLE,
    SLOT_VARIABLE,
    variable,
)

NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
"""What the names of parameters are made of; those of `:::` are numbers."""

NUMBER, SLOT = "#", "%"
SLOT_WORD = "{%}"
"""How the slot is written in an argument, until the run begins that has it."""

_WHICH = rf"{NAME}|[1-9][0-9]*"
_PLACE = re.compile(rf"\{{(?:([#%])|({_WHICH})?(//|/\.|/|\.)?)\}}")
_NAMED = re.compile(rf"\{{({_WHICH})(?://|/\.|/|\.)?\}}")
_EXTENSION = re.compile(r"\.[^/.]*\Z")


class Place(NamedTuple):
    """A placeholder of a text: what it names, which part of that, and where it stands.

    `names` are the parameters whose values stand for it: several for `{}` alone.
    """

    names: tuple[str, ...]
    part: str
    start: int
    end: int
    word: str


Piece = str | Place


def pieces_of(text: str, names: Collection[str], values: Sequence[str]) -> tuple[Piece, ...]:
    """Return a text parted at its placeholders.

    `names` are the parameters there are, and `values` those that `{}` stands for, if it is a
    placeholder at all. Left as they are: other words in braces, what a `$` stands before, and what
    stands in a second pair of braces.
    """
    pieces: list[Piece] = []
    end = 0
    for place in _places(text, names, values):
        pieces += [text[end : place.start], place] if place.start > end else [place]
        end = place.end
    return (*pieces, text[end:]) if end < len(text) else tuple(pieces)


def _places(text: str, names: Collection[str], values: Sequence[str]) -> Iterator[Place]:
    for found in _PLACE.finditer(text):
        own, name, part = found.groups()
        if _is_left_alone(text, found.start(), found.end()):
            continue
        meant: tuple[str, ...] = (own or name,)
        if not own and name is None:
            meant = tuple(values)
        elif not own and name not in names:
            meant = ()
        if meant:
            yield Place(meant, part or "", found.start(), found.end(), found.group())


def _is_left_alone(text: str, start: int, end: int) -> bool:
    """Whether a word in braces is another program's: `${lr}`, `{{lr}}`."""
    before = text[start - 1 : start]
    return before == "$" or (before == "{" and text[end : end + 1] == "}")


def unknown_words(text: str, names: Collection[str]) -> list[str]:
    """Return the words of a text that look like placeholders and name no parameter."""
    return [
        found.group()
        for found in _NAMED.finditer(text)
        if found[1] not in names and not _is_left_alone(text, found.start(), found.end())
    ]


def _without_extension(value: str) -> str:
    return _EXTENSION.sub("", value)


def _last(value: str) -> str:
    return value.rpartition("/")[2]


def _directory(value: str) -> str:
    """Return the directory of a path, as dirname(1) does."""
    path = value.rstrip("/")
    if not path:
        return "/" if value else "."
    head, slash, _ = path.rpartition("/")
    return (head.rstrip("/") or "/") if slash else "."


_PARTS: Mapping[str, Callable[[str], str]] = {
    "": str,
    ".": _without_extension,
    "/": _last,
    "//": _directory,
    "/.": lambda value: _without_extension(_last(value)),
}


def values_of(place: Place, texts: Mapping[str, str]) -> list[str]:
    """Return what stands for a placeholder: one text, or several where `{}` is all values."""
    part = _PARTS[place.part]
    return [part(texts[name]) for name in place.names]


def with_slot(command: Command, places: Sequence[str], slot: int) -> Command:
    """Return a command with the number of a slot in the arguments where it is to stand.

    `places` are `argument:offset` of `SLOT_WORD`; where that is not there, as the command was
    edited, nothing is put in its place.
    """
    if isinstance(command, str) or not places:
        return command
    filled = [*command]
    for place in reversed(places):
        at, start = map(int, place.split(":"))
        end = start + len(SLOT_WORD)
        if at < len(filled) and filled[at][start:end] == SLOT_WORD:
            filled[at] = f"{filled[at][:start]}{slot}{filled[at][end:]}"
    return tuple(filled)


def variable_of(place: Place) -> str:
    """Return the variable that has what a placeholder stands for, as a line names it."""
    own = {NUMBER: NUMBER_VARIABLE, SLOT: SLOT_VARIABLE, INDEX: INDEX_VARIABLE}
    name = place.names[0]
    return f"${own.get(name) or variable(name)}"


def refuse(place: Place, where: str) -> NoReturn:
    """Raise InvalidInput for a placeholder that stands where a shell would read its value."""
    raise_refusal(
        f"the placeholder {place.word} stands {where}, where a shell would read its value", place
    )


def raise_refusal(message: str, place: Place) -> NoReturn:
    """Raise InvalidInput with what to write in the place of a placeholder."""
    raise InvalidInput(
        message,
        hint=f'write "{variable_of(place)}" there, '
        f"or put the command behind --, where values are arguments: -- PROGRAM {place.word}",
    )
