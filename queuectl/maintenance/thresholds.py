"""Thresholds that hooks watch: measured now and then, told once when crossed and once when cleared.

Any number of workers may watch at once; each change is one compare-and-set of the hook's record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl.domain.hook_messages import of_threshold
from queuectl.domain.hooks import (
    DLQ_SIZE,
    NO_WORKER,
    Hook,
    is_owed,
    judged,
    parse_threshold,
    seen,
    told,
)
from queuectl.domain.job import State
from queuectl.domain.queue_limits import DELIVERY_QUEUE, OPEN, is_of_deliveries
from queuectl.domain.settings import Settings
from queuectl.queue.hook_deliveries import delivery_job
from queuectl.stores.base import Store
from queuectl.stores.rules import require_in_use
from queuectl.system.polling import Timer
from queuectl.system.processes import is_live

LOOK_SECONDS = 5.0
_TURN = "thresholds"


class Thresholds:
    """The thresholds of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._timer = Timer(LOOK_SECONDS)

    def tick(self, _settings: Settings) -> None:
        """Look at every threshold, if it is time and no other worker has just done so."""
        if not self._timer.rings():
            return
        hooks = watched(self._store.hooks.all())
        if hooks and self._store.try_acquire_turn(_TURN, LOOK_SECONDS * 0.9):
            self.look(hooks)

    def look(self, hooks: Sequence[Hook]) -> int:
        """Measure and judge; return how many changes were handed over for delivery."""
        changes = 0
        for hook in hooks:
            changes += self._judge(hook)
            self._store.between()
        return changes

    def _judge(self, hook: Hook) -> int:
        """Deal with one hook; a change of an earlier look whose delivery is missing comes first."""
        current = self._enqueue_delivery(hook) if is_owed(hook) else hook
        number = int(current is not hook and current is not None)
        current = self._measured(current) if current is not None else None
        if current is not None and is_owed(current):
            number += self._enqueue_delivery(current) is not None
        return number

    def _measured(self, hook: Hook) -> Hook | None:
        """Return the hook as it is stored after this look; None when another was faster."""
        now = self._store.now()
        after = hook
        if parse_threshold(hook.when).measure == NO_WORKER:
            after = seen(after, self._has_worker(hook, now), now)
        after = judged(after, self._measure(after, now), now)
        return after if after is hook or self._store.hooks.save(after, hook) else None

    def _enqueue_delivery(self, hook: Hook) -> Hook | None:
        """Add the delivery of the latest change, then note that; None: another was faster."""
        job = delivery_job(hook, of_threshold(hook), str(hook.changes), self._store.now())
        self._store.insert([job])
        after = told(hook)
        return after if self._store.hooks.save(after, hook) else None

    def _measure(self, hook: Hook, now: datetime) -> float:
        measure = parse_threshold(hook.when).measure
        if measure == NO_WORKER:
            return (now - hook.alone_since).total_seconds() if hook.alone_since else 0.0
        if measure == DLQ_SIZE:
            counts = self._store.counts().by_queue
            return sum(
                states.get(State.DEAD, 0)
                for queue, states in counts.items()
                if _counts(hook, queue)
            )
        queue_limits = self._store.queue_limits()
        waiting = [
            since
            for queue, since in self._store.oldest_due().items()
            if _counts(hook, queue) and not queue_limits.get(queue, OPEN).paused
        ]
        return max(0.0, (now - min(waiting)).total_seconds()) if waiting else 0.0

    def _has_worker(self, hook: Hook, now: datetime) -> bool:
        """Whether a worker lives that serves the hook's queue, or without one any but `hooks`."""
        for worker in self._store.workers.all():
            served = {hook.queue} if hook.queue else set(worker.queues) - {DELIVERY_QUEUE}
            if is_live(worker, now) and (not worker.queues or served.intersection(worker.queues)):
                return True
        return False


def check(store: Store) -> list[Hook]:
    """Look at the thresholds now; return the hooks whose threshold has changed sides.

    Raises Conflict in a store that was moved.
    """
    require_in_use(store)
    before = {hook.name: hook.changes for hook in store.hooks.all()}
    Thresholds(store).look(watched(store.hooks.all()))
    return [
        hook
        for hook in watched(store.hooks.all())
        if hook.changes > before.get(hook.name, hook.changes)
    ]


def watched(hooks: Sequence[Hook]) -> list[Hook]:
    """Return the hooks that watch a threshold."""
    return [hook for hook in hooks if hook.when and not hook.paused]


def _counts(hook: Hook, queue: str) -> bool:
    """Whether a queue counts for a hook: deliveries do where `hooks` is asked for by name alone."""
    if is_of_deliveries(queue):
        return hook.queue == DELIVERY_QUEUE
    return hook.queue in (None, queue)
