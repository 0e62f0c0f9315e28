"""Which hooks are slow: they get at most a part of what a courier delivers at once.

Each hook alone is held to the limit of its queue. Many that hang together would take all the
room there is, so those that have just been slow share half of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable

from queuectl.domain.job import Outcome
from queuectl.domain.queue_limits import delivery_queue

SLOW_SECONDS = 2.0
"""A delivery that takes longer is slow."""

_REMEMBERED_SECONDS = 300.0


class Sluggish:
    """What one courier knows of the hooks whose deliveries take long.

    `most` is how many deliveries there may be at once that are slow, or are of slow hooks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._slow: dict[str, float] = {}

    def note(self, hook: str, outcome: Outcome) -> None:
        """Remember how a delivery of a hook has ended."""
        if outcome.duration > SLOW_SECONDS:
            self._slow[hook] = time.monotonic()
        else:
            self._slow.pop(hook, None)

    def claimable(
        self, going: Iterable[tuple[str, float]], hooks: Collection[str]
    ) -> tuple[str, ...] | None:
        """Return the queues to claim from now, of all hooks; none named: any. None: from no queue.

        `going` has the hook of each delivery that goes out, and when it began (monotonic).
        """
        present = time.monotonic()
        slow = {name for name, at in self._slow.items() if present - at < _REMEMBERED_SECONDS}
        taken = Counter(
            name for name, begun in going if name in slow or present - begun > SLOW_SECONDS
        )
        if taken.total() < self._most:
            return ()
        return (
            tuple(delivery_queue(name) for name in hooks if name not in slow | set(taken)) or None
        )
