"""How far something has come, on one line of standard error that is written over."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TypeVar

from queuectl.domain.text import printable
from queuectl.presentation.layout import cut

_AT_FIRST_SECONDS = 0.3
"""What takes no longer shows no progress."""
_SLOW_SECONDS = 1.0
"""How long one waits for the next of what is looked for before one is told."""

_EVERY_SECONDS = 0.1
_T = TypeVar("_T")
_ERASE = "\r\x1b[K"


class Progress:
    """The line, for a person at a terminal; where it is not `is_on` nothing is written."""

    def __init__(self) -> None:
        self.is_on = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._next = time.monotonic() + _AT_FIRST_SECONDS
        self._is_shown = False

    def is_due(self) -> bool:
        """Whether it is time to show something new; false away from a terminal."""
        return self.is_on and time.monotonic() >= self._next

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


def while_slow(found: Iterator[_T], what: str) -> Iterator[_T]:
    """Yield what is found; while the next is long in coming, a line says what is being done.

    That takes a thread, as the search may be one call. Away from a terminal nothing is done.
    """
    progress = Progress()
    if not progress.is_on:
        yield from found
        return
    from threading import Event, Lock, Thread  # of searches only

    turn, ended = Lock(), Event()
    began: float | None = None

    def watch() -> None:
        while not ended.wait(_EVERY_SECONDS):
            with turn:
                seconds = 0.0 if began is None else time.monotonic() - began
                if seconds > _SLOW_SECONDS:
                    progress.show(f"{what}, {seconds:.0f} s")

    Thread(target=watch, daemon=True).start()
    try:
        while True:
            began = time.monotonic()
            one = next(found, None)
            with turn:
                began = None
                progress.clear()
            if one is None:
                return
            yield one
    finally:
        ended.set()
        with turn:
            progress.clear()
