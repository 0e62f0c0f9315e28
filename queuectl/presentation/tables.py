"""Values to text: aligned columns, tables on a terminal, JSON. Knows no store."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from queuectl.domain.frozen import frozen
from queuectl.domain.sizes import size_text
from queuectl.domain.text import printable
from queuectl.domain.times import iso
from queuectl.domain.views import NO_CONTEXT, WaitContext
from queuectl.presentation.console import terminal_columns
from queuectl.presentation.layout import GAP, arrange, cut, width

if TYPE_CHECKING:
    from rich.console import Console

Row = TypeVar("Row")

_BLOCK = 500
_WIDEST = 60
_NOTHING = "-"
_COLORS = "black red green yellow blue magenta cyan white".split()
_SGR = {"bold": "1", "dim": "2", **{name: str(30 + n) for n, name in enumerate(_COLORS)}}
"""What selects each style on a terminal (ECMA-48, SGR)."""

_FEW_SECONDS, _MANY_SECONDS = 0.0995, 99.95


@frozen
class Column(Generic[Row]):
    """One column of a table.

    With `optional` a person sees it only when it has something in it, and what is `usual` in no
    case. The higher `yields`, the sooner it is left out where the terminal is narrow; 0 is never.
    """

    title: str
    text: Callable[[Row], str]
    optional: bool = False
    style: Callable[[Row], str] = lambda _row: ""
    yields: int = 0
    usual: str = ""


@frozen
class Clock:
    """The moment at which jobs are told of, and how its times are written.

    `for_person` is for a terminal, else they are as in JSON. `now` is the store's time, so that
    "in 5s" is true whatever this machine's clock says; `wait_context` is what else was so then.
    """

    now: datetime
    for_person: bool
    wait_context: WaitContext = NO_CONTEXT

    def at(self, instant: datetime) -> str:
        """Return a point in time: `14:30:05`, or `2030-01-31 14:30` when it is not today."""
        if not self.for_person:
            return iso(instant)
        try:
            local, today = instant.astimezone(), self.now.astimezone()
        except (OverflowError, OSError, ValueError):  # the edge of the calendar
            return iso(instant)
        return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M")

    def around(self, instant: datetime | None) -> str:
        """Return a time seen from now: `in 5s`, `2m ago`; nothing for none."""
        if instant is None:
            return ""
        if not self.for_person:
            return iso(instant)
        seconds = (instant - self.now).total_seconds()
        if abs(seconds) < 1:
            return "now"
        return f"in {rough(seconds)}" if seconds > 0 else f"{rough(-seconds)} ago"


def rough(seconds: float) -> str:
    """Return a length of time in its largest unit that counts: `5s`, `3m`, `2h`, `9d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds > 1.95 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def duration(seconds: float) -> str:
    """Return how long something took: `12 ms`, `5.0 s`, `2m 05s`, `1h 02m`."""
    if seconds < _FEW_SECONDS:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MANY_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def cpu_time(seconds: float | None) -> str:
    """Return a processor time, as a duration; nothing where it is not known."""
    return "" if seconds is None else duration(seconds)


def memory(size: int | None) -> str:
    """Return an amount of memory: `640 KB`, `1.5 GB`; nothing where it is not known."""
    return "" if size is None else size_text(size)


def elapsed(seconds: float) -> str:
    """Return how long something has gone on, as a clock shows it: `0:05`, `1:02:03`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(
    rows: Iterable[Row],
    columns: Sequence[Column[Row]],
    *,
    colors: bool,
    for_person: bool | None = None,
) -> int:
    """Write rows as a table; return how many there were. Reads a limited number at a time.

    For a person, who is taken to be at a terminal unless that is said, it is no wider than the
    screen. Else every column is there and no cell is empty, so that scripts can count them.
    """
    for_person = sys.stdout.isatty() if for_person is None else for_person
    source, count = iter(rows), 0
    while block := list(islice(source, _BLOCK)):
        texts = cells(block, columns, for_person=for_person)
        if not count:
            kept = used(columns, texts) if for_person else range(len(columns))
        lines = [[line[at] for at in kept] for line in texts]
        titles = [] if count else [[columns[at].title for at in kept]]
        if for_person:
            _write_fitting([columns[at] for at in kept], titles, block, lines, colors=colors)
        else:
            _write_plain(titles + [[text or _NOTHING for text in line] for line in lines])
        count += len(block)
    return count


def cells(
    rows: Iterable[Row], columns: Sequence[Column[Row]], *, for_person: bool = True
) -> list[list[str]]:
    """Return the text of each column for each row."""

    def text(row: Row, column: Column[Row]) -> str:
        value = printable(column.text(row))
        return "" if for_person and value == column.usual else value

    return [[text(row, column) for column in columns] for row in rows]


def used(columns: Sequence[Column[Row]], texts: Sequence[Sequence[str]]) -> Sequence[int]:
    """Return the numbers of the columns that a person sees."""
    return [
        at
        for at, column in enumerate(columns)
        if not column.optional or any(line[at] for line in texts)
    ]


def _write_plain(lines: Sequence[Sequence[str]]) -> None:
    widths = [min(max(map(width, column)), _WIDEST) for column in zip(*lines, strict=True)]
    widths[-1] = 0
    for line in lines:
        padded = (text + " " * (w - width(text)) for text, w in zip(line, widths, strict=True))
        sys.stdout.write(GAP.join(padded).rstrip() + "\n")


def console(*, colors: bool) -> Console:
    """Return what writes to this terminal."""
    from rich.console import Console

    return Console(no_color=not colors, highlight=False, emoji=False, markup=False)


def _write_fitting(
    columns: Sequence[Column[Row]],
    titles: list[list[str]],
    rows: Sequence[Row],
    lines: list[list[str]],
    *,
    colors: bool,
) -> None:
    """Write a table that is no wider than the terminal."""
    widths = arrange(titles + lines, [column.yields for column in columns], terminal_columns())
    last = max(widths)
    can_style = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def write(line: list[str], styles: Callable[[int], str]) -> None:
        parts = []
        for at, wide in widths.items():
            text = cut(line[at], wide)
            padding = "" if at == last else " " * (wide - width(text))
            codes = _codes(styles(at), colors=colors) if text and can_style else ""
            parts.append((f"\x1b[{codes}m{text}\x1b[0m" if codes else text) + padding)
        sys.stdout.write(GAP.join(parts).rstrip(" ") + "\n")

    for line in titles:
        write(line, lambda _at: "bold")
    for row, line in zip(rows, lines, strict=True):
        write(line, lambda at, row=row: columns[at].style(row))  # type: ignore[misc]


def _codes(style: str, *, colors: bool) -> str:
    """Return the codes by which a terminal shows a style such as `bold red`; no colours unless
    they are wanted.
    """
    words = style.split()
    return ";".join(_SGR[word] for word in words if colors or word in ("bold", "dim"))


def styled(lines: Iterable[tuple[str, str, str]], *, colors: bool) -> None:
    """Write names and values on a terminal, each value in its style and wrapped beside its name."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, len(GAP), 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value, style in lines:
        grid.add_row(Text(name, "dim"), Text(printable(value), style))
    console(colors=colors).print(grid)


def pairs(lines: Iterable[tuple[str, str]]) -> None:
    """Write names and values, the values aligned."""
    rows = list(lines)
    widest = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        sys.stdout.write(f"{name:<{widest}}{GAP}{printable(value)}".rstrip() + "\n")


def write_json(value: Any) -> None:
    """Write one JSON value in UTF-8 and nothing else."""
    from json import dumps  # which tables have no use for

    sys.stdout.write(dumps(value, indent=2, ensure_ascii=_must_escape()) + "\n")


def _must_escape() -> bool:
    """Whether the terminal cannot show all of Unicode; `\\u` escapes are JSON everywhere."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


class JsonArray:
    """Writes one JSON array, element by element, so that it may be longer than memory."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any) -> None:
        """Write one element."""
        sys.stdout.write("[\n" if self._count == 0 else ",\n")
        from json import dumps

        sys.stdout.write(dumps(value, ensure_ascii=_must_escape()))
        self._count += 1

    def close(self) -> None:
        """Write the end of the array."""
        sys.stdout.write("\n]\n" if self._count else "[]\n")
