"""Asking a store until it answers: what a worker does while its store is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from queuectl.domain.errors import StoreError, StoreLocked, StoreUnavailable
from queuectl.system.polling import wait_readable
from queuectl.worker.signals import Control

log = logging.getLogger("queuectl.worker")

SHORTEST_PAUSE = 0.1

T = TypeVar("T")


class OutageLog:
    """What the two threads of one worker know together: that the store is away.

    It is said once, by the first that misses it, and that it is back once, when all that had
    missed it have heard from it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._missed_by: set[str] = set()
        self._ended_at = 0.0

    def begin(self, who: str, fault: StoreError, asked_at: float) -> None:
        """Note that somebody who asked at `asked_at` (`time.monotonic`) was not answered."""
        with self._lock:
            if asked_at < self._ended_at:
                return  # a question of the last absence, that was given up only now
            is_news = not self._missed_by
            self._missed_by.add(who)
        if is_news:
            log.warning("%s; trying again", fault)

    def end(self, who: str) -> None:
        """Note that somebody was answered."""
        with self._lock:
            if who not in self._missed_by:
                return
            self._missed_by.remove(who)
            is_over = not self._missed_by
            if is_over:
                self._ended_at = time.monotonic()
        if is_over:
            log.info("the store answers again")


class StoreRetry:
    """Repeats what a store has not answered, with exponential backoff.

    `recover` does what can be done for the store before it is asked again.
    """

    def __init__(
        self,
        control: Control,
        outage: OutageLog,
        recover: Callable[[], None],
        longest_pause: float,
    ) -> None:
        self._control = control
        self._outage = outage
        self._recover = recover
        self._longest_pause = longest_pause
        self.is_away = False

    def call(self, ask: Callable[[], T], *, may_leave: bool = False) -> T:
        """Ask the store until it answers.

        Raises StoreUnavailable only when the worker has been told to leave at once, or to leave
        and nothing is in hand: `may_leave` says so, or the lease has run out meanwhile.
        """
        pause = SHORTEST_PAUSE
        while True:
            asked_at = time.monotonic()
            try:
                if self.is_away:
                    self._recover()
                answer = ask()
            except StoreUnavailable as fault:
                self.is_away = True
                has_nothing = may_leave or self._control.is_fenced
                if self._control.stop_level > 1 or (has_nothing and self._control.is_stopping):
                    raise
                self._outage.begin("loop", fault, asked_at)
                self.pause(pause)
                # to have asked for a lock was to wait for it: the first to ask again has it
                is_locked = isinstance(fault, StoreLocked)
                pause = SHORTEST_PAUSE if is_locked else min(pause * 2, self._longest_pause)
                continue
            if self.is_away:
                self.is_away = False
                self._outage.end("loop")
            return answer

    def pause(self, seconds: float) -> None:
        """Sleep; what wakes the worker ends it, but not at once, so that nothing spins."""
        if wait_readable([self._control.wake], seconds):
            self._control.settle_down()
            time.sleep(SHORTEST_PAUSE)
