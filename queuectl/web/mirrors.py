"""The output of runs that go on at other hosts, brought here while somebody looks at it."""

from __future__ import annotations

import contextlib
import threading
import time

from queuectl.domain.errors import StoreError
from queuectl.domain.job import Job
from queuectl.queue import Queue
from queuectl.queue.live_logs import RemoteRun, goes_on_elsewhere
from queuectl.system.home import Location
from queuectl.system.job_logs import JobLogs

KEPT_SECONDS = 40.0
"""So long after somebody has looked at a run it is brought; an open page looks every 15 s."""

_LOOK_SECONDS = 0.1
_Run = tuple[str, int, str]


class Mirrors:
    """One mirror for each run that is looked at, whoever does; for any number of threads.

    A thread with a store of its own brings what there is, while there are mirrors.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._remotes: dict[_Run, RemoteRun] = {}
        self._looked_at: dict[_Run, float] = {}
        self._queue: Queue | None = None
        self._is_over = False

    def logs_of(self, queue: Queue, job: Job, run: int) -> JobLogs | None:
        """Return where the output of a run is brought to; None where it does not go on elsewhere.

        Raises StoreError.
        """
        if not goes_on_elsewhere(queue.store, queue.home, job, run):
            return None
        with self._lock:
            if self._is_over:
                return None
            key = (job.id, run, job.worker or "")
            if key not in self._remotes:
                self._remotes[key] = RemoteRun(self._opened().store, job, run)
            self._looked_at[key] = time.monotonic()
            return self._remotes[key].logs

    def close(self) -> None:
        """Bring nothing more, and remove what there is, at the next look."""
        with self._lock:
            self._is_over = True

    def _opened(self) -> Queue:
        if self._queue is None:
            self._queue = Queue.open(self._location)
            args = (self._queue,)
            threading.Thread(target=self._bring, args=args, name="mirrors", daemon=True).start()
        return self._queue

    def _bring(self, queue: Queue) -> None:
        """Bring what the workers send, until nobody looks."""
        try:
            while remotes := self._wanted():
                for remote in remotes:
                    with contextlib.suppress(StoreError):  # then it is tried again
                        remote.poll()
                time.sleep(_LOOK_SECONDS)
        finally:
            queue.close()

    def _wanted(self) -> list[RemoteRun]:
        """Return the mirrors that somebody has looked at lately, and end the others.

        Without any the thread ends, and another one begins with the next.
        """
        with self._lock:
            now = time.monotonic()
            for key, looked_at in list(self._looked_at.items()):
                if self._is_over or now - looked_at > KEPT_SECONDS:
                    del self._looked_at[key]
                    self._remotes.pop(key).close()
            if not self._remotes:
                self._queue = None
            return list(self._remotes.values())
