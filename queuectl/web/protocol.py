"""How long a request may take to come in, and how many connections there may be at once."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 1024
ACCEPTED_AT_ONCE = 32
"""How many connections are taken from the system before the first of them is looked at."""

_RESERVED_FILES = 64 + 2 * ACCEPTED_AT_ONCE
"""How many descriptors are left to the store, its logs, and connections that are being closed."""

_FEWEST_CONNECTIONS = 16


def most_connections() -> int:
    """Return how many connections there may be, as far as the system lends descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(_FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, limit - _RESERVED_FILES))


class BoundedProtocol(H11Protocol):
    """One connection, which is closed when a request does not come in within some time.

    Uvicorn itself waits for ever for the head and the body of a request. Where there are too many
    connections, the one that has waited longest for its request makes room for a new one, so that
    whoever asks in earnest is answered while others only hold the line.
    """

    head_seconds = 10.0
    body_seconds = 30.0
    most = MOST_CONNECTIONS

    _deadline: asyncio.TimerHandle | None = None
    _phase: Any = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, if there is room; uvicorn narrows the type of `transport` too."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.most and not self._make_room():
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._rest()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Go on with the next request, which uvicorn gives its own time to begin."""
        super().on_response_complete()
        self._since = self.loop.time()
        self._rest()
        if self.conn.their_state is h11.SEND_BODY:
            self._watch()  # the head of the next one had come already

    @property
    def _waits(self) -> bool:
        """Whether it waits for the head or the body of a request."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for a request, this one aside."""
        waiting = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol) and each is not self and each._waits
        ]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda each: each._since)
        self.connections.discard(oldest)
        oldest.transport.abort()
        return True

    def _watch(self) -> None:
        """Have the connection closed unless what it waits for comes in time."""
        phase = self.conn.their_state
        if phase is self._phase:
            return  # each piece gains no time
        self._rest()
        if self._waits and not self.transport.is_closing():
            seconds = self.head_seconds if phase is h11.IDLE else self.body_seconds
            self._phase = phase
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _rest(self) -> None:
        self._phase = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class FewEntries(logging.Filter):
    """Lets so many entries of a log through in a while, and then says how many it left out."""

    def __init__(
        self,
        most: int = 20,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._most, self._seconds, self._clock = most, seconds, clock
        self._begun = clock()
        self._number = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether an entry is written."""
        now = self._clock()
        if now - self._begun >= self._seconds:
            left_out = max(0, self._number - self._most)
            self._begun, self._number = now, 0
            if left_out:
                record.msg = f"{record.getMessage()} (and {left_out:,} entries were left out)"
                record.args = None
        self._number += 1
        return self._number <= self._most
