"""What runs that go on on this machine use at the moment, as far as the system tells."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable

import psutil

from queuectl.domain.frozen import frozen
from queuectl.system.run_processes import members_of_each

_SECONDS = 2.0
"""So long a measurement is told again, however many ask: to look at all processes takes a while."""


@frozen
class Usage:
    """Of the living processes of a run: memory in bytes, and the processor time so far."""

    memory: int
    cpu_seconds: float
    processes: int


class RunUsage:
    """Measures runs by their ids. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Usage | None]] = {}

    def of(self, run_ids: Iterable[str]) -> dict[str, Usage]:
        """Return what runs use; without those of which no process is found on this machine."""
        wanted = list(run_ids)
        with self._lock:
            now = time.monotonic()
            self._known = {
                run_id: known for run_id, known in self._known.items() if now - known[0] < _SECONDS
            }
            if missing := [run_id for run_id in wanted if run_id not in self._known]:
                for run_id, pids in members_of_each(missing).items():
                    self._known[run_id] = (now, _measure(pids))
            usages = {run_id: self._known[run_id][1] for run_id in wanted}
        return {run_id: usage for run_id, usage in usages.items() if usage is not None}


def _measure(pids: Iterable[int]) -> Usage | None:
    memory, cpu_seconds, number = 0, 0.0, 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
                # that of children which have ended counts for whoever has waited for them
                cpu_seconds += sum(times[:4])
                number += 1
    return Usage(memory, cpu_seconds, number) if number else None
