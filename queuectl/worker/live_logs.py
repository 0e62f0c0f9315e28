"""Answers those who look, from other hosts, at the output of runs that go on here, or at the log.

While nobody looks, a worker asks every few seconds whether somebody does.
"""

from __future__ import annotations

import time
from pathlib import Path

from queuectl.stores.base import Store
from queuectl.stores.exchange import LogAnswer, LogWish
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.worker_logs import Trail, log_name, logs_of

_LOOK_SECONDS = 2.0
_IDLE_LOOK_SECONDS = 5.0
_MOST_BYTES = 256 * 1024
"""So much of each file is in one answer, and of a worker's log in the first."""

_MOST_LINES = 2000


class LiveLogs:
    """The answers of one worker."""

    def __init__(self, home: Home, worker_id: str) -> None:
        self._logs = JobLogs(home)
        self._folder = home.worker_logs
        self._worker_id = worker_id
        self._is_watched = False
        self._next_look = 0.0

    def tick(self, store: Store, *, has_jobs: bool) -> None:
        """Answer whoever looks, if it is time. Raises StoreError."""
        wishes, now = store.log_wishes, time.monotonic()
        if wishes is None or not (self._is_watched or now >= self._next_look):
            return
        self._next_look = now + (_LOOK_SECONDS if has_jobs else _IDLE_LOOK_SECONDS)
        found = wishes.wanted(self._worker_id)
        self._is_watched = bool(found)
        for wish in found:
            wishes.answer(wish, self._read(wish) if wish.job_id else self._read_log(wish))

    def _read(self, wish: LogWish) -> LogAnswer:
        """Return what comes next in each file: the order first, that it tells of what is there."""
        logs, job_id, run = self._logs, wish.job_id, wish.run
        order, stdout, stderr = (
            _part(path, at)
            for path, at in zip(
                (logs.order(job_id, run), logs.stdout(job_id, run), logs.stderr(job_id, run)),
                (wish.at[2], wish.at[0], wish.at[1]),
                strict=True,
            )
        )
        files = (stdout, stderr, order)
        sizes = tuple(size for _, size in files)
        return LogAnswer(wish.asked, tuple(part for part, _ in files), sizes)

    def _read_log(self, wish: LogWish) -> LogAnswer:
        """Return what comes next in this worker's log; of what there was before, the end."""
        is_first = not any(wish.at)
        trail = Trail(*wish.at)
        paths = logs_of(self._folder).get(log_name(self._worker_id), [])
        data = trail.read(paths, _MOST_LINES if is_first else None)
        if is_first and len(data) > _MOST_BYTES:
            data = data[data.index(b"\n", -_MOST_BYTES) + 1 :]
        return LogAnswer(wish.asked, (data,), trail.position)


def _part(path: Path, at: int) -> tuple[bytes, int]:
    """Return what follows in a file, and how long it is; nothing where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(at)
            return file.read(_MOST_BYTES), size
    except OSError:
        return b"", 0
