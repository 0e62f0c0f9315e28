"""A few threads that ask the store, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from queuectl.domain.errors import StoreError
from queuectl.queue import Queue
from queuectl.system.home import Location

THREADS = 4
_LOOK_SECONDS = 1.0
"""How often a thread with nothing to do sees that it does not hold files others wait for."""

T = TypeVar("T")
_Task = tuple[Callable[[Queue], Any], "Future[Any]"]


class Pool:
    """Runs use cases of a place, each thread with an open queue of its own.

    A queue whose store failed is closed, and opened anew for the next use case.
    """

    def __init__(self, place: Location, threads: int = THREADS) -> None:
        self._location = place
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"web-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, act: Callable[[Queue], T]) -> T:
        """Return what a use case returns. Raises what it raises, and what opening raises."""
        done: Future[T] = Future()
        self._tasks.put((act, done))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Let the threads end and close their queues, once they have done what was asked."""
        for _ in self._threads:
            self._tasks.put(None)

    def _serve(self) -> None:
        queue: Queue | None = None
        while True:
            try:
                task = self._tasks.get(timeout=_LOOK_SECONDS)
            except Empty:
                queue = _looked_after(queue)
                continue
            if task is None:
                break
            queue = self._do(queue, *task)
        if queue is not None:
            queue.close()

    def _do(
        self, queue: Queue | None, act: Callable[[Queue], Any], done: Future[Any]
    ) -> Queue | None:
        """Do one thing; return the queue to go on with."""
        if not done.set_running_or_notify_cancel():
            return queue
        try:
            queue = queue or Queue.open(self._location)
            done.set_result(act(queue))
        except StoreError as fault:
            if queue is not None:
                queue.close()
            queue = None
            done.set_exception(fault)
        except BaseException as fault:  # whoever asked is told, and the thread goes on
            done.set_exception(fault)
        return queue


def _looked_after(queue: Queue | None) -> Queue | None:
    """Return the queue to go on with: none where its store cannot be had as it is."""
    if queue is None:
        return None
    try:
        queue.store.recover(0)
    except StoreError:
        queue.close()
        return None
    return queue
