"""What can be done to a job from the screen; each tells in a line what became of it."""

from __future__ import annotations

from collections.abc import Callable

from queuectl.domain.job import State
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation.follower import Action
from queuectl.queue import Queue


def _cancel(job_id: str) -> Action:
    def act(queue: Queue) -> str:
        job = queue.cancel(job_id)
        is_done = job.state is State.CANCELLED
        return f"Cancelled job '{job_id}'" if is_done else f"Stopping job '{job_id}'"

    return act


def _retry(job_id: str) -> Action:
    return lambda queue: f"Job '{queue.retry(job_id).id}' is pending again"


def _pause(job_id: str) -> Action:
    """Pause a job, or let it go on where it is paused."""

    def act(queue: Queue) -> str:
        if queue.get(job_id).paused:
            queue.resume(job_id)
            return f"Resumed job '{job_id}'"
        queue.pause(job_id)
        return f"Paused job '{job_id}'"

    return act


def _pause_queue(job_id: str) -> Action:
    """Pause the queue that a job is in, or open it where it is paused."""

    def act(queue: Queue) -> str:
        name = queue.get(job_id).spec.queue
        if queue.queue_limits().get(name, OPEN).paused:
            queue.resume_queue(name)
            return f"Resumed queue '{name}'"
        queue.pause_queue(name)
        return f"Paused queue '{name}'"

    return act


def _delete(job_id: str) -> Action:
    def act(queue: Queue) -> str:
        queue.delete(job_id)
        return f"Job '{job_id}' deleted"

    return act


ACTIONS: dict[str, Callable[[str], Action]] = {
    "cancel": _cancel,
    "retry": _retry,
    "pause": _pause,
    "pause queue": _pause_queue,
    "delete": _delete,
}
"""What each verb does to a job, or to the queue that it is in."""
