"""Follows a store in a thread of its own, so that no prompt, screen or page waits for it."""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from queuectl.domain.errors import QueuectlError, StoreError, StoreUnavailable
from queuectl.domain.frozen import replace
from queuectl.presentation.catalog import open_existing
from queuectl.presentation.snapshot import Meter, Snapshot, Wanted, look
from queuectl.queue import Queue
from queuectl.system.home import Location
from queuectl.system.store_url import is_mongo, sqlite_path

if TYPE_CHECKING:
    from concurrent.futures import Future

INTERVAL_SECONDS = 0.5
RETRY_SECONDS = 1.0
_BUSY_SHARE = 4
"""Looking takes at most about one part in so many of the time, however slow the store is."""

_T = TypeVar("_T")


class Follower(threading.Thread):
    """Looks at a store again and again, and does what is asked.

    It looks every `interval` seconds, and when it is woken; `on_look`, which may be replaced, is
    called in this thread after each look. `snapshot` and `wanted` hold values that are replaced
    whole, never changed. `address` is where the store is, as far as that is known without it.
    """

    def __init__(
        self,
        location: Location,
        wanted: Wanted,
        on_look: Callable[[], None] = lambda: None,
        *,
        address: str = "",
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        super().__init__(name="follower", daemon=True)
        self.snapshot = Snapshot(address)
        self.wanted = wanted
        self.on_look = on_look
        self._location = location
        self._interval = interval
        self._asked: queues.SimpleQueue[tuple[Callable[[Queue], Any], Future[Any]]]
        self._asked = queues.SimpleQueue()
        self._woken = threading.Event()
        self._first = threading.Event()
        self._is_over = False
        self._is_stale = True
        self._next_look = 0.0
        self._busy_since: float | None = None
        self._meter = Meter()
        self._queue: Queue | None = None
        self._file: tuple[int, int] | None = None
        self._was_there = False

    def ask(self, question: Callable[[Queue], _T]) -> Future[_T]:
        """Have something asked or done as soon as the store answers; cancelled if there is none."""
        from concurrent.futures import Future  # the first look is not to wait for this import

        future: Future[_T] = Future()
        self._asked.put((question, future))
        self._woken.set()
        return future

    def wake(self) -> None:
        """Look again now."""
        self._is_stale = True
        self._woken.set()

    def first(self, seconds: float) -> Snapshot:
        """Return the first snapshot, or what there is after some seconds."""
        self._first.wait(seconds)
        return self.snapshot

    def silence(self) -> float:
        """Return for how many seconds the store has been asked something and not answered."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def end(self) -> None:
        """Stop, after what is under way."""
        self._is_over = True
        self._woken.set()

    def run(self) -> None:
        """Serve until the end; a store that is away is opened again."""
        while not self._is_over:
            self._busy_since = time.monotonic()
            self._serve_or_fail()
            self._busy_since = None
            self._woken.wait(max(0.0, self._next_look - time.monotonic()))
            self._woken.clear()
        self._close()

    def _serve_or_fail(self) -> None:
        try:
            self._serve()
        except Exception as fault:  # the screen outlives whatever a store comes up with
            self._close()
            is_ours = isinstance(fault, QueuectlError)
            trouble = str(fault) if is_ours else f"unexpected {type(fault).__name__}: {fault}"
            self._next_look = time.monotonic() + RETRY_SECONDS
            self._publish(replace(self.snapshot, trouble=trouble))

    def _serve(self) -> None:
        """Do what is asked, and look where that is due."""
        queue = self._open()
        self._answer(queue)
        began = time.monotonic()
        if self._is_stale or began >= self._next_look:
            # Taken before anything is read, so that a change that comes meanwhile is seen next.
            is_stale, self._is_stale = self._is_stale, False
            snapshot = self._look(queue, None if is_stale else self.snapshot)
            ended = time.monotonic()
            self._next_look = ended + max(self._interval, _BUSY_SHARE * (ended - began))
            self._publish(snapshot)

    def _open(self) -> Queue | None:
        """Return the open queue; None while there is no store. A replaced file is opened anew."""
        file = self._identity()
        if file != self._file:
            self._close()
        if self._queue is None:
            if file is None and self._was_there:
                raise StoreUnavailable(f"{from_home(self.snapshot.address)} is gone")
            self._queue = open_existing(self._location)
            if self._queue is not None:
                self._is_stale = True
                self._was_there = not is_mongo(self._location.store_url)
            self._file = file
        return self._queue

    def _identity(self) -> tuple[int, int] | None:
        """Return what tells the file of the store from another; None without one."""
        if is_mongo(self._location.store_url):
            return None
        try:
            found = Path(sqlite_path(self._location.store_url)).stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._first.set()
        self.on_look()

    def _answer(self, queue: Queue | None) -> None:
        while not self._asked.empty():
            question, future = self._asked.get()
            if queue is None:
                future.cancel()
            if not future.set_running_or_notify_cancel() or queue is None:
                continue
            try:
                future.set_result(question(queue))
            except Exception as fault:
                future.set_exception(fault)
                if isinstance(fault, StoreError):
                    raise

    def _look(self, queue: Queue | None, last: Snapshot | None) -> Snapshot:
        if queue is not None:
            return look(queue, self.wanted, self._meter, last)
        self._meter.see(time.monotonic(), 0)
        address = self.snapshot.address
        return Snapshot(address, is_known=True, now=datetime.now(timezone.utc))


def from_home(path: str) -> str:
    """Return a path as people write it, from `~` where it is below it."""
    try:
        home = str(Path("~").expanduser())
    except RuntimeError:  # neither HOME nor an entry in passwd says where it is
        return path
    return "~" + path[len(home) :] if path.startswith(f"{home}/") else path
