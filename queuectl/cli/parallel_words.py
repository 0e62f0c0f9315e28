"""What stands behind `:::` in the words of `add`, as users of GNU parallel type it. Pure.

`:::` has values, and `::::` files with one value a line; each makes every combination with those
before it. With a `+` behind it the values go together with those of the source before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from queuectl.domain.sweep import Axis

_MARKS = frozenset((":::", "::::", ":::+", "::::+"))


class Source(NamedTuple):
    """The words behind one mark: values, or the names of files."""

    mark: str
    words: tuple[str, ...]


def split_at_sources(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[Source, ...]]:
    """Return the words before the first mark, and what stands behind each."""
    starts = [place for place, word in enumerate(words) if word in _MARKS]
    if not starts:
        return tuple(words), ()
    ends = [*starts[1:], len(words)]
    sources = tuple(
        Source(words[start], tuple(words[start + 1 : end]))
        for start, end in zip(starts, ends, strict=True)
    )
    return tuple(words[: starts[0]]), sources


class Axes(NamedTuple):
    """The axes of sources, and how many values a shorter source beside them has left out."""

    axes: list[Axis]
    left_out: int


def axes_of(sources: Sequence[Source], values_in: Callable[[str], list[str]]) -> Axes:
    """Return the axes that sources mean; `values_in` reads a file. The first source is `1`.

    Raises InvalidInput for a source without values, and for one that goes with the source before
    where there is none.
    """
    from queuectl.domain.errors import InvalidInput
    from queuectl.domain.sweep import Axis

    axes: list[Axis] = []
    number = left_out = 0
    for mark, words in sources:
        is_file = mark.startswith("::::")
        columns = [values_in(word) for word in words] if is_file else [list(words)]
        for values in columns or [[]]:
            number += 1
            if not values:
                raise InvalidInput(f"no value stands behind '{mark}'")
            if not mark.endswith("+"):
                axes.append(Axis((str(number),), tuple((value,) for value in values)))
                continue
            if not axes:
                raise InvalidInput(f"'{mark}' goes with the values before it, and there are none")
            names, rows, _ = axes[-1]
            left_out += abs(len(rows) - len(values))
            linked = tuple((*row, value) for row, value in zip(rows, values, strict=False))
            axes[-1] = Axis((*names, str(number)), linked)
    return Axes(axes, left_out)
