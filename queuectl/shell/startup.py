"""The first moments: the start-up screen and the prompt stand before the editor is loaded.

Loading it takes longer than all the rest. What is typed meanwhile is shown by the terminal itself,
at once, and kept for the editor, which draws it anew.
"""

from __future__ import annotations

import os
import shutil
import struct
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job import State
from queuectl.presentation.follower import from_home
from queuectl.presentation.layout import cut_start
from queuectl.presentation.snapshot import Snapshot
from queuectl.version import __version__

PROMPT = "queuectl > "
FIRST_COMMANDS = (
    ('enqueue hello "echo Hello"', "put a job into the queue"),
    ("worker start", "start a worker, which runs it"),
    ("list", "see what became of it"),
)
_SHORTEST = 12
"""No less is shown of the store's address, however narrow the terminal."""

_INPUT, _LOCAL = 0, 3
"""Where the flags of input and the local ones are among those of a terminal."""


@frozen
class Line:
    """One line of the start-up screen; `strong` is what is to be typed, and comes first."""

    rest: str
    strong: str = ""

    @property
    def text(self) -> str:
        """The line without any style."""
        return self.strong + self.rest

    @property
    def styled(self) -> str:
        """The line with the strong part in bold."""
        return f"\x1b[1m{self.strong}\x1b[0m{self.rest}" if self.strong else self.rest


def show(snapshot: Snapshot, *, colors: bool) -> None:
    """Write the start-up screen."""
    is_styled = colors and _is_capable()
    lines = welcome(snapshot, shutil.get_terminal_size().columns)
    sys.stdout.writelines(f"{line.styled if is_styled else line.text}\n" for line in lines)
    sys.stdout.write("\n")
    sys.stdout.flush()


def welcome(snapshot: Snapshot, width: int) -> list[Line]:
    """Return the lines of the start-up screen."""
    name = f"queuectl {__version__}, store "
    address = from_home(snapshot.address)
    first = Line(name + cut_start(address, max(width - len(name), _SHORTEST)))
    if snapshot.trouble:
        return [first, *_wrapped(f"store away: {snapshot.trouble}", width)]
    if not snapshot.is_known:
        return [first]
    if snapshot.counts.total:
        return [first, *_wrapped(_summary(snapshot), width)]
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
        rest = f"{'':{column - len(command)}}  {text}" if is_wide else ""
        yield Line(rest, strong=f"  {command}")


def _summary(snapshot: Snapshot) -> str:
    counted = [(state, snapshot.counts.of(state)) for state in State]
    counts = ", ".join(f"{number:,} {state}" for state, number in counted if number)
    workers = len(snapshot.workers)
    if not workers:
        return f"{counts}; no worker is running: worker start"
    return f"{counts}; {workers} worker{'s' * (workers > 1)}"


def _is_capable() -> bool:
    """Whether the terminal can do more than write one row after another."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class HeldKeys:
    """Leaves what is typed in the terminal's buffer until it is closed.

    Without such terminals (Windows) it does nothing.
    """

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._unseen = 0
        try:
            import termios
        except ImportError:  # Windows
            return
        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal)
        self._set(echo=False)

    def show(self) -> None:
        """Write the prompt, where the editor can write over it, and show what is typed there.

        Whoever sees the prompt and types must see that too, so it is written last.
        """
        if not _is_capable():
            return
        if self._before is not None:
            self._unseen = self._unread()
            self._set(echo=True)
        sys.stdout.write(PROMPT)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the terminal as it was, with the cursor at the beginning of the prompt."""
        if self._before is None:
            return
        import termios

        self._set(echo=False)
        if _is_capable():
            shown = len(PROMPT) + max(0, self._unread() - self._unseen)
            rows = (shown - 1) // max(1, shutil.get_terminal_size().columns)
            sys.stdout.write(f"\x1b[{rows}A\r" if rows else "\r")
            sys.stdout.flush()
        termios.tcsetattr(self._terminal, termios.TCSANOW, self._before)
        self._before = None

    def _set(self, *, echo: bool) -> None:
        import termios

        flags = [*(self._before or [])]
        # Enter comes as it is, and is shown as `^M`: the cursor stays in its row.
        flags[_INPUT] = flags[_INPUT] & ~termios.ICRNL | termios.INLCR
        flags[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        flags[_LOCAL] |= termios.ECHO if echo else 0
        termios.tcsetattr(self._terminal, termios.TCSANOW, flags)

    def _unread(self) -> int:
        return _unread(self._terminal)


def begin_row(terminal: int) -> None:
    """Put the cursor at the beginning of an empty row; the terminal must not echo any more.

    What was typed while a command ran has been echoed where the cursor was, and a command may
    have left its last line open. The echo on this row is taken away, as the prompt shows it again.
    Then a row full of blanks is written: one that begins at the left edge stays in its row, any
    other goes on in the next.
    """
    if not _is_capable():
        return
    typed = _unread(terminal)
    echo = f"\x1b[{typed}D\x1b[K" if typed else ""
    blanks = " " * shutil.get_terminal_size().columns
    sys.stdout.write(f"{echo}{blanks}\r\x1b[K")
    sys.stdout.flush()


def _unread(terminal: int) -> int:
    """Return how many bytes have been typed and not read."""
    import fcntl
    import termios

    count: int
    (count,) = struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)))
    return count
