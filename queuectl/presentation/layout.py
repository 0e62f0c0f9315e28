"""Text in the columns of a terminal: its width, cutting it, sharing out the room. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

GAP = "  "
_ELLIPSIS = "…"
_LEAST, _LEAST_KEPT = 10, 20
"""The widths below which columns are not cut while another can still be left out: such as may be
left out themselves, and such as never are.
"""
_LEAST_FIRST, _LEAST_LAST = 32, 20
"""What the first column and the last keep until others have given way."""
_BARS = " ▁▂▃▄▅▆▇█"


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    from unicodedata import category, combining, east_asian_width  # few tables need it

    if combining(char) or category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def cut(text: str, room: int) -> str:
    """Return a text that takes at most `room` columns, with `…` where something is left out."""
    if width(text) <= room:
        return text
    if room < 1:
        return ""
    kept, taken = [], 0
    for char in text:
        taken += _char_width(char)
        if taken > room - 1:
            break
        kept.append(char)
    return "".join(kept) + _ELLIPSIS


def cut_start(text: str, room: int) -> str:
    """Return the end of a text that takes at most `room` columns, after `…` if it is cut.

    Of an address the end tells more than the beginning.
    """
    if width(text) <= room:
        return text
    kept = text
    while kept and width(kept) > room - 1:
        kept = kept[1:]
    return _ELLIPSIS + kept


def fit(text: str, room: int) -> str:
    """Return a text that takes exactly `room` columns, cut or padded."""
    shown = cut(text, room)
    return shown + " " * (room - width(shown))


def wrap(text: str, room: int) -> Iterator[str]:
    """Yield a text in pieces of at most `room` columns; an empty text is one empty piece."""
    if text.isascii():
        yield from (text[at : at + room] for at in range(0, max(len(text), 1), room))
        return
    piece, taken = "", 0
    for char in text:
        wide = _char_width(char)
        if piece and taken + wide > room:
            yield piece
            piece, taken = "", 0
        piece, taken = piece + char, taken + wide
    yield piece


def arrange(lines: Sequence[Sequence[str]], yields: Sequence[int], room: int) -> dict[int, int]:
    """Return which columns of a table are shown, and how wide each is; never wider than `room`.

    `lines` are its cells. Where there is not room for all, first the last column is cut down to
    a width that can be read, then the widest of the rest, and the first column last, as that is
    what one types next. What does not fit even so is left out: the columns with the highest
    number in `yields` first (0: never). At last all are cut, down to nothing.
    """
    natural = {at: max(map(width, cells)) for at, cells in enumerate(zip(*lines, strict=True))}
    least = {at: min(wide, _LEAST if yields[at] else _LEAST_KEPT) for at, wide in natural.items()}
    leaving = sorted((at for at in natural if yields[at]), key=lambda at: yields[at])
    while leaving and _taken(least) > room:
        del least[leaving.pop()]
    shown = {at: natural[at] for at in least}
    first, last = min(shown), max(shown)
    for floor in (
        {**shown, last: _LEAST_LAST},
        {**least, first: _LEAST_FIRST},
        least,
        dict.fromkeys(shown, 1),
    ):
        shown = _level(shown, floor, room)
    while _taken(shown) > room and len(shown) > 1:
        shown.popitem()
    return shown if _taken(shown) <= room else {first: max(0, room)}


def _level(widths: dict[int, int], least: dict[int, int], room: int) -> dict[int, int]:
    """Return widths that fit into `room`, the widest cut to one level, none to below its least."""

    def at_level(level: int) -> dict[int, int]:
        return {at: min(wide, max(level, least[at])) for at, wide in widths.items()}

    low, high = 0, max(widths.values())
    while low < high:  # to the highest level that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _taken(at_level(middle)) <= room else (low, middle - 1)
    levelled = at_level(low)
    for at in sorted(widths, reverse=True):  # what is left is shared out, to the right first
        if levelled[at] < widths[at] and _taken(levelled) < room:
            levelled[at] += 1
    return levelled


def _taken(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def sparkline(values: Sequence[float], room: int | None = None) -> str:
    """Return one bar for each of the last `room` values, the largest of full height.

    What is 0 is left blank; whatever is more can be seen.
    """
    shown = values if room is None else values[-room:]
    most = max(shown, default=0) or 1
    return "".join(_BARS[math.ceil(value * 8 / most)] for value in shown)


def length(seconds: float | None) -> str:
    """Return a length of time with two digits that count: `1.3 ms`, `45 s`, `2.5 h`."""
    if seconds is None:
        return ""
    for size, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds * 1000)} ms"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
