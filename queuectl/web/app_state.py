"""What the handlers of one dashboard share, and the few threads that ask the store for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from starlette.requests import Request

from queuectl.domain.errors import StoreError, StoreUnavailable
from queuectl.queue import Queue
from queuectl.system.home import Location
from queuectl.system.store_url import is_mongo, sqlite_path
from queuectl.web.access import Failures, Policy, Sessions
from queuectl.web.live import Live
from queuectl.web.mirrors import Mirrors
from queuectl.web.shared_pages import SharedPages
from queuectl.web.tokens import Tokens

THREADS = 4
SLOW_THREADS = 2
"""Beside them for what may wait long, so that pages never wait for that."""

_IDLE_SECONDS = 1.0
"""How often a thread with nothing to do sees that it does not hold files others wait for."""

T = TypeVar("T")
_Task = tuple[Callable[[Queue], Any], str, "Future[Any]"]


class Pool:
    """Runs use cases, each thread with an open queue of its own; the event loop never waits.

    A queue whose store failed is closed, and opened anew for the next use case.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._mirrors = Mirrors(location)
        self._was_there = False
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._slow_tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._serving = [self._tasks] * THREADS + [self._slow_tasks] * SLOW_THREADS
        for number, tasks in enumerate(self._serving):
            name = f"web-{number}"
            threading.Thread(target=self._serve, args=(tasks,), name=name, daemon=True).start()

    async def run(self, act: Callable[[Queue], T], who: str = "", *, is_slow: bool = False) -> T:
        """Return what a use case returns, done for somebody whom the audit trail is to name.

        With `is_slow` it may wait, and others only wait with it that may as well. Raises what it
        raises, and what opening raises.
        """
        done: Future[T] = Future()
        (self._slow_tasks if is_slow else self._tasks).put((act, who, done))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Let the threads end and close their queues, once they have done what was asked."""
        self._mirrors.close()
        for tasks in self._serving:
            tasks.put(None)

    def _serve(self, tasks: SimpleQueue[_Task | None]) -> None:
        queue: Queue | None = None
        while True:
            try:
                task = tasks.get(timeout=_IDLE_SECONDS)
            except Empty:
                queue = _recovered(queue)
                continue
            if task is None:
                break
            queue = self._do(queue, *task)
        if queue is not None:
            queue.close()

    def _open(self) -> Queue:
        """Open the store, and make it on first use alone: one that is gone is not an empty one."""
        url = self._location.store_url
        if self._was_there and not is_mongo(url) and not Path(sqlite_path(url)).exists():
            raise StoreUnavailable(f"{sqlite_path(url)} is gone", hint="put it back")
        queue = Queue.open(self._location)
        queue.mirror = partial(self._mirrors.logs_of, queue)
        queue.may_sign = False  # what visitors ask for is not the owner's word
        self._was_there = True
        return queue

    def _do(
        self, queue: Queue | None, act: Callable[[Queue], Any], who: str, done: Future[Any]
    ) -> Queue | None:
        """Do one thing; return the queue to go on with."""
        if not done.set_running_or_notify_cancel():
            return queue
        try:
            queue = _recovered(queue) or self._open()
            queue.actor = (lambda: who) if who else None
            try:
                result = act(queue)
            finally:
                queue.flush_notes()
            done.set_result(result)
        except BaseException as fault:  # whoever asked has it, and the thread goes on
            if isinstance(fault, StoreError) and queue is not None:
                queue.close()
                queue = None
            done.set_exception(fault)
        return queue


def _recovered(queue: Queue | None) -> Queue | None:
    """Return the queue to go on with: none where its store cannot be had as it is."""
    if queue is not None:
        try:
            queue.store.recover(0)
        except StoreError:
            queue.close()
            return None
    return queue


class AppState:
    """The threads that ask the store, the streams to browsers, and who has logged in.

    `token_file` is where the token can be read by whoever may.
    """

    def __init__(self, location: Location, policy: Policy, token_file: Path | None) -> None:
        self.location = location
        self.token_file = token_file
        self.policy = policy
        self.pool = Pool(location)
        self.live = Live(location)
        self.tokens = Tokens(location.home)
        self.sessions = Sessions()
        self.pages = SharedPages()
        self.failures = Failures()

    def close(self) -> None:
        """End streams and threads."""
        self.live.close()
        self.pool.close()


def state_of(request: Request) -> AppState:
    """Return what the handlers of a request's application share."""
    state: AppState = request.app.state.shared
    return state
