"""queuectl, the job queue for shell commands.

from queuectl import open_queue

with open_queue() as queue:
    queue.enqueue("echo Hello")
"""

from __future__ import annotations

__all__ = ["Job", "Queue", "State", "__version__", "open_queue"]

TYPE_CHECKING = False  # as typing's own, which takes longer to load than Ctrl-C should have to wait
if TYPE_CHECKING:
    from typing import Any

    from queuectl.domain.job import Job, State
    from queuectl.queue import Queue, open_queue
    from queuectl.version import __version__


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that a command pays only for what it needs."""
    if name in ("Queue", "open_queue"):
        from queuectl import queue

        return getattr(queue, name)
    if name in ("Job", "State"):
        from queuectl.domain import job

        return getattr(job, name)
    if name == "__version__":
        from queuectl import version

        return version.__version__
    raise AttributeError(f"module 'queuectl' has no attribute '{name}'")
