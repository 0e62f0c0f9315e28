"""Waiting for a batch, with a bar and an estimate of its end."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable

from queuectl.cli.progress import progress_line
from queuectl.cli.session import Session
from queuectl.domain.batch import is_over
from queuectl.domain.errors import CannotStart, ExitCode, NotFound, WaitTimedOut
from queuectl.domain.field_checks import check_name
from queuectl.domain.job import WAITING, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.times import parse_duration
from queuectl.domain.views import NO_WORKER
from queuectl.presentation import tables
from queuectl.presentation.batches import Estimate, batch_as_dict, counts_text
from queuectl.presentation.console import print_hint, print_line
from queuectl.queue import Queue
from queuectl.queue.batches import BatchStatus
from queuectl.system.polling import ROOTS_SECONDS, Pace

_POLL_SECONDS = (0.05, 0.5)
_REASONS_SECONDS = 2.0
_SAID_SECONDS = 30.0
"""How often it is said off a terminal how far it has come."""

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
        print_line(batch_ending(status))
    return ExitCode.OK if status.is_success else ExitCode.FAILED


def batch_ending(status: BatchStatus) -> str:
    """Return the line that says how a batch has ended."""
    return f"Batch '{status.name}' is done: {counts_text(status.counts)}"


WaitedFor = tuple[BatchStatus, CannotStart | None]
"""A batch that is not waited for any more, and why it cannot start, if that is the reason."""


class WaitedBatches:
    """Batches that are waited for as a whole each, beside single jobs.

    `waiting_in` are the queues in which jobs of theirs wait, as was seen last.
    """

    def __init__(self, queue: Queue, names: Iterable[str]) -> None:
        self.left = {name: Counter[State]() for name in names}
        self.waiting_in: set[str] = set()
        self._queue = queue
        self._ended = Counter[State]()
        self._looks, self._roots = Pace(_POLL_SECONDS[1]), Pace(ROOTS_SECONDS)

    def ended(self) -> list[WaitedFor]:
        """Return each batch that has ended, or cannot start, and why that is.

        One that is deleted meanwhile does not count. Looks now and then only.
        """
        if not self.left or not self._looks.is_due:
            return []
        with self._looks.look():
            found = [each for name in [*self.left] if (each := self._look_at(name))]
            if self._roots.is_due:
                with self._roots.look():
                    found += [each for name in [*self.left] if (each := self._stuck(name))]
        return found

    def _look_at(self, name: str) -> WaitedFor | None:
        try:
            status = self._queue.batch(name)
        except NotFound:
            del self.left[name]
            return None
        self.left[name] = Counter(status.counts)
        return (self._end(name), None) if is_over(status.counts) else None

    def _stuck(self, name: str) -> WaitedFor | None:
        """Return why a batch cannot start, if so: all of its jobs wait for the same others."""
        latest = Page(limit=1, newest_first=True)  # which nobody is likely to have changed
        job = next(self._queue.store.find(Filter(WAITING, batch=name), latest), None)
        if job is None:
            return None
        self.waiting_in.add(job.spec.queue)
        why = self._queue.cannot_start()(job)
        return (self._end(name), why) if why else None

    def _end(self, name: str) -> BatchStatus:
        counts = self.left.pop(name)
        self._ended.update(counts)
        return BatchStatus(name, counts)

    def counts(self) -> Counter[State]:
        """Return how many jobs of all of them, those that have ended too, are in which state."""
        return sum(self.left.values(), self._ended)

    def refuse_to_go_on(self) -> None:
        """Raise WaitTimedOut for the first that has not ended."""
        for name, counts in self.left.items():
            raise WaitTimedOut(f"batch '{name}' is not done: {counts_text(counts)}")


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
