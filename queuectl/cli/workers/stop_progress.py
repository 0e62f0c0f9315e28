"""What a person is told while workers finish their jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from queuectl.cli.progress import Progress
from queuectl.cli.session import Session, print_hint, print_line
from queuectl.domain.errors import QueuectlError
from queuectl.domain.worker_record import LiveWorker
from queuectl.presentation import tables

_LOOK_SECONDS = 1.0


class Farewell:
    """Tells who has stopped, and on a terminal who is waited for. A context manager."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress = Progress()
        self._started = time.monotonic()
        self._looked = self._started - _LOOK_SECONDS
        self._jobs: dict[int, str] = {}

    def __enter__(self) -> Farewell:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.clear()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print_hint("not waited for any longer; what was asked of the workers holds")

    def stopped(self, pid: int) -> None:
        """Tell that a worker has gone."""
        self._progress.clear()
        print_line(f"Worker {pid} stopped")

    def waiting(self, pids: Sequence[int]) -> None:
        """Show which workers are waited for, and for which jobs."""
        if not self._progress.is_due():
            return
        self._look()
        clock = tables.elapsed(time.monotonic() - self._started)
        whom = told_of(pids, self._jobs) or "what hooks are being told"
        self._progress.show(f"{clock}  waiting for {whom}")

    def _look(self) -> None:
        """Read which jobs they have in hand; a store that does not answer is no hindrance."""
        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            workers = self._session.reading().workers()
        except QueuectlError:
            return
        self._jobs = in_hand(workers)


def in_hand(workers: Sequence[LiveWorker]) -> dict[int, str]:
    """Return the job that each worker of these has in hand, by its pid."""
    return {each.record.process.pid: each.job_id for each in workers if each.job_id}


def told_of(pids: Sequence[int], jobs: dict[int, str]) -> str:
    """Return `worker 4711 (job1), 4712`, those with a job first."""
    ordered = sorted(pids, key=lambda pid: pid not in jobs)
    return ", ".join(
        f"worker {pid}" + (f" ({jobs[pid]})" if pid in jobs else "") for pid in ordered
    )
