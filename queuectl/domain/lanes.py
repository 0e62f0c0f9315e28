"""What people decide about a queue as a whole, and how full it is."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Spec
from queuectl.domain.values import frozen

MAX_LIMIT = 1_000_000


@frozen
class Lane:
    """One queue: whether it is paused, how many slots may run at once (0: any number).

    `used` counts the slots of its jobs that run; it is 0 where there is no limit.
    """

    paused: bool = False
    limit: int = 0
    used: int = 0

    def has_room(self, slots: int) -> bool:
        """Whether a job of that many slots may start beside those that run."""
        return not self.limit or self.used + slots <= self.limit

    def require(self, spec: Spec) -> None:
        """Raise InvalidInput for a job that can never run here."""
        if self.limit and spec.slots > self.limit:
            raise InvalidInput(
                f"slots {spec.slots} is more than the limit of queue {spec.queue} ({self.limit})"
            )

    def shut_reason(self, queue: str, slots: int) -> str | None:
        """Return why a due job of that many slots is not started, or None."""
        if self.paused:
            return f"queue {queue} is paused"
        if self.limit and slots > self.limit:
            return f"needs {slots} slots, queue {queue} has {self.limit}"
        if not self.has_room(slots):
            return f"queue {queue} is at its limit ({self.limit})"
        return None


OPEN = Lane()
"""A queue about which nothing was decided."""

Lanes = Mapping[str, Lane]
"""The queues about which something was decided, by name."""
