"""From what a person writes of a sweep (`1-100:2%8`, `lr=0.1,0.2`) to its axes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.placeholders import NAME
from queuectl.domain.sweep import Axis
from queuectl.domain.sweep_names import INDEX

_RANGE = re.compile(r"(\d{1,15})(?:-(\d{1,15})(?::(\d{1,15}))?)?", re.ASCII)
_ARRAY_HINT = "for example 1-100, 0-9:3 or 1,4,7-9; %8 behind it lets 8 of them run at once"
_PARAM_HINT = "for example lr=0.1,0.2; a value with a comma goes in double quotes: 'name=\"a,b\",c'"
MAX_AT_ONCE = 1_000_000


def check_parameter(name: object) -> str:
    """Return the name of a parameter. Raises InvalidInput otherwise."""
    if isinstance(name, str) and len(name) <= 64 and re.fullmatch(NAME, name):
        return name
    raise InvalidInput(
        f"{shown(name)} cannot be the name of a parameter: letters, digits, _ and -, "
        "beginning with a letter"
    )


def array_axis(text: str) -> tuple[Axis, int | None]:
    """Return the numbers of an array, and how many of its jobs may run at once, if it says so.

    Raises InvalidInput.
    """
    numbers, percent, most = text.strip().partition("%")
    ranges = tuple(_range(part.strip(), text) for part in numbers.split(","))
    at_once = int(most) if re.fullmatch(r"\d{1,9}", most, re.ASCII) else 0
    if percent and not 1 <= at_once <= MAX_AT_ONCE:
        raise InvalidInput(f"array {shown(text)}: '%' takes how many run at once", _ARRAY_HINT)
    return Axis((INDEX,), ranges=ranges), at_once if percent else None


def _range(part: str, text: str) -> range:
    found = _RANGE.fullmatch(part)
    if not found:
        raise InvalidInput(f"array {shown(text)}: {shown(part)} is no range", _ARRAY_HINT)
    first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
    if last < first:
        raise InvalidInput(
            f"array {shown(text)}: {part} counts down", f"did you mean {last}-{first}?"
        )
    if not step:
        raise InvalidInput(f"array {shown(text)}: {part} has the step 0", _ARRAY_HINT)
    return range(first, last + 1, step)


def param_axis(text: str) -> Axis:
    """Return the values of a parameter, written as NAME=VALUE,VALUE. Raises InvalidInput."""
    name, equals, values = text.partition("=")
    if not equals:
        raise InvalidInput(f"--param {shown(text)} must be NAME=VALUE,VALUE", _PARAM_HINT)
    return values_axis(check_parameter(name.strip()), split_values(values, text))


def values_axis(name: str, values: Iterable[str]) -> Axis:
    """Return the axis of one parameter."""
    return Axis((name,), tuple((value,) for value in values))


_VALUE = re.compile(r'(?:"((?:[^"]|"")*)"|((?!")[^,]*))(,|\Z)', re.DOTALL)


def split_values(text: str, whole: str) -> list[str]:
    """Return values with commas between them; in double quotes a comma, and `""`, is of a value."""
    values: list[str] = []
    at, comma = 0, ","
    while comma:
        found = _VALUE.match(text, at)
        if not found:
            raise InvalidInput(
                f"--param {shown(whole)}: a value in quotes ends with them", _PARAM_HINT
            )
        in_quotes, plain, comma = found.groups()
        values.append(plain if in_quotes is None else in_quotes.replace('""', '"'))
        at = found.end()
    return values


def rows_axis(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Axis:
    """Return the axis of parameters whose values go together. Raises InvalidInput."""
    return Axis(tuple(map(check_parameter, names)), tuple(map(tuple, rows)))
