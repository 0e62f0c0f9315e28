"""Events for browsers: one thread looks at the store for all of them, while there are any."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from queuectl.presentation.follower import Follower
from queuectl.presentation.snapshot import Snapshot, Wanted
from queuectl.presentation.status import totals
from queuectl.system.home import Location

MOST_CLIENTS = 200
LOOK_SECONDS = 0.3
FEW_CLIENTS = 5
"""So many browsers are told of each change at once, whatever that costs."""

_SHARE, _LONGEST_PAUSE = 0.03, 5.0
"""With more of them, of a processor so much is taken at most, or they are told each so often."""

_STILL_SECONDS = 15.0
"""A comment is sent after so long without news, so that what is in between keeps the line open."""

_DEPTH = 30
"""How many of the jobs that changed last are looked at to tell whether anything has changed."""


class Live:
    """Follows the store for any number of browsers. All methods are for the event loop.

    `version` is another number after each change that was seen.
    """

    def __init__(self, place: Location) -> None:
        self._location = place
        self._follower: Follower | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: set[asyncio.Event] = set()
        self.most_clients = MOST_CLIENTS
        self._is_over = False
        self.version = 0
        self._news = self._told = ""
        self._told_at, self._spent = float("-inf"), 0.0
        self._telling: asyncio.TimerHandle | None = None
        self._last: tuple[object, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether no more browsers can be served."""
        return len(self._clients) >= self.most_clients

    def close(self) -> None:
        """End every stream."""
        self._is_over = True
        if self._telling is not None:
            self._telling.cancel()
        for client in self._clients:
            client.set()
        self._rest()

    def enter(self) -> asyncio.Event:
        """Return the place of one more browser, which counts from now on until it leaves."""
        news = asyncio.Event()
        self._clients.add(news)
        return news

    def leave(self, news: asyncio.Event) -> None:
        """Give a place back; doing so twice is harmless."""
        self._clients.discard(news)
        if not self._clients:
            self._rest()

    async def stream(
        self, news: asyncio.Event, log: tuple[Path, ...], may_go_on: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Yield server-sent events for the browser at a place: `look` at each change of the store.

        And `log` when one of some files grows. Ends when `may_go_on` says no, and leaves.
        """
        self._begin()
        try:
            yield b"retry: 2000\n\n"
            sizes, last, clock = _sizes(log), "", asyncio.get_running_loop().time
            sent_at = clock()
            while not self._is_over and may_go_on():
                line = b""
                if self._told != last:
                    last = self._told
                    line = f"event: look\ndata: {last}\n\n".encode()
                if log and (found := _sizes(log)) != sizes:
                    sizes = found
                    line += b"event: log\ndata: {}\n\n"
                if line or clock() - sent_at >= _STILL_SECONDS:
                    sent_at = clock()
                    yield line or b": still here\n\n"
                await _wait(news, LOOK_SECONDS if log else _STILL_SECONDS)
        finally:
            self.leave(news)

    def _begin(self) -> None:
        if self._follower is None and not self._is_over:
            self._loop = asyncio.get_running_loop()
            wanted = Wanted(depth=_DEPTH, with_names=True)
            self._follower = Follower(self._location, wanted, self._changed, interval=LOOK_SECONDS)
            self._follower.start()

    def _rest(self) -> None:
        if self._follower is not None:
            self._follower.end()
            self._follower = None

    def _changed(self) -> None:
        """Wake the browsers' streams; called in the thread that looks."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        """Tell the streams what the latest look says, if that is news."""
        snapshot = self._follower.snapshot if self._follower else Snapshot()
        mark = _mark(snapshot)
        if mark == self._last:
            return
        self._last, self.version = mark, self.version + 1
        counts = totals(snapshot.counts) if snapshot.is_known else None
        news = {"version": self.version, "trouble": snapshot.trouble, "counts": counts}
        self._news = json.dumps(news)
        if self._telling is None:
            self._tell_in_time()

    def _tell_in_time(self) -> None:
        """Tell the browsers, or wait, and again if they have cost more while that went on."""
        self._telling = None
        pause = self._pause()
        if pause > 0 and self._loop is not None:
            self._telling = self._loop.call_later(pause, self._tell_in_time)
        else:
            self._tell()

    def _pause(self) -> float:
        """Return how long to wait before browsers are told again, by what the last time has cost.

        Each of them asks for its page then, and what many of them take the workers lack.
        """
        if len(self._clients) <= FEW_CLIENTS:
            return 0.0
        spent = time.process_time() - self._spent
        return self._told_at + min(spent / _SHARE, _LONGEST_PAUSE) - time.monotonic()

    def _tell(self) -> None:
        self._told, self._told_at, self._spent = self._news, time.monotonic(), time.process_time()
        for client in self._clients:
            client.set()


def _mark(snapshot: Snapshot) -> tuple[object, ...]:
    """Return what differs between two looks when anything that a page shows has changed."""
    return (
        snapshot.is_known,
        snapshot.trouble,
        snapshot.counts,
        [(job.id, job.rev) for job in snapshot.jobs],
        [
            (worker.record.id, worker.state, worker.record.slots, worker.job_ids)
            for worker in snapshot.workers
        ],
        dict(snapshot.queue_limits),
        [(each.name, each.rev) for each in snapshot.schedules],
        [(each.name, each.rev) for each in snapshot.hooks],
        snapshot.deliveries,
    )


def _sizes(files: tuple[Path, ...]) -> list[int]:
    sizes = []
    for file in files:
        try:
            sizes.append(file.stat().st_size)
        except OSError:
            sizes.append(0)
    return sizes


async def _wait(news: asyncio.Event, seconds: float) -> None:
    """Wait for news, at most so long."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(news.wait(), seconds)
    news.clear()
