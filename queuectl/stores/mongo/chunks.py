"""Commands for many documents, cut into pieces that a slow server too answers in time.

How many documents a server changes in a second is not known beforehand: from a hundred to a
hundred thousand. So each piece tells how long the next may be.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pymongo.collection import Collection

from queuectl.stores.records import BATCH

QUICK_SECONDS = 0.25
"""What takes less may be twice as long the next time."""

SLOW_SECONDS = 0.5
"""What takes longer is cut to what the server does in `QUICK_SECONDS`."""

_FEWEST = 10
"""A server that is slow with so few is slow to answer at all, and more commands are no help."""

_T = TypeVar("_T")
_Document = dict[str, Any]


class Pieces:
    """How many documents go into one command of a kind, as the last one took.

    `between` is called after each command. `share` is that of the time which a command may take
    elsewhere, for those that are many and can wait.
    """

    def __init__(
        self,
        first: int,
        most: int = BATCH,
        between: Callable[[], None] = lambda: None,
        share: float = 1.0,
    ) -> None:
        self.size = first
        self._most = most
        self._between = between
        self._share = share

    def of(self, items: Sequence[_T]) -> Iterator[Sequence[_T]]:
        """Yield the items in pieces; the time until the next is asked for is what one takes."""
        at = 0
        while at < len(items):
            piece = items[at : at + self.size]
            at += len(piece)
            begun = time.monotonic()
            yield piece
            self.learn(len(piece), time.monotonic() - begun)

    def learn(self, number: int, seconds: float) -> None:
        """Take note of how long a command for so many documents took."""
        quick = QUICK_SECONDS * self._share
        if seconds > SLOW_SECONDS * self._share:
            self.size = max(_FEWEST, int(number * quick / seconds))
        elif seconds < quick and number >= self.size:
            self.size = min(self._most, 2 * self.size)
        self._between()


class Budget:
    """How many documents one call may still change, and until when.

    However slow the server is, some are changed: time counts once any have been.
    """

    def __init__(self, documents: int = sys.maxsize, seconds: float = math.inf) -> None:
        self.left = self._documents = documents
        self._ends_at = time.monotonic() + seconds

    @property
    def is_spent(self) -> bool:
        """Whether the rest is for another call."""
        is_late = time.monotonic() >= self._ends_at
        return self.left <= 0 or (is_late and self.left < self._documents)


def change_all(
    place: Collection[_Document],
    where: _Document,
    pieces: Pieces,
    change: Callable[[_Document], object],
) -> int:
    """Change all documents that match until none does; return how many there were.

    `change` gets the filter for a piece of them, and must leave none of these matching.
    """
    changed = 0
    while ids := [found["_id"] for found in place.find(where, {"_id": True}).limit(pieces.size)]:
        begun = time.monotonic()
        change({"_id": {"$in": ids}, **where})
        pieces.learn(len(ids), time.monotonic() - begun)
        changed += len(ids)
    return changed


def by_id(
    place: Collection[_Document],
    ids: Sequence[str],
    fields: dict[str, bool],
    pieces: Pieces,
    more: _Document | None = None,
) -> list[_Document]:
    """Return those fields of the documents with these ids that match what `more` demands."""
    found: list[_Document] = []
    for some in pieces.of(ids):
        found += place.find({"_id": {"$in": list(some)}, **(more or {})}, fields)
    return found
