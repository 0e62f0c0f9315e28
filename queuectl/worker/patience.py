"""Asking a store until it answers: what a worker does while its store is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from queuectl.domain.errors import StoreUnavailable
from queuectl.waiting import wait_readable
from queuectl.worker.control import Control

log = logging.getLogger("queuectl.worker")

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

T = TypeVar("T")


class Patience:
    """Repeats what a store has not answered, with exponential backoff, and says so once."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.is_away = False

    def insist(self, ask: Callable[[], T], *, may_leave: bool = False) -> T:
        """Ask the store until it answers.

        Raises StoreUnavailable only when the worker has been told to leave at once, or to leave
        and nothing is in hand: `may_leave` says so, or the lease has run out meanwhile.
        """
        pause = SHORTEST_PAUSE
        while True:
            try:
                answer = ask()
            except StoreUnavailable as fault:
                has_nothing = may_leave or self._control.is_fenced
                if self._control.stop_level > 1 or (has_nothing and self._control.is_stopping):
                    self.is_away = True
                    raise
                self.note_absence(fault)
                self.pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            if self.is_away:
                log.info("the store answers again")
                self.is_away = False
            return answer

    def note_absence(self, fault: StoreUnavailable) -> None:
        """Say once that the store is away, not at every attempt."""
        if not self.is_away:
            log.warning("%s; trying again", fault)
            self.is_away = True

    def pause(self, seconds: float) -> None:
        """Sleep; what wakes the worker ends it, but not at once, so that nothing spins."""
        if wait_readable([self._control.wake], seconds):
            self._control.settle_down()
            time.sleep(SHORTEST_PAUSE)
