"""What a person is told while a file of jobs is enqueued."""

from __future__ import annotations

from queuectl.cli.enqueue import Report
from queuectl.cli.progress import Progress
from queuectl.cli.session import on_terminal, say
from queuectl.queue import Enqueued

_TOLD_ONE_BY_ONE = 10


class BatchReport(Report):
    """Tells of the first jobs one by one on a terminal, and of the others by their number.

    Where standard output is no terminal every job is told of there, and how many on the screen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._progress = Progress()

    def add(self, result: Enqueued) -> None:
        """Tell of one job that is stored."""
        self._count += 1
        if not on_terminal() or self._count <= _TOLD_ONE_BY_ONE:
            super().add(result)
        self._progress.show(f"{self._count:,} jobs enqueued")

    def close(self) -> None:
        """Tell how many there were."""
        self._progress.clear()
        if on_terminal() and self._count > _TOLD_ONE_BY_ONE:
            say(f"… {self._count:,} jobs enqueued")
