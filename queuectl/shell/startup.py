"""The first moments: the start-up screen and the prompt stand before the editor is loaded.

Loading it takes longer than all the rest. What is typed meanwhile is shown by the terminal itself,
at once, and kept for the editor, which draws it anew.
"""

from __future__ import annotations

import os
import shutil
import struct
import sys
from types import TracebackType
from typing import Any

from queuectl.shell.snapshot import Snapshot
from queuectl.shell.welcome import welcome

PROMPT = "queuectl > "
_INPUT, _LOCAL = 0, 3
"""Where the flags of input and the local ones are among those of a terminal."""


def is_capable() -> bool:
    """Whether the terminal can do more than write one row after another."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def show(snapshot: Snapshot, *, colors: bool) -> None:
    """Write the start-up screen."""
    styled = colors and is_capable()
    for line in welcome(snapshot, shutil.get_terminal_size().columns):
        sys.stdout.write(line.styled() if styled else line.text)
        sys.stdout.write("\n")
    sys.stdout.write("\n")
    sys.stdout.flush()


class HeldKeys:
    """Leaves what is typed unread until the editor takes over. A context manager, which ends it.

    Without such terminals (Windows) it does nothing.
    """

    def __init__(self) -> None:
        try:
            import termios
        except ImportError:  # Windows
            self._before: list[Any] | None = None
            return
        self._terminal = sys.stdin.fileno()
        self._typed = 0
        self._before = termios.tcgetattr(self._terminal)
        self._set(echo=False)

    def __enter__(self) -> HeldKeys:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_go()

    def show(self) -> None:
        """Write the prompt, where the editor can write over it, and show what is typed there.

        Whoever sees the prompt and types must see that too, so it is written last.
        """
        if not is_capable():
            return
        if self._before is not None:
            self._typed = self._unread()
            self._set(echo=True)
        sys.stdout.write(PROMPT)
        sys.stdout.flush()

    def let_go(self) -> None:
        """Leave the terminal as it was, with the cursor at the beginning of the prompt."""
        if self._before is None:
            return
        import termios

        self._set(echo=False)
        shown = len(PROMPT) + max(0, self._unread() - self._typed)
        _back_over(shown)
        termios.tcsetattr(self._terminal, termios.TCSANOW, self._before)
        self._before = None

    def _set(self, *, echo: bool) -> None:
        import termios

        held = [*(self._before or [])]
        # Enter comes as it is, and is shown as `^M`: the cursor stays in its row.
        held[_INPUT] = held[_INPUT] & ~termios.ICRNL | termios.INLCR
        held[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        held[_LOCAL] |= termios.ECHO if echo else 0
        termios.tcsetattr(self._terminal, termios.TCSANOW, held)

    def _unread(self) -> int:
        """Return how many bytes have been typed and not read."""
        import fcntl
        import termios

        count: int
        (count,) = struct.unpack("i", fcntl.ioctl(self._terminal, termios.FIONREAD, bytes(4)))
        return count


def _back_over(shown: int) -> None:
    """Put the cursor where the editor begins to draw: before so many characters, in one row."""
    if is_capable():
        rows = (shown - 1) // max(1, shutil.get_terminal_size().columns)
        sys.stdout.write(f"\x1b[{rows}A\r" if rows else "\r")
        sys.stdout.flush()
