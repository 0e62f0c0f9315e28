"""What has happened is processed: sent to hooks, counted into the figures, and then forgotten.

Any worker does it in turn every few seconds, and who wants to read figures does it first.
"""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from queuectl.domain.settings import Settings
from queuectl.domain.stats import counted
from queuectl.stores.records import BATCH
from queuectl.system.polling import Timer

if TYPE_CHECKING:
    from queuectl.stores.base import Store

_LOOK_SECONDS = 3.0
_LONGEST_PAUSE = 24.0
"""How seldom a worker looks while others are always faster: there may be hundreds."""

_BACKLOG_SECONDS = 0.5
_BUDGET_SECONDS = 0.1
_BREATH_SECONDS = 0.002
_AGE_SECONDS = 300.0
_LEAST = 50
"""Events that are processed at once at least, for a server that is slow."""

_MOST_TRIES = 1000


class EventProcessor:
    """Processes the events of one store for one worker, a little at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pause = _LOOK_SECONDS
        self._batches = _Batches(store, _LEAST)
        self._timer = Timer(_LOOK_SECONDS)
        self._ageing_timer = Timer(_AGE_SECONDS)

    def tick(self, settings: Settings) -> None:
        """Process what is due, for no longer than a tenth of a second."""
        if self._timer.rings():
            self._timer.ring_in(self._process(time.monotonic() + _BUDGET_SECONDS))
        if settings.retention_stats and self._ageing_timer.rings():
            self._age_out(settings.retention_stats)

    def _process(self, ends_at: float) -> float:
        """Process what there is until `ends_at`; return in how many seconds to look again."""
        # looking is cheap, and most of the time there is nothing: only then ask for the turn
        if not self._store.stats.has_pending():
            return _LOOK_SECONDS
        if not self._store.try_acquire_turn("events", _BACKLOG_SECONDS):
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return self._pause
        self._pause = _LOOK_SECONDS
        while self._batches.process_next():
            if time.monotonic() >= ends_at:
                return _BACKLOG_SECONDS
            time.sleep(_BREATH_SECONDS)
        return _LOOK_SECONDS

    def _age_out(self, seconds: float) -> None:
        if self._store.try_acquire_turn("figures", _AGE_SECONDS):
            before = self._store.now() - timedelta(seconds=seconds)
            while self._store.stats.forget(before) == BATCH:
                self._store.between()
                time.sleep(_BREATH_SECONDS)


class _Batches:
    """The batches of events: how long one takes decides how large the next one is."""

    def __init__(self, store: Store, first: int) -> None:
        self._store = store
        self._limit = first

    def process_next(self) -> bool:
        """Process one batch; return whether there may be more."""
        begun = time.monotonic()
        is_more = process_events(self._store, self._limit)
        if time.monotonic() - begun > _BUDGET_SECONDS / 2:
            self._limit = max(self._limit // 2, _LEAST)
        elif is_more:
            self._limit = min(self._limit * 2, BATCH)
        self._store.between()
        return is_more


def process_events(store: Store, limit: int = BATCH) -> bool:
    """Process one batch of events; return whether there may be more."""
    events = store.stats.pending_events(limit)
    if events.is_empty:
        return False
    # before they are forgotten: a crash in between repeats it, and adds no delivery twice
    if events.finished:
        from queuectl.queue.hook_deliveries import enqueue_deliveries

        enqueue_deliveries(store, events.finished)
    is_recorded = store.stats.record(events, counted(events.finished, events.enqueued))
    return not is_recorded or len(events.finished) >= limit


def process_all_events(store: Store, seconds: float = math.inf) -> bool:
    """Process all events of before this call, whoever else processes them meanwhile.

    Returns False when `seconds` are over and there may be more; they are judged after a batch.
    """
    ends_at = time.monotonic() + seconds
    batches = _Batches(store, BATCH if math.isinf(seconds) else _LEAST)
    for _ in range(_MOST_TRIES):
        if not batches.process_next():
            return True
        if time.monotonic() >= ends_at:
            break
    return False
