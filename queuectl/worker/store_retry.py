"""Asking a store until it answers: what a worker does while its store is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from queuectl.domain.errors import StoreError, StoreLocked, StoreUnavailable
from queuectl.stores.base import Store
from queuectl.worker.options import Timings
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
        timings: Timings,
    ) -> None:
        self._control = control
        self._outage = outage
        self._recover = recover
        self._longest_pause, self._lock_patience = timings.longest_pause, timings.lock
        self._missing_since = self._next_try = self._pause = 0.0
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
                answer = self._once(ask)
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
            self._answered()
            return answer

    def attempt(self, ask: Callable[[], T]) -> T:
        """Ask the store once, if it is time for that: somebody has to look after jobs in hand.

        Raises StoreUnavailable when it is too early (see `next_try`) or there is no answer. A lock
        is no absence until it was waited for in vain as long as by those who wait at once.
        """
        asked_at = time.monotonic()
        if asked_at < self._next_try:
            raise StoreUnavailable("the store is asked again later")
        try:
            answer = self._once(ask)
        except StoreUnavailable as fault:
            self._put_off(fault, asked_at)
            raise
        self._answered()
        return answer

    def _once(self, ask: Callable[[], T]) -> T:
        if self.is_away:
            self._recover()
        return ask()

    @property
    def next_try(self) -> float:
        """Seconds until `attempt` asks again; 0 while the store answers."""
        return max(0.0, self._next_try - time.monotonic())

    def _put_off(self, fault: StoreUnavailable, asked_at: float) -> None:
        """Note that an attempt was not answered, and when the next is due."""
        now, is_locked = time.monotonic(), isinstance(fault, StoreLocked)
        self._missing_since = self._missing_since or asked_at
        longer = min(self._pause * 2, self._longest_pause)
        self._pause = SHORTEST_PAUSE if is_locked else max(SHORTEST_PAUSE, longer)
        self._next_try = now + self._pause
        if not is_locked or now - self._missing_since > self._lock_patience:
            self.is_away = True
            self._outage.begin("loop", fault, asked_at)

    def _answered(self) -> None:
        self._missing_since = self._next_try = self._pause = 0.0
        if self.is_away:
            self.is_away = False
            self._outage.end("loop")

    def pause(self, seconds: float) -> None:
        """Sleep; what wakes the worker ends it, but not at once, so that nothing spins."""
        if self._control.sleep(seconds):
            self._control.settle_down()
            time.sleep(SHORTEST_PAUSE)


class StoreClock:
    """A store's time; that of one that is away goes on by our clock."""

    def __init__(self, store: Store, retry: StoreRetry) -> None:
        self._store = store
        self._retry = retry
        self._told: datetime | None = None
        self._told_at = 0.0

    def now(self) -> datetime:
        """Return the store's time."""
        try:
            told = self._store.now()
        except StoreUnavailable:
            if self._told is None:
                return self._retry.call(self._store.now)
            return self._told + timedelta(seconds=time.monotonic() - self._told_at)
        self._told, self._told_at = told, time.monotonic()
        return told
