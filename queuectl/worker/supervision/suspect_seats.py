"""The places of workers for suspects beside the workers of one supervisor, filled when one rings.

Each has one slot, claims suspects only, and leaves when there is none. One that dies was killed by
its suspect, most likely, and that counts as an interruption. It is not replaced: a worker rings
again while suspects wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from queuectl.domain.errors import StoreError
from queuectl.domain.frozen import replace
from queuectl.system import pidfile
from queuectl.system.home import Home
from queuectl.worker.options import WorkerOptions
from queuectl.worker.slot_shares import SlotShare, SlotTable

log = logging.getLogger("queuectl.worker")

_CLAIM_SECONDS = 1.0
"""How long a process that was forked is taken to be about to claim one of those that wait."""

_PAUSE_SECONDS = 5.0
"""How long after one has failed no other is tried."""


class SuspectSeats:
    """A supervisor's workers for suspects. Make it before any worker is forked.

    `bell` is readable when a worker has rung. `workers` is how many workers there are.
    """

    def __init__(self, home: Home, options: WorkerOptions, workers: int) -> None:
        self.options = replace(options, drain=False, concurrency=1, suspects=True)
        self._home = home
        self._queues = options.queues
        self._table = SlotTable(workers)
        self._since: dict[int, float] = {}
        self._fill_at = 0.0
        self._is_wanted = False
        self.bell, self._rope = os.pipe()
        for descriptor in (self.bell, self._rope):
            os.set_blocking(descriptor, False)

    @property
    def pids(self) -> list[int]:
        """The workers for suspects that there are."""
        return list(self._since)

    def share_of(self, worker: int) -> SlotShare:
        """Return what the worker of a place is to know."""
        return SlotShare(self._table, worker, self._queues, self._ring)

    def vacate(self, worker: int, *, is_for_good: bool) -> None:
        """Note that the worker of a place has ended; `is_for_good` says that none follows."""
        self._table.vacate(worker, is_for_good=is_for_good)

    def fill(self, fork: Callable[[WorkerOptions], int]) -> None:
        """Fork as many as are wanted and have room; `fork` returns a pid."""
        with contextlib.suppress(BlockingIOError):
            self._is_wanted = bool(os.read(self.bell, 4096))
        if not self._is_wanted:
            return
        self._is_wanted = False
        now = time.monotonic()
        if now < self._fill_at:
            return
        about_to_claim = sum(now - since < _CLAIM_SECONDS for since in self._since.values())
        number = min(self._table.suspects - about_to_claim, self._table.free)
        for _ in range(number):
            self._table.runners += 1
            try:
                self._since[fork(self.options)] = time.monotonic()
            except OSError as fault:  # there are too many processes already; those here go on
                log.warning("no worker for a suspect could be started: %s", fault)
                self._fill_at = now + _PAUSE_SECONDS
                break
        self._table.runners = len(self._since)

    def hand_on(self, number: int) -> None:
        """Send all of them a signal that came to their supervisor; none is made any more."""
        self._fill_at = float("inf")
        for pid in self._since:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # one that stands still cannot leave

    def reap(self) -> None:
        """Let go of those that have ended."""
        for pid in self.pids:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._since[pid]
                self._table.runners = len(self._since)
                self._note_end(pid, os.waitstatus_to_exitcode(status))

    def _note_end(self, pid: int, code: int) -> None:
        try:
            pidfile.remove(self._home, {pid})
        except StoreError as fault:
            log.warning("%s", fault)  # the stale entry will heal
        if code < 0:
            log.warning("worker %d died (signal %d) while a suspect ran there, if any", pid, -code)
        elif code:
            log.warning("worker %d, which was for suspects, died (exit code %d)", pid, code)
            self._fill_at = max(self._fill_at, time.monotonic() + _PAUSE_SECONDS)

    def _ring(self) -> None:
        """Say, as a worker, that suspects wait."""
        with contextlib.suppress(OSError):  # full: it has been said often enough
            os.write(self._rope, b"!")
