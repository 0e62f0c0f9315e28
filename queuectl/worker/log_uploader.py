"""Keeping output and logs for other hosts: a thread beside the jobs, which it never holds up.

What it has to do is in a list on the disk (`unsent_runs`) before each run begins, so that a worker
that dies leaves it to the next one. A log store that is away is tried again; until then the output
is in the files of this host, as ever.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.settings import Settings
from queuectl.queue.kept_worker_logs import keep_logs
from queuectl.stores.base import Store
from queuectl.stores.components import RunLogs
from queuectl.stores.exchange import KeptRun
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_archive import pack
from queuectl.system.worker_logs import log_name
from queuectl.worker.unsent_runs import BegunRun, UnsentRuns

log = logging.getLogger("queuectl.worker")

_AT_ONCE = 100
_BYTES_AT_ONCE = 8 * 2**20
_PAUSES = (0.5, 60.0)
"""The first and the longest wait after a failure."""

_ADOPTION_SECONDS = 60.0
_LEAVING_SECONDS = 5.0
_TICK_SECONDS = 1.0
_QUIET_SECONDS = 0.5
_LATE_SECONDS = 10.0
"""Output of runs is sent once none has ended for a moment, and at most so long after the first."""


class LogUploader:
    """Keeps the output of one worker's runs while the setting `log_store` says where."""

    def __init__(
        self,
        home: Home,
        worker_id: str,
        open_store: Callable[[], Store],
        settings: Callable[[], Settings],
    ) -> None:
        self._logs = JobLogs(home)
        self._folder = home.worker_logs
        self._own_log = log_name(worker_id)
        self._turn = f"worker logs {socket.gethostname()} {home.root}"
        self._list = UnsentRuns(home, worker_id)
        self._open_store = open_store
        self._settings = settings
        self._store: Store | None = None
        self._place: tuple[str, RunLogs | None] = ("", None)
        self._lock = threading.Lock()
        self._running: dict[str, BegunRun] = {}
        self._ended: list[BegunRun] = []
        self._ended_at = (0.0, 0.0)
        self._leaves, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._is_away = self._has_sent_logs = self._is_leaving = False

    def start(self) -> None:
        """Take over what workers left that have died, and begin to upload, if that is wanted."""
        if self._settings().log_store and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
            self._thread.start()

    def begin(self, job: Job) -> None:
        """Note a run that is about to begin."""
        if not self._settings().log_store:
            return
        self.start()
        run = BegunRun(job.id, job.runs, job.claim_id)
        try:
            with self._lock:
                self._list.add(run)
                self._running[run.claim_id] = run
        except (QueuectlError, OSError) as fault:
            self._note_away(fault)

    def end(self, claim_id: str, *, has_output: bool) -> None:
        """Note that a run has ended, its files are closed, and whether it wrote anything."""
        if not self._running:
            return
        with self._lock:
            run = self._running.pop(claim_id, None)
            if run is not None and has_output:
                now = time.monotonic()
                self._ended_at = (self._ended_at[0] if self._ended else now, now)
                self._ended.append(run)

    def close(self) -> None:
        """Upload what is left, for some seconds at most; the next worker does the rest."""
        if self._thread is None:
            return
        self._is_leaving = True
        ends_at = time.monotonic() + _LEAVING_SECONDS
        while self._ended and not self._is_away and time.monotonic() < ends_at:
            self._leaves.set()
            time.sleep(0.01)
        self._over.set()
        self._leaves.set()
        self._thread.join(_LEAVING_SECONDS)
        with self._lock:
            self._list.keep((*self._running.values(), *self._ended))
            self._list.close()

    def _run(self) -> None:
        pause, longest = _PAUSES
        adopt_at = 0.0
        while not self._over.is_set():
            try:
                if time.monotonic() >= adopt_at:
                    self._adopt()
                    self._send_logs()
                    adopt_at = time.monotonic() + _ADOPTION_SECONDS
                if self._is_time:
                    self._send_ended()
                self._forget_silent()
                self._note_back()
                pause = _PAUSES[0]
            except Exception as fault:
                self._note_away(fault)
                self._close_store()
                self._over.wait(pause)
                pause = min(pause * 2, longest)
                continue
            self._leaves.wait(_TICK_SECONDS)
            self._leaves.clear()
        self._send_own_log()
        self._close_store()

    @property
    def _is_time(self) -> bool:
        """Whether to send what has ended: not while runs end one upon the other, for a while."""
        if self._is_leaving:
            return True
        first, latest = self._ended_at
        now = time.monotonic()
        return now - latest >= _QUIET_SECONDS or now - first >= _LATE_SECONDS

    def _forget_silent(self) -> None:
        """Take runs that wrote nothing off the list, once there is room to be won."""
        with self._lock:
            self._list.keep((*self._running.values(), *self._ended))

    def _send_ended(self) -> None:
        while self._ended:
            some = self._ended[:_AT_ONCE]
            self._send(some)
            with self._lock:
                del self._ended[: len(some)]
                self._list.keep((*self._running.values(), *self._ended))

    def _adopt(self) -> None:
        """Send what a dead worker has left."""
        for path, file, runs in self._list.orphans():
            try:
                for start in range(0, len(runs), _AT_ONCE):
                    self._send(runs[start : start + _AT_ONCE])
                path.unlink(missing_ok=True)
            finally:
                os.close(file)

    def _send(self, runs: Sequence[BegunRun]) -> None:
        """Keep the output of runs, those that have any. Raises what the log store raises."""
        settings = self._settings()
        place = self._kept_logs(settings.log_store)
        if place is None:
            return
        packed: list[KeptRun] = []
        size = 0
        for run in runs:
            data = pack(self._logs, run.job_id, run.run, settings.log_store_bytes)
            if data is None:
                continue
            packed.append(KeptRun(run.job_id, run.run, run.claim_id, data))
            size += len(data)
            if size >= _BYTES_AT_ONCE:
                place.put(packed)
                packed, size = [], 0
        if packed:
            place.put(packed)

    def _send_logs(self) -> None:
        """Keep the logs of this home's processes that have changed, if no other worker does."""
        place = self._kept_logs(self._settings().log_store)
        if place is None or self._store is None:
            return
        # at first, and after a failure, what others are about to do may have failed too
        is_ours = self._store.try_acquire_turn(self._turn, _ADOPTION_SECONDS - 5)
        if is_ours or not self._has_sent_logs:
            self._has_sent_logs = False
            keep_logs(place, self._folder, lambda _name: True, self._oldest)
            self._has_sent_logs = True

    def _send_own_log(self) -> None:
        """Keep the log of a worker that leaves; where that fails the next one of its home does."""
        try:
            place = self._kept_logs(self._settings().log_store)
            if place is not None:
                keep_logs(place, self._folder, lambda name: name == self._own_log, self._oldest)
        except Exception as fault:
            log.debug("%s", fault)

    @property
    def _oldest(self) -> float:
        """When a log was written to at least that is kept, in seconds since 1970."""
        age = self._settings().retention_worker_logs
        return time.time() - age if age else 0.0

    def _kept_logs(self, log_store: str) -> RunLogs | None:
        if self._store is None or self._place[0] != log_store:
            self._close_store()
            self._store = self._open_store()
            self._place = log_store, open_run_logs(self._store, log_store)
        return self._place[1]

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _note_away(self, fault: Exception) -> None:
        if not self._is_away:
            log.warning("the output of runs is not kept for other hosts: %s; trying again", fault)
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            log.info("the output of runs is kept for other hosts again")
        self._is_away = False
