"""How far something has come, on one line of standard error that is written over."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from queuectl.domain.text import printable
from queuectl.presentation.layout import cut

_AT_FIRST_SECONDS = 0.3
"""What takes no longer shows no progress."""
_EVERY_SECONDS = 0.1
_ERASE = "\r\x1b[K"


class Progress:
    """The line, for a person at a terminal; elsewhere nothing is written."""

    def __init__(self) -> None:
        self._is_on = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._next = time.monotonic() + _AT_FIRST_SECONDS
        self._is_shown = False

    def is_due(self) -> bool:
        """Whether it is time to show something new; false away from a terminal."""
        return self._is_on and time.monotonic() >= self._next

    def show(self, text: str) -> None:
        """Write the line over, if that is due."""
        if not self.is_due():
            return
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        sys.stdout.flush()
        sys.stderr.write(_ERASE + cut(printable(text), columns - 1))
        sys.stderr.flush()
        self._is_shown = True
        self._next = time.monotonic() + _EVERY_SECONDS

    def show_copied(self, done: int, total: int) -> None:
        """Write which part of a file has been copied, if that is due."""
        self.show(f"{100 * done // max(total, 1)} % copied")

    def clear(self) -> None:
        """Take the line away, so that something else can be written there."""
        if self._is_shown:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
            self._is_shown = False


@contextlib.contextmanager
def progress_line() -> Iterator[Progress]:
    """Return the line, which is taken away in the end."""
    progress = Progress()
    try:
        yield progress
    finally:
        progress.clear()
