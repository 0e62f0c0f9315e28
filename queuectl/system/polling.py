"""Sleeping until something happens, and how often to look whether it has."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SHARE = 20
LONGEST_GAP = 5.0
ROOTS_SECONDS = 0.5
"""How often to look whether a job that is waited for can still start."""


class Pace:
    """How often to look at something that may be slow: each `seconds`, or at once where it is 0.

    A look that takes long makes the gap after it `_SHARE` times as long, up to `longest`, so that
    looking leaves a server that is slow, or asked by very many, to those who work.
    """

    def __init__(self, seconds: float, longest: float = LONGEST_GAP) -> None:
        self.seconds = seconds
        self._longest = longest
        self._next = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._next

    def hurry(self) -> None:
        """Let the next look be due now."""
        self._next = float("-inf")

    @contextmanager
    def look(self) -> Iterator[None]:
        """Look, and note how long that takes."""
        begun = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + max(self.seconds, min((ended - begun) * _SHARE, self._longest))


class Timer:
    """Rings each `seconds` for something that is done now and then; `first` is until it begins."""

    def __init__(self, seconds: float, first: float = 0.0) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + first

    def rings(self) -> bool:
        """Return whether it is time; then it rings again after its `seconds`."""
        present = time.monotonic()
        if present < self._next:
            return False
        self._next = present + self._seconds
        return True

    def ring_in(self, seconds: float) -> None:
        """Ring next in so many seconds."""
        self._next = time.monotonic() + seconds


def wait_readable(descriptors: list[int], seconds: float | None) -> bool:
    """Sleep until a descriptor is readable (True) or time is up (False; None waits for ever)."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(None if seconds is None else max(0.0, seconds) * 1000))
