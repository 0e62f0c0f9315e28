"""Deliveries that have ended are let go by themselves, with their logs, so that none pile up."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from queuectl.domain.hooks import hook_of
from queuectl.domain.job import State
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Store
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs

KEPT = {
    State.COMPLETED: timedelta(hours=1),
    State.CANCELLED: timedelta(days=1),
    State.DEAD: timedelta(days=7),
}
"""How long a delivery is kept in each state: long enough to be looked at."""

_LOOK_SECONDS = 60.0
_BUDGET_SECONDS = 0.1
_TELL_SECONDS = 0.5
_BATCH = 100
_LOGS_SECONDS = 3600.0


class DeliveryPruner:
    """The ageing of the deliveries of one store, and of their logs in one home."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home
        self._job_logs = JobLogs(home)
        self._next_look = 0.0
        self._next_logs = time.monotonic() + _LOGS_SECONDS

    def tick(self) -> None:
        """Do what is due, for no longer than a tenth of a second."""
        present = time.monotonic()
        if present >= self._next_look:
            self._next_look = present + _LOOK_SECONDS
            if not self._remove(present + _BUDGET_SECONDS):
                self._next_look = present + 1
        if present >= self._next_logs:
            self._next_logs = present + _LOGS_SECONDS
            self._remove_logs()

    def _remove(self, ends_at: float) -> bool:
        """Remove deliveries that ended long ago; return whether all of them were looked at."""
        now = self._store.now()
        for state, age in KEPT.items():
            while batch := self._store.deliveries_ended(state, now - age, _BATCH):
                if not process_all_events(self._store, _TELL_SECONDS):
                    return False  # what they have been through would go with them
                removed = self._store.remove(batch)
                for job_id in removed:
                    self._job_logs.remove(job_id)
                if len(batch) < _BATCH or not removed:
                    break
                if time.monotonic() >= ends_at:
                    return False
        return True

    def _remove_logs(self) -> None:
        """Remove the logs of deliveries that a worker of another host may have removed."""
        oldest = time.time() - max(KEPT.values()).total_seconds() - 86_400
        try:
            with os.scandir(self._home.job_logs) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if hook_of(entry.name) and entry.stat(follow_symlinks=False).st_mtime < oldest
                ]
        except FileNotFoundError:
            return
        for name in names:
            self._job_logs.remove(name)
