"""Waiting for a batch, with a bar and an estimate of its end."""

from __future__ import annotations

import math
import time
from collections import deque

from queuectl.cli.progress import progress_line
from queuectl.cli.session import Session
from queuectl.domain.batch import is_over
from queuectl.domain.errors import ExitCode, WaitTimedOut
from queuectl.domain.field_checks import check_name
from queuectl.domain.job import State
from queuectl.domain.times import parse_duration
from queuectl.domain.views import NO_WORKER
from queuectl.presentation import tables
from queuectl.presentation.batches import batch_as_dict, counts_text
from queuectl.presentation.console import print_hint, print_line
from queuectl.queue import Queue
from queuectl.queue.batches import BatchStatus
from queuectl.system.polling import Pace

_POLL_SECONDS = (0.05, 0.5)
_REASONS_SECONDS = 2.0
_SAID_SECONDS = 30.0
"""How often it is said off a terminal how far it has come."""

_WINDOW = 120.0
"""The estimate follows from what has ended in so many seconds."""

_BAR = 24


def wait_for_batch(session: Session, name: str, timeout: str | None, *, as_json: bool) -> int:
    """Wait until all jobs of a batch have ended; return 0 only if all of them are completed.

    Raises NotFound, and WaitTimedOut when `timeout` is over.
    """
    seconds = math.inf if timeout is None else parse_duration(timeout, "--timeout")
    queue = session.reading()
    status = _wait(queue, check_name("batch", name), time.monotonic() + seconds)
    if as_json:
        tables.write_json(batch_as_dict(status))
    else:
        print_line(f"Batch '{name}' is done: {counts_text(status.counts)}")
    return ExitCode.OK if status.is_success else ExitCode.FAILED


def _wait(queue: Queue, name: str, deadline: float) -> BatchStatus:
    """Return how a batch stands once it is over."""
    pause, longest = _POLL_SECONDS
    looks, hinted = Pace(_REASONS_SECONDS), set[str]()
    estimate = Estimate()
    said_at = time.monotonic()
    with progress_line() as progress:
        while True:
            status = queue.batch(name)
            if is_over(status.counts):
                return status
            now = time.monotonic()
            if now >= deadline:
                raise WaitTimedOut(f"batch '{name}' is not done: {counts_text(status.counts)}")
            estimate.note(now, status.done)
            if progress.is_due():
                progress.show(_line(status, estimate))
            elif not progress.is_on and now - said_at >= _SAID_SECONDS:
                said_at = now
                print_hint(_plain_line(status, estimate))
            if looks.is_due:
                with looks.look():
                    for line in _missing(queue, status):
                        if line not in hinted:
                            hinted.add(line)
                            progress.clear()
                            print_hint(line)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            pause = min(pause * 1.5, longest)


class Estimate:
    """How long the rest of a batch will take, by what has ended lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, done: int) -> None:
        """Note how many jobs have ended by now."""
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW and len(self._seen) > 2:
            self._seen.popleft()

    def seconds(self, left: int) -> float | None:
        """Return how long so many jobs will take, or None while that cannot be said."""
        (began, before), (now, done) = self._seen[0], self._seen[-1]
        if done <= before or now - began < 1:
            return None
        return left * (now - began) / (done - before)


def _line(status: BatchStatus, estimate: Estimate) -> str:
    share = status.done / max(status.total, 1)
    filled = int(share * _BAR)
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {_plain_line(status, estimate)}"


def _plain_line(status: BatchStatus, estimate: Estimate) -> str:
    share = 100 * status.done // max(status.total, 1)
    left = estimate.seconds(status.total - status.done)
    rest = "" if left is None else f", about {tables.rough(left)} left"
    return f"{share} %, {status.done:,} of {status.total:,}{rest}: {counts_text(status.counts)}"


def _missing(queue: Queue, status: BatchStatus) -> list[str]:
    """Return what the jobs of a batch lack to be started, with what to type."""
    if not status.counts.get(State.PENDING) or status.counts.get(State.PROCESSING):
        return []
    if queue.workers():
        return []
    return [f"{NO_WORKER}: queuectl worker start"]
