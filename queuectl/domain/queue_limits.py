"""What people decide about a queue as a whole, and how full it is."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import Spec

ONE_JOB = "+run"
"""Stands for the queues of a worker that was started for one job, and takes no other."""

DELIVERY_QUEUE = "hooks"
"""What people call the queues of all deliveries: to limit or pause them, or to make them alone."""

FIRST_NAME = "0"
"""No name of a queue that people use sorts before this; the queues of deliveries do."""

DELIVERY_IDS = "hook:"
"""What the ids of all deliveries begin with."""

_DELIVERIES = "+hook:"


def delivery_queue(hook: str) -> str:
    """Return the queue in which the deliveries of a hook wait: no job is ever put into it."""
    return f"{_DELIVERIES}{hook}"


def is_of_deliveries(queue: str) -> bool:
    """Whether a queue holds deliveries of hooks, and no jobs."""
    return queue < FIRST_NAME


def hook_of_queue(queue: str) -> str:
    """Return the hook whose deliveries a queue holds, which has been asked for by that name."""
    return queue.removeprefix(_DELIVERIES)


def queue_title(queue: str) -> str:
    """Return a queue as a table names it: `gpu`, or `hook oncall` for that hook's deliveries."""
    return f"hook {hook_of_queue(queue)}" if is_of_deliveries(queue) else queue


def queue_words(queue: str) -> str:
    """Return a queue as a sentence names it: `queue gpu`, or `hook oncall`."""
    return queue_title(queue) if is_of_deliveries(queue) else f"queue {queue}"


@frozen
class QueueLimit:
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
                f"slots {spec.slots} is more than the limit of queue '{spec.queue}' ({self.limit})"
            )

    def shut_reason(self, queue: str, slots: int) -> str | None:
        """Return why a due job of that many slots is not started, or None."""
        if self.paused:
            return f"{queue_words(queue)} is paused"
        if self.limit and slots > self.limit:
            return f"needs {slots} slots, {queue_words(queue)} has {self.limit}"
        if not self.has_room(slots):
            return f"{queue_words(queue)} is at its limit ({self.limit})"
        return None


OPEN = QueueLimit()
"""A queue about which nothing was decided."""

QueueLimits = Mapping[str, QueueLimit]
"""The queues about which something was decided, by name."""
