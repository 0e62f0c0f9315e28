"""A sweep: one command with placeholders, and the values that make many jobs of it.

It knows how many jobs there are and what each is like, and makes none before it is asked for, so
that a million take no more room than one. The jobs are numbered from 1; the last axis turns
fastest, as the innermost of nested loops does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

from queuectl.domain import shell_line, shell_programs
from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.field_checks import MAX_ARGUMENT_BYTES, Command, check_text
from queuectl.domain.frozen import replace
from queuectl.domain.placeholders import (
    NUMBER,
    SLOT,
    SLOT_WORD,
    Piece,
    Place,
    pieces_of,
    unknown_words,
    values_of,
)
from queuectl.domain.request import Request
from queuectl.domain.sweep_names import variable
from queuectl.domain.sweep_texts import TEXTS, filled, filled_value, shown_texts, texts_of

EAGER = 10_000
"""Up to so many jobs are made at once; more are made as they are claimed."""

MAX_VALUE_BYTES = MAX_ARGUMENT_BYTES - 100
"""The longest value, which is a variable of the job too."""


class Axis(NamedTuple):
    """One way in which the jobs of a sweep differ: rows of values, or numbers.

    Each row has a value for each of `names`. Numbers are given as `ranges`, for one name.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    ranges: tuple[range, ...] = ()

    @property
    def size(self) -> int:
        """How many rows, or numbers, there are."""
        return len(self.rows) + sum(map(len, self.ranges))

    def at(self, place: int) -> tuple[str, ...]:
        """Return the values of a row, counted from 0."""
        for numbers in self.ranges:
            if place < len(numbers):
                return (str(numbers[place]),)
            place -= len(numbers)
        return self.rows[place]


class Member(NamedTuple):
    """What one job of a sweep has of its own: `number` counts from 1.

    `params` are names and values as text. `slot_places` says where in the arguments the slot is to
    be entered when it runs, as `argument:offset`.
    """

    number: int
    command: Command
    params: tuple[tuple[str, str], ...]
    slot_places: tuple[str, ...] = ()


class Sweep:
    """Many jobs that are as `model`, a request whose command has placeholders, on some axes.

    Raises InvalidInput for a placeholder whose value a shell would read, for two parameters of one
    name or one variable, and for an axis without values.
    """

    def __init__(self, model: Request, axes: Sequence[Axis]) -> None:
        self.model = model
        self.axes = tuple(axes)
        self.names = tuple(name for axis in self.axes for name in axis.names)
        _check_axes(self.axes, self.names)
        sizes = [axis.size for axis in self.axes]
        self.total = prod(sizes)
        self._below = [prod(sizes[place + 1 :]) for place in range(len(sizes))]
        self._parts = [self._pieces(text) for text in _texts_of(self.command)]
        self._bare: frozenset[int] = frozenset()
        if isinstance(self.command, str):
            self._bare = shell_line.check_places(self.command, _places_of(self._parts))
        else:
            shell_programs.check_arguments(self.command, self._parts)

    @property
    def command(self) -> Command:
        """The command with its placeholders."""
        return self.model.spec.command

    @property
    def values(self) -> tuple[str, ...]:
        """The parameters that `{}` stands for: those of `:::`, else the number of `--array`."""
        sources = tuple(name for name in self.names if name.isdigit())
        return sources or tuple(axis.names[0] for axis in self.axes if axis.ranges)

    @cached_property
    def _own_texts(self) -> Mapping[str, Sequence[Sequence[Piece]]]:
        """The fields in which placeholders stand, parted at these."""
        found = {}
        for name in TEXTS:
            parts = [self._pieces(text) for text in texts_of(self.model.spec, name)]
            if _places_of(parts):
                found[name] = parts
        return found

    @property
    def has_places(self) -> bool:
        """Whether the command has a placeholder."""
        return bool(_places_of(self._parts))

    def has_own(self, field: str) -> bool:
        """Whether a field other than the command has placeholders."""
        return field in self._own_texts

    def unused(self) -> list[str]:
        """Return the parameters that have no placeholder, and whose variable is not named."""
        parts = [*self._parts, *(part for own in self._own_texts.values() for part in own)]
        used = {name for place in _places_of(parts) for name in place.names}
        text = "\n".join(_texts_of(self.command))
        return [name for name in self.names if name not in used and variable(name) not in text]

    def unknown(self) -> list[str]:
        """Return the words that look like placeholders, where such may stand, and are none."""
        texts = (*_texts_of(self.command), *shown_texts(self.model.spec))
        words = (word for text in texts for word in unknown_words(text, self.names))
        return [*dict.fromkeys(words)]

    def _pieces(self, text: str) -> tuple[Piece, ...]:
        return pieces_of(text, self.names, self.values)

    def at(self, number: int) -> Member:
        """Return one job, from 1 to `total`. Raises IndexError for one that is not there."""
        params = self.params(number)
        texts = _texts(number, params)
        if isinstance(self.command, str):
            return Member(number, _line(self._parts[0], texts, self._bare), params)
        arguments, slots = _arguments(self._parts, texts)
        return Member(number, arguments, params, slots)

    def params(self, number: int) -> tuple[tuple[str, str], ...]:
        """Return the names and values of one job. Raises IndexError for one that is not there."""
        if not 1 <= number <= self.total:
            raise IndexError(f"there is no job {number} of {self.total}")
        rest = number - 1
        pairs: list[tuple[str, str]] = []
        for axis, below in zip(self.axes, self._below, strict=True):
            place, rest = divmod(rest, below)
            pairs += zip(axis.names, axis.at(place), strict=True)
        return tuple(pairs)

    def members(self, first: int = 1, last: int | None = None) -> Iterator[Member]:
        """Yield jobs in order: all, or those from one number to another."""
        return map(self.at, range(first, (self.total if last is None else last) + 1))

    def request(self, number: int, batch: str) -> Request:
        """Return the request of one job of a batch; its id is made of these two."""
        member = self.at(number)
        texts = _texts(number, member.params)
        own: dict[str, Any] = {
            name: filled_value(self.model.spec, name, parts, texts)
            for name, parts in self._own_texts.items()
        }
        spec = replace(
            self.model.spec,
            id=job_id(batch, number),
            command=member.command,
            batch=batch,
            batch_index=number,
            params=member.params,
            slot_places=member.slot_places,
            generated_id=False,
            **own,
        )
        return replace(self.model, spec=spec)


def job_id(batch: str, number: int) -> str:
    """Return the id of a job of a batch."""
    return f"{batch}-{number}"


def _texts_of(command: Command) -> tuple[str, ...]:
    return (command,) if isinstance(command, str) else command


def _texts(number: int, params: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what stands for each name that a placeholder may have."""
    return {**dict(params), NUMBER: str(number), SLOT: SLOT_WORD}


def _places_of(parts: Sequence[Sequence[Piece]]) -> list[Place]:
    return [piece for part in parts for piece in part if isinstance(piece, Place)]


def _check_axes(axes: Sequence[Axis], names: Sequence[str]) -> None:
    taken: dict[str, str] = {}
    for name in names:
        key = variable(name)
        if key in taken:
            which = f"the parameters {shown(taken[key])} and {shown(name)} would both be ${key}"
            twice = f"the parameter {shown(name)} is given twice"
            raise InvalidInput(twice if taken[key] == name else which)
        taken[key] = name
    for axis in axes:
        if not axis.size:
            raise InvalidInput(f"there is no value for {', '.join(axis.names)}")
        for row in axis.rows:
            for name, value in zip(axis.names, row, strict=True):
                check_text(f"the value of {name}", value)
                if len(value.encode()) > MAX_VALUE_BYTES:
                    raise InvalidInput(
                        f"a value of {name} has more than {MAX_VALUE_BYTES:,} bytes",
                        hint="put it into a file and name the file",
                    )


def _line(part: Sequence[Piece], texts: Mapping[str, str], bare: frozenset[int]) -> str:
    """Return a line for the shell, in which each value is one word."""
    words: list[str] = []
    for piece in part:
        if isinstance(piece, str):
            words.append(piece)
        elif piece.names == (SLOT,):
            words.append("${QUEUECTL_SLOT}")
        else:
            may_be_bare = piece.start in bare
            values = values_of(piece, texts)
            each = (shell_line.quoted(value, may_be_bare=may_be_bare) for value in values)
            words.append(" ".join(each))
    return "".join(words)


def _arguments(
    parts: Sequence[Sequence[Piece]], texts: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arguments, and where in them the slot is to be entered.

    A `{}` that is an argument by itself becomes as many as there are values.
    """
    arguments: list[str] = []
    slots: list[str] = []
    for part in parts:
        if len(part) == 1 and isinstance(part[0], Place) and part[0].names != (SLOT,):
            arguments += values_of(part[0], texts)
            continue
        argument = ""
        for piece, text in zip(part, filled(part, texts), strict=True):
            if isinstance(piece, Place) and piece.names == (SLOT,):
                slots.append(f"{len(arguments)}:{len(argument)}")
            argument += text
        arguments.append(argument)
    return tuple(arguments), tuple(slots)
