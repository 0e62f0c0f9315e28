"""The keys of the screen, as help on a whole screen tells of them. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from queuectl.presentation.layout import fit

_KEYS = (
    ("↑ ↓ j k", "move"),
    ("PgUp PgDn", "a page; also Ctrl-B, Ctrl-F, Space"),
    ("Home End g G", "the first, the last"),
    ("Tab Shift-Tab", "the next pane, the one before"),
    ("Enter l", "the log of the job, or of the worker's job"),
    ("c", "cancel the job"),
    ("r", "retry the job"),
    ("d Delete", "delete the job"),
    ("p", "pause the job, or let it go on"),
    ("P", "pause the job's queue, or open it again"),
    ("/", "filter: words in id, command or error; failed,dead; queue=NAME; label=NAME"),
    ("Esc", "no filter"),
    ("q Ctrl-C", "quit; in a log q goes back"),
)
_IN_LOG = (
    ("Tab", "standard error, standard output"),
    ("[ ]", "the run before, the run after"),
    ("↑", "stop following the end; G follows again"),
)
_COLUMN = 15
_ROOMY = 60


def help_lines(columns: int) -> Iterator[str]:
    """Yield the lines of the help, each of at most so many columns."""
    yield from _listed(_KEYS, columns)
    if columns >= _ROOMY:
        yield ""
    yield "In a log:"[:columns]
    yield from _listed(_IN_LOG, columns)


def _listed(keys: tuple[tuple[str, str], ...], columns: int) -> Iterator[str]:
    """Yield names of keys with what they do beside them, or after them on a narrow screen."""
    for names, what in keys:
        if columns < _ROOMY:
            yield from textwrap.wrap(f"{names}: {what}", columns, subsequent_indent="  ")
            continue
        first, *others = textwrap.wrap(what, columns - _COLUMN)
        yield fit(names, _COLUMN) + first
        yield from (" " * _COLUMN + line for line in others)
