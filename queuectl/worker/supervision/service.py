"""What systemd is told of a supervisor: that its workers claim jobs, how many they are, the end.

Each worker says through a pipe that it claims; and the supervisor says again and again that it
works, as long as it does.
"""

from __future__ import annotations

import contextlib
import os
import time

from queuectl.domain.text import counted
from queuectl.system.sd_notify import Notifier

_CHUNK = 4096
_AGAIN_SECONDS = 1.0
"""How soon to say again what was not taken."""


class Service:
    """A supervisor of `count` workers, as its service manager knows it."""

    def __init__(self, notifier: Notifier, count: int) -> None:
        self.bell, self._writer = os.pipe()
        os.set_blocking(self.bell, False)
        self._notifier = notifier
        self._missing = count
        self._is_ready = self._is_stopping = False
        self._status = ""
        self._alive_at = float("-inf")
        self._again_at = float("inf")

    def report_ready(self) -> None:
        """Say, as a worker, that it claims jobs."""
        os.write(self._writer, b".")

    @property
    def due(self) -> float:
        """When to `look` again at the latest, by the monotonic clock."""
        alive = self._alive_at + self._notifier.watchdog / 2 if self._notifier.watchdog else None
        return min(self._again_at, alive if alive is not None else float("inf"))

    def look(self, workers: int, *, is_stopping: bool) -> None:
        """Tell what has changed, with how many workers there are now."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.bell, _CHUNK):
                self._missing -= len(chunk)
        lines = []
        if self._missing <= 0 and not self._is_ready:
            lines.append("READY=1")
        if is_stopping and not self._is_stopping:
            lines.append("STOPPING=1")
        status = _status(workers, is_ready=self._missing <= 0, is_stopping=is_stopping)
        if status != self._status:
            lines.append(f"STATUS={status}")
        present = time.monotonic()
        if self._notifier.watchdog and present >= self._alive_at + self._notifier.watchdog / 2:
            lines.append("WATCHDOG=1")
            self._alive_at = present
        if not lines:
            return
        if not self._notifier.tell(*lines):
            self._again_at = present + _AGAIN_SECONDS
            return
        self._again_at = float("inf")
        self._is_ready, self._is_stopping, self._status = self._missing <= 0, is_stopping, status


def _status(workers: int, *, is_ready: bool, is_stopping: bool) -> str:
    if is_stopping:
        return f"stopping: {counted(workers, 'worker')} left"
    return f"{counted(workers, 'worker')} {'at work' if is_ready else 'starting'}"
