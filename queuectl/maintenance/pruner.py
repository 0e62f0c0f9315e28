"""What gets too old or too large is let go: settled jobs, past runs, logs and environments.

Deliveries that have ended go by themselves, so that none pile up.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from queuectl.domain.errors import QueuectlError, StoreError
from queuectl.domain.field_checks import is_name
from queuectl.domain.hooks import hook_of
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.settings import Settings
from queuectl.domain.text import counted
from queuectl.queue.kept_worker_logs import forget_logs
from queuectl.queue.run_logs import remove_kept
from queuectl.stores.base import Store
from queuectl.stores.rules import remove_unspared
from queuectl.stores.run_logs import open_run_logs
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.polling import Timer

log = logging.getLogger("queuectl.worker")

DELIVERIES_KEPT = {
    State.COMPLETED: timedelta(hours=1),
    State.CANCELLED: timedelta(days=1),
    State.DEAD: timedelta(days=7),
}
"""How long a delivery is kept in each state: long enough to be looked at."""

_BATCH = 100
_BUDGET_SECONDS = 0.1
_BREATH_SECONDS = 0.002
_IDLE_SECONDS = 5.0
_TURN_SECONDS = 0.5
_DELIVERIES_SECONDS = 60.0
_DELIVERY_LOGS_SECONDS = 3600.0
_LOGS_SECONDS = 60.0
_LOGS_BUDGET_SECONDS = 0.05
_UNUSED_SECONDS = 900.0
_AUDIT_SECONDS = _WORKER_LOGS_SECONDS = 3600.0
_UNUSED_KEPT = timedelta(hours=1)
"""How long an environment is kept that no job names: its job may still be on the way."""


class Pruner:
    """The ageing of one store, and of the logs in one home, a little at a time."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._logs = LogKeeper(store, home)
        self._home = home
        self._job_logs = JobLogs(home)
        self._log_store = ""
        self._timer = Timer(_IDLE_SECONDS)
        self._environments_timer = Timer(_UNUSED_SECONDS, first=_UNUSED_SECONDS)
        self._audit_timer = Timer(_AUDIT_SECONDS)
        self._worker_logs_timer = Timer(_WORKER_LOGS_SECONDS)
        self._deliveries_timer = Timer(_DELIVERIES_SECONDS)
        self._delivery_logs_timer = Timer(_DELIVERY_LOGS_SECONDS, first=_DELIVERY_LOGS_SECONDS)
        self._seen_until: dict[State, datetime | None] = {}

    def tick(self, settings: Settings) -> None:
        """Do what is due, each for no longer than a tenth of a second."""
        self._log_store = settings.log_store
        self._age_out(settings)
        is_due = self._environments_timer.rings()
        if is_due and self._store.try_acquire_turn("environments", _UNUSED_SECONDS):
            self._store.environments.forget(self._store.now() - _UNUSED_KEPT)
        if settings.retention_audit and self._audit_timer.rings():
            age = timedelta(seconds=settings.retention_audit)
            self._store.audit.forget(self._store.now() - age)
        if self._log_store and settings.retention_worker_logs and self._worker_logs_timer.rings():
            self._forget_worker_logs(settings.retention_worker_logs)
        self._logs.tick(settings)
        is_due = self._deliveries_timer.rings()
        if is_due and not self._remove_deliveries(time.monotonic() + _BUDGET_SECONDS):
            self._deliveries_timer.ring_in(1)
        if self._delivery_logs_timer.rings():
            self._remove_delivery_logs()

    def _forget_worker_logs(self, age: float) -> None:
        """Forget old logs of workers of any host, in the log store."""
        if not self._store.try_acquire_turn("kept worker logs", _WORKER_LOGS_SECONDS):
            return
        try:
            place = open_run_logs(self._store, self._log_store)
            if place is not None:
                forget_logs(place, self._store.now().timestamp() - age)
        except QueuectlError as fault:
            log.warning("old logs of workers stay in the log store: %s", fault)

    def _age_out(self, settings: Settings) -> None:
        ages = kept_for(settings)
        if not (ages or settings.retention_history) or not self._timer.rings():
            return
        ends_at = time.monotonic() + _BUDGET_SECONDS
        now = self._store.now()
        limits = {state: now - timedelta(seconds=age) for state, age in ages.items()}
        # looking is cheap, and most of the time there is nothing: only then ask for the turn
        due = [
            state
            for state, before in limits.items()
            if self._store.retention.ended(state, before, 1)
        ]
        past = now - timedelta(seconds=settings.retention_history)
        has_past = settings.retention_history > 0 and self._store.retention.has_past_runs(past)
        if not due and not has_past:
            return
        is_done = False
        if self._store.try_acquire_turn("retention", _TURN_SECONDS):
            is_done = True
            for state in due:
                is_done &= self._remove_ended(state, limits[state], ends_at)
            if has_past:
                is_done &= self._forget_runs(past, ends_at)
        if not is_done:
            self._timer.ring_in(_TURN_SECONDS)

    def _remove_ended(self, state: State, before: datetime, ends_at: float) -> bool:
        """Remove jobs that ended before an instant; return whether there are no more of them.

        A look goes on where the one before it stopped: behind the jobs that have to stay.
        """
        since = self._seen_until.pop(state, None)
        while True:
            batch = self._store.retention.ended(state, before, _BATCH, since)
            removed = self._remove(batch)
            if len(batch) < _BATCH:
                return True
            if len(removed) < _BATCH / 2:
                last = batch[-1].finished_at  # most are parents that are waited for, or runs
                since = last + timedelta(milliseconds=1) if last and last == since else last
            if time.monotonic() >= ends_at:
                self._seen_until[state] = since
                return False
            time.sleep(_BREATH_SECONDS)

    def _remove(self, batch: list[Job]) -> frozenset[str]:
        """Remove settled jobs with their logs; return the ids of those that are gone."""
        removed = remove_unspared(self._store, batch)
        for job_id in removed:
            self._job_logs.remove(job_id)
        if self._log_store and (fault := remove_kept(self._store, self._log_store, removed)):
            log.warning("the kept output of %s stays: %s", counted(len(removed), "job"), fault)
        return removed

    def _forget_runs(self, before: datetime, ends_at: float) -> bool:
        """Forget past runs that ended before an instant; return whether there are no more."""
        while True:
            gone, is_more = self._store.retention.forget_runs(before, _BATCH)
            for job_id, run in gone:
                self._job_logs.remove_run(job_id, run)
            if not is_more:
                return True
            if time.monotonic() >= ends_at:
                return False
            time.sleep(_BREATH_SECONDS)

    def _remove_deliveries(self, ends_at: float) -> bool:
        """Remove deliveries that ended long ago; return whether all of them were looked at."""
        now = self._store.now()
        for state, age in DELIVERIES_KEPT.items():
            while batch := self._store.retention.deliveries_ended(state, now - age, _BATCH):
                removed = self._remove(batch)
                if len(batch) < _BATCH or not removed:
                    break
                if time.monotonic() >= ends_at:
                    return False
        return True

    def _remove_delivery_logs(self) -> None:
        """Remove the logs of deliveries that a worker of another host may have removed."""
        oldest = time.time() - max(DELIVERIES_KEPT.values()).total_seconds() - 86_400
        names: list[str] = []
        with suppress(FileNotFoundError), os.scandir(self._home.job_logs) as entries:
            names += [
                entry.name
                for entry in entries
                if hook_of(entry.name) and entry.stat(follow_symlinks=False).st_mtime < oldest
            ]
        for name in names:
            self._job_logs.remove(name)


def kept_for(settings: Settings) -> dict[State, float]:
    """Return how many seconds the jobs of each state are kept that are not kept for ever."""
    ages = {
        State.COMPLETED: settings.retention_completed,
        State.CANCELLED: settings.retention_cancelled,
        State.DEAD: settings.retention_dead,
    }
    return {state: age for state, age in ages.items() if age > 0}


class LogKeeper:
    """Keeps the logs in one home below their limit, and removes those of jobs that are gone.

    A home may hold a hundred thousand directories, so they are walked a little a tick.
    """

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home
        self._job_logs = JobLogs(home)
        self._turn = f"logs {socket.gethostname()} {home.root}"
        self._timer = Timer(_LOGS_SECONDS)
        self._walk: Iterator[None] | None = None

    def tick(self, settings: Settings) -> None:
        """Go on with a walk, or begin one when it is due."""
        ends_at = time.monotonic() + _LOGS_BUDGET_SECONDS
        if self._walk is None:
            is_wanted = settings.max_log_bytes or settings.retention_history or kept_for(settings)
            if not is_wanted or not self._timer.rings():
                return
            if not self._store.try_acquire_turn(self._turn, _LOGS_SECONDS):
                return
            self._walk = self.keep(settings)
        try:
            for _ in self._walk:
                if time.monotonic() >= ends_at:
                    return
        except StoreError:
            self._walk = None
            raise
        self._walk = None

    def keep(self, settings: Settings) -> Iterator[None]:
        """Walk all logs once, in steps; what is too much is gone at the end."""
        if self._home.logs.is_symlink() or self._home.job_logs.is_symlink():
            return
        found: list[tuple[float, int, str]] = []
        for path in _directories(self._home.job_logs):
            status = _statuses(path).values()
            written = max((each.st_mtime for each in status), default=0.0)
            found.append((written, sum(map(_room_of, status)), path.name))
            yield
        found.sort()
        ages = kept_for(settings)
        if ages:
            # whose job was removed by a worker of another host
            oldest = time.time() - max(ages.values())
            yield from self._remove_orphans([name for at, _, name in found if at < oldest])
        if settings.retention_history:
            oldest = time.time() - settings.retention_history
            yield from self._remove_past([name for _, _, name in found], oldest)
        if settings.max_log_bytes:
            yield from self._shrink(found, settings.max_log_bytes)

    def _remove_orphans(self, names: list[str]) -> Iterator[None]:
        for start in range(0, len(names), _BATCH):
            some = names[start : start + _BATCH]
            present = self._store.present(some)
            for name in some:
                if name not in present:
                    self._job_logs.remove(name)
            yield

    def _remove_past(self, names: list[str], oldest: float) -> Iterator[None]:
        """Remove old logs of runs that a worker of another host took off the history."""
        for name in names:
            old = _runs_written_before(self._job_logs.directory(name), oldest)
            if old and (job := self._store.get(name)) and job.state is not State.PROCESSING:
                for run in old - {job.runs, *(run.n for run in job.history)}:
                    self._job_logs.remove_run(name, run)
            yield

    def _shrink(self, found: list[tuple[float, int, str]], limit: int) -> Iterator[None]:
        """Remove the logs that were written to longest ago, but not those of unsettled jobs."""
        total = sum(size for _, size, _ in found)
        removed = 0
        for _, size, name in found:
            if total <= limit:
                break
            job = self._store.get(name)
            if job is None or job.state in SETTLED:
                self._job_logs.remove(name)
                total -= size
                removed += 1
            yield
        if removed:
            log.info("removed the logs of %s: max_log_bytes is %d", counted(removed, "job"), limit)


def _directories(folder: Path) -> Iterator[Path]:
    """Yield the directories of jobs in a folder; there may be none."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if is_name(entry.name) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _statuses(directory: Path) -> dict[str, os.stat_result]:
    """Return the status of each log in a directory, none if that is removed meanwhile."""
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        return {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    return {}


def _room_of(status: os.stat_result) -> int:
    """Return how many bytes a file takes: less than its size where a part of it was dropped."""
    return min(status.st_size, status.st_blocks * 512)


def _runs_written_before(directory: Path, oldest: float) -> set[int]:
    """Return the runs whose logs were last written to before an instant, but for the latest run."""
    written: dict[int, float] = {}
    for name, status in _statuses(directory).items():
        number, _, suffix = name.partition(".")
        if number.isdecimal() and suffix in ("out", "err"):
            written[int(number)] = max(status.st_mtime, written.get(int(number), 0.0))
    return {run for run, at in written.items() if at < oldest and run < max(written)}
