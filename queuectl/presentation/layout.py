"""Text in the columns of a terminal: its width, cutting it, sharing out the room. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

GAP = "  "
_ELLIPSIS = "…"
_LEAST_LAST = 20
"""The last column gives way to the others only down to this width."""
_LEAST = 6
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
    """Return which columns of a table are shown, and how wide each is.

    `lines` are its cells. Where there is not room for all, the last column is cut down to a
    readable width; then columns are left out, those with the highest number in `yields` first
    (0: never); at last the widest are cut.
    """
    widths = {at: max(map(width, cells)) for at, cells in enumerate(zip(*lines, strict=True))}
    last = max(widths)
    least_last = min(widths[last], _LEAST_LAST)
    leaving = sorted((at for at in widths if yields[at]), key=lambda at: yields[at])
    while leaving and _taken({**widths, last: least_last}) > room:
        del widths[leaving.pop()]
    widths[last] = max(least_last, min(widths[last], room - _taken({**widths, last: 0})))
    while (over := _taken(widths) - room) > 0:
        widest = max(widths, key=lambda at: (widths[at], at))
        if widths[widest] <= _LEAST:
            break
        widths[widest] = max(_LEAST, widths[widest] - max(1, over // len(widths)))
    return widths


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
