"""The logs of workers of any host: from files here, from a living worker, or as they are kept."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from queuectl.domain.errors import QueuectlError
from queuectl.queue.kept_worker_logs import kept_log, kept_logs
from queuectl.queue.live_logs import RemoteLog
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.polling import Timer
from queuectl.system.processes import is_live
from queuectl.system.worker_logs import Trail, host_of_log, is_log_of, log_name, logs_of

if TYPE_CHECKING:
    from queuectl.domain.settings import Settings
    from queuectl.stores.base import Store
    from queuectl.stores.components import RunLogs
    from queuectl.system.home import Home

_PATIENCE_SECONDS = 15.0
"""How long a worker is waited for that lives and does not answer."""

_REGISTRY_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_MOST_LOGS = 50
"""Of so many processes of a host that have ended the logs are fetched, the latest."""

_TRIES = 15
"""So often it is looked whether the log store has the last words of a worker that has left."""

_LAST_LINES = 1000

Lines = list[tuple[str, bytes]]
"""The names of logs, each with whole lines of it."""


class WorkerLogs:
    """The logs of workers of other homes: of one, named by its id or pid, or of all of a host.

    `here` are the names of logs that are read from the files of this home, and not asked for.
    """

    def __init__(
        self, store: Store, settings: Settings, worker_id: str | None, host: str | None
    ) -> None:
        self._store = store
        self._log_store = settings.log_store
        self._worker_id = worker_id
        self._host = log_name(host) if host is not None else None
        self._living: dict[str, RemoteLog] = {}
        self._last_lines: dict[str, bytes] = {}
        self._left: dict[str, int] = {}
        self._registry = Timer(_REGISTRY_SECONDS)
        self.trouble: QueuectlError | None = None
        """Why the log store gave nothing."""

    def is_wanted(self, name: str) -> bool:
        """Whether a log is one of those that are asked for."""
        if self._host is not None and host_of_log(name) != self._host:
            return False
        return self._worker_id is None or is_log_of(name, self._worker_id)

    def first(self, here: frozenset[str]) -> Lines:
        """Return what there is of each log: of one that is being written its end.

        It waits for workers that live to answer. Raises StoreError.
        """
        self._look_at_registry(here)
        found: Lines = []
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while any(not log.has_answered for log in self._living.values()):
            time.sleep(_PAUSE_SECONDS)
            found += self._sent()
            if time.monotonic() >= ends_at:
                break
        answered = frozenset(name for name, log in self._living.items() if log.has_answered)
        return found + self._kept(here | answered)

    def news(self, here: frozenset[str]) -> Lines:
        """Return what has been logged since, also by workers that have come. Raises StoreError."""
        found = self._sent()
        if self._registry.rings():
            self._look_at_registry(here)
            found += self._last_words()
        return found

    def close(self) -> None:
        """Look no more."""
        for log in self._living.values():
            log.close()

    def _look_at_registry(self, here: frozenset[str]) -> None:
        """Ask workers that are new, and those no more that have gone."""
        if self._store.log_wishes is None:
            return
        now, alive = self._store.now(), set[str]()
        for worker in self._store.workers.all():
            name = log_name(worker.id)
            if name in here or not self.is_wanted(name) or not is_live(worker, now):
                continue
            alive.add(name)
            if name not in self._living and worker.report is not None:  # an older one says nothing
                self._living[name] = RemoteLog(self._store, worker.id)
        for name in self._living.keys() - alive:
            self._living.pop(name).close()
            self._left[name] = _TRIES

    def _sent(self) -> Lines:
        found = [(name, lines) for name, log in self._living.items() if (lines := log.lines())]
        for name, lines in found:
            self._last_lines[name] = _last_line(lines)
        return found

    def _last_words(self) -> Lines:
        """Return what workers that have left have logged since they were asked last, as kept."""
        found: Lines = []
        for name in [*self._left]:
            self._left[name] -= 1
            if self._left[name] <= 0:
                del self._left[name]
            place, last = self._place(), self._last_lines.get(name)
            if place is not None and last is not None:
                with suppress(QueuectlError):  # it is tried again
                    if lines := kept_log(place, name).partition(last)[2]:
                        self._last_lines[name] = _last_line(lines)
                        found.append((name, lines))
        return found

    def _kept(self, known: frozenset[str]) -> Lines:
        """Return what is kept of logs that nobody else has; `trouble` tells why there is none."""
        host = self._host or host_of_log(log_name(self._worker_id or ""))
        if not host or log_name(self._worker_id or "") in known:
            return []
        try:
            place = self._place()
            if place is None:
                return []
            names = [name for name in kept_logs(place, host) if self.is_wanted(name)]
            wanted = [name for name in names if name not in known][:_MOST_LOGS]
            return [(name, kept_log(place, name)) for name in wanted]
        except QueuectlError as fault:
            self.trouble = fault
            return []

    def _place(self) -> RunLogs | None:
        return open_run_logs(self._store, self._log_store)


def end_of_log(store: Store, home: Home, settings: Settings, worker_id: str) -> bytes:
    """Return the last lines of a worker's log on any host; nothing where there is none.

    Raises StoreError, and what the log store raises.
    """
    for name, paths in logs_of(home.worker_logs).items():
        if is_log_of(name, worker_id):
            return Trail().read(paths, _LAST_LINES)
    logs = WorkerLogs(store, settings, worker_id, None)
    try:
        found = b"".join(lines for _, lines in logs.first(frozenset()))
    finally:
        logs.close()
    if logs.trouble is not None:
        raise logs.trouble
    return found


def _last_line(lines: bytes) -> bytes:
    return lines[lines[:-1].rfind(b"\n") + 1 :]
