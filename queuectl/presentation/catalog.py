"""What completion is told of a store, whoever answers: what is asked for, and in which form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from queuectl.domain.job import State
from queuectl.domain.settings import Value

Known = tuple[str, str]
"""A word that may be typed, and one line on what it means."""


class Catalog(Protocol):
    """What there is in the store that a word may name. It never raises; it may know nothing."""

    def jobs(self, word: str, states: frozenset[State]) -> Iterable[Known]:
        """Return some jobs for what has been typed of an id; `states` empty means any."""
        ...

    def queues(self) -> Iterable[Known]:
        """Return the queues that have jobs."""
        ...

    def schedules(self) -> Iterable[Known]:
        """Return the schedules."""
        ...

    def hooks(self) -> Iterable[Known]:
        """Return the hooks."""
        ...

    def workers(self) -> Iterable[Known]:
        """Return the workers that are alive, by their pid."""
        ...

    def settings(self) -> Mapping[str, Value]:
        """Return the settings in force."""
        ...
