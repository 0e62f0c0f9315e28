"""What a person sees first: where they are, and what to type."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from queuectl.domain.frozen import frozen
from queuectl.domain.job import State
from queuectl.presentation.layout import cut_start
from queuectl.shell.snapshot import Snapshot
from queuectl.version import __version__

FIRST_COMMANDS = (
    ('enqueue hello "echo Hello"', "put a job into the queue"),
    ("worker start", "start a worker, which runs it"),
    ("list", "see what became of it"),
)


_SHORTEST = 12
"""No less is shown of the store's address, however narrow the terminal."""


@frozen
class Line:
    """One line of the start-up screen; `strong` is what is to be typed, and comes first."""

    rest: str
    strong: str = ""

    @property
    def text(self) -> str:
        """The line without any style."""
        return self.strong + self.rest

    def styled(self) -> str:
        """Return the line with the strong part in bold."""
        return f"\x1b[1m{self.strong}\x1b[0m{self.rest}" if self.strong else self.rest


def welcome(snapshot: Snapshot, width: int) -> list[Line]:
    """Return the lines of the start-up screen."""
    name = f"queuectl {__version__}, store "
    first = Line(name + cut_start(snapshot.address, max(width - len(name), _SHORTEST)))
    if snapshot.trouble:
        return [first, *_wrapped(f"store away: {snapshot.trouble}", width)]
    if not snapshot.is_known:
        return [first]
    if snapshot.counts.total:
        return [first, *_wrapped(_standing(snapshot), width)]
    begin = _wrapped("No jobs yet. Three commands to begin with:", width)
    return [first, *begin, *_first_commands(width)]


def _wrapped(text: str, width: int) -> list[Line]:
    """Break a text between its words."""
    return [Line(part) for part in textwrap.wrap(text, max(width, 1), break_on_hyphens=False)]


def _first_commands(width: int) -> Iterator[Line]:
    """Yield the first commands to type, with what they do where there is room for it."""
    column = max(len(command) for command, _ in FIRST_COMMANDS)
    is_wide = all(column + len(text) + 4 <= width for _, text in FIRST_COMMANDS)
    for command, text in FIRST_COMMANDS:
        told = f"{'':{column - len(command)}}  {text}" if is_wide else ""
        yield Line(told, strong=f"  {command}")


def _standing(snapshot: Snapshot) -> str:
    counted = [(state, snapshot.counts.of(state)) for state in State]
    counts = ", ".join(f"{number:,} {state}" for state, number in counted if number)
    workers = len(snapshot.workers)
    if not workers:
        return f"{counts}; no worker is running: worker start"
    return f"{counts}; {workers} worker{'s' * (workers > 1)}"
