"""A MongoDB store under watch: commands are noted, and any write can be made to fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import monitoring

from queuectl.stores.mongo.store import MongoStore


class Commands(monitoring.CommandListener):
    """Every command that was sent, once `entries` has been emptied."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.entries.append((event.command_name, event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to note."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to note."""

    def names(self) -> list[str]:
        return [name for name, _ in self.entries]


class Crash(Exception):
    """The process ends here."""


class Faulty:
    """A collection on which one method fails, after or instead of doing its work."""

    def __init__(self, target: Any, method: str, fault: Exception, *, is_applied: bool) -> None:
        self._target = target
        self._method = method
        self._fault = fault
        self._is_applied = is_applied
        self.times = 1

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._target, name)
        if name != self._method or not self.times:
            return real

        def fail(*args: Any, **kwargs: Any) -> Any:
            self.times -= 1
            if self._is_applied:
                real(*args, **kwargs)
            raise self._fault

        return fail


@contextmanager
def failing(
    store: MongoStore, place: str, method: str, fault: Exception, *, is_applied: bool
) -> Iterator[None]:
    """Let one method of one collection fail once."""
    real = getattr(store.link, place)
    faulty = Faulty(real, method, fault, is_applied=is_applied)
    setattr(store.link, place, faulty)
    try:
        yield
    finally:
        setattr(store.link, place, real)
    assert not faulty.times, "the fault was never met"
