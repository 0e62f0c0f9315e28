"""The output of a command as HTML: its colours as classes, everything else as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from markupsafe import Markup, escape

from queuectl.domain.frozen import frozen
from queuectl.domain.text import printable

MOST_LINES = 2000
_CODE = re.compile(
    r"\x1b(?:\[(?P<sgr>[\d;:]*)m|\[[0-?]*[ -/]*[@-~]"
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
_LEVELS = (0, 95, 135, 175, 215, 255)
_BASIC = (
    (0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16),
    (36, 114, 200), (188, 63, 188), (17, 168, 205), (229, 229, 229),
    (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67),
    (59, 142, 234), (214, 112, 214), (41, 184, 219), (255, 255, 255),
)  # fmt: skip
"""The sixteen colours that the style sheet has; the others are shown by the nearest of them."""


@frozen
class Look:
    """How text is shown: colours by their number of sixteen, None for the page's own."""

    ink: int | None = None
    paper: int | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underlined: bool = False
    inverse: bool = False

    @property
    def classes(self) -> str:
        """The classes of the style sheet that show it."""
        names = [f"i{self.ink}"] if self.ink is not None else []
        names += [f"p{self.paper}"] if self.paper is not None else []
        for name in ("bold", "dim", "italic", "underlined", "inverse"):
            names += [name] if getattr(self, name) else []
        return " ".join(names)


def lines_of(text: str) -> list[Markup]:
    """Return the last lines of an output, each as HTML that can only show it.

    A carriage return writes over its line, moves of the cursor are left out, and control
    characters are written as escapes.
    """
    found = text.split("\n")
    if found and not found[-1]:
        found.pop()
    look = Look()
    shown = []
    for line in found:
        html, look = _line(line.rstrip("\r"), look)
        shown.append(html)
    return shown[-MOST_LINES:]


def _line(line: str, look: Look) -> tuple[Markup, Look]:
    parts: list[Markup] = []
    for piece, after in _pieces(line, look):
        before, overwritten, last = piece.rpartition("\r")
        if overwritten:
            parts.clear()
        parts.append(_shown(last if overwritten else before + last, look))
        look = after
    return Markup("").join(parts), look


def _pieces(line: str, look: Look) -> Iterator[tuple[str, Look]]:
    """Yield each stretch of text with the look that follows it."""
    at = 0
    for code in _CODE.finditer(line):
        if code["sgr"] is not None:
            look = _changed(look, code["sgr"])
        yield line[at : code.start()], look
        at = code.end()
    yield line[at:], look


def _shown(text: str, look: Look) -> Markup:
    if not text:
        return Markup("")
    safe = escape(printable(text.expandtabs(8)))
    return Markup('<span class="{}">{}</span>').format(look.classes, safe) if look.classes else safe


def _changed(look: Look, codes: str) -> Look:
    """Return a look after the numbers of a colour code."""
    numbers = [int(part[:6] or 0) for part in codes.replace(":", ";").split(";")]
    while numbers:
        number = numbers.pop(0)
        if number in (38, 48):
            color = _color(numbers)
            look = replace(look, ink=color) if number == 38 else replace(look, paper=color)
        elif number == 0:
            look = Look()
        elif number in _CHANGES:
            look = replace(look, **_CHANGES[number])
        elif 30 <= number <= 37 or 90 <= number <= 97:
            look = replace(look, ink=number - 30 if number < 40 else number - 82)
        elif 40 <= number <= 47 or 100 <= number <= 107:
            look = replace(look, paper=number - 40 if number < 50 else number - 92)
    return look


_CHANGES: dict[int, dict[str, Any]] = {
    1: {"bold": True}, 2: {"dim": True}, 3: {"italic": True}, 4: {"underlined": True},
    7: {"inverse": True}, 22: {"bold": False, "dim": False}, 23: {"italic": False},
    24: {"underlined": False}, 27: {"inverse": False}, 39: {"ink": None}, 49: {"paper": None},
}  # fmt: skip


def _color(numbers: list[int]) -> int | None:
    """Take the rest of `38;5;N` or `38;2;R;G;B` off; return the nearest of the sixteen colours."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        return _of_256(min(numbers.pop(0), 255))
    if kind == 2 and len(numbers) >= 3:
        return _nearest((numbers.pop(0), numbers.pop(0), numbers.pop(0)))
    numbers.clear()  # it is cut short: what is left means nothing by itself
    return None


def _of_256(number: int) -> int:
    if number < 16:
        return number
    if number >= 232:
        return _nearest((8 + 10 * (number - 232),) * 3)
    red, rest = divmod(number - 16, 36)
    return _nearest((_LEVELS[red], _LEVELS[rest // 6], _LEVELS[rest % 6]))


def _nearest(color: tuple[int, int, int]) -> int:
    def distance(number: int) -> int:
        return sum((one - other) ** 2 for one, other in zip(color, _BASIC[number], strict=True))

    return min(range(16), key=distance)
