"""What gets too old or too large is let go: settled jobs, past runs, logs and environments."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from queuectl.domain.errors import StoreError
from queuectl.domain.field_checks import is_name
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.settings import Settings
from queuectl.maintenance.delivery_pruner import DeliveryPruner
from queuectl.queue.events import process_all_events
from queuectl.stores.base import Store
from queuectl.stores.rules import remove_unspared
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs

log = logging.getLogger("queuectl.worker")

_BATCH = 100
_BUDGET_SECONDS = 0.1
_BREATH_SECONDS = 0.002
_TELL_SECONDS = 0.5
_IDLE_SECONDS = 5.0
_TURN_SECONDS = 0.5
_LOGS_SECONDS = 60.0
_LOGS_BUDGET_SECONDS = 0.05
_ENVIRONMENT_SECONDS = 3600.0
"""How long an environment is kept that no job names: its job may still be on the way."""


class Pruner:
    """The ageing of one store, and of the logs in one home, a little at a time."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._logs = LogKeeper(store, home)
        self._job_logs = JobLogs(home)
        self._delivered = DeliveryPruner(store, home)
        self._next_look = self._next_environments = 0.0
        self._seen_until: dict[State, datetime | None] = {}

    def tick(self, settings: Settings) -> None:
        """Do what is due, for no longer than a tenth of a second."""
        self._age_out(settings)
        self._forget_environments()
        self._logs.tick(settings)
        self._delivered.tick()

    def _age_out(self, settings: Settings) -> None:
        present = time.monotonic()
        ages = kept_for(settings)
        if not (ages or settings.retention_history) or present < self._next_look:
            return
        self._next_look = present + _IDLE_SECONDS
        now = self._store.now()
        limits = {state: now - timedelta(seconds=age) for state, age in ages.items()}
        # looking is cheap, and most of the time there is nothing: only then ask for the turn
        due = [state for state, before in limits.items() if self._store.ended(state, before, 1)]
        past = now - timedelta(seconds=settings.retention_history)
        has_past = settings.retention_history > 0 and self._store.has_past_runs(past)
        if not due and not has_past:
            return
        self._next_look = present + _TURN_SECONDS
        if not self._store.try_acquire_turn("retention", _TURN_SECONDS):
            return
        ends_at = time.monotonic() + _BUDGET_SECONDS
        is_done = True
        for state in due:
            is_done &= self._remove_ended(state, limits[state], ends_at)
        if has_past:
            is_done &= self._forget_runs(past, ends_at)
        if is_done:
            self._next_look = present + _IDLE_SECONDS

    def _remove_ended(self, state: State, before: datetime, ends_at: float) -> bool:
        """Remove jobs that ended before an instant; return whether there are no more of them.

        A look goes on where the one before it stopped: behind the jobs that have to stay.
        """
        since = self._seen_until.pop(state, None)
        while True:
            batch = self._store.ended(state, before, _BATCH, since)
            if batch and not process_all_events(self._store, _TELL_SECONDS):
                self._seen_until[state] = since
                return False  # what they have been through would go with them
            removed = remove_unspared(self._store, batch)
            for job_id in removed:
                self._job_logs.remove(job_id)
            if len(batch) < _BATCH:
                return True
            if len(removed) < _BATCH / 2:
                since = _past(batch, since)  # most are parents that are waited for, or runs
            if time.monotonic() >= ends_at:
                self._seen_until[state] = since
                return False
            time.sleep(_BREATH_SECONDS)

    def _forget_runs(self, before: datetime, ends_at: float) -> bool:
        """Forget past runs that ended before an instant; return whether there are no more."""
        while True:
            gone, is_more = self._store.forget_runs(before, _BATCH)
            for job_id, run in gone:
                self._job_logs.remove_run(job_id, run)
            if not is_more:
                return True
            if time.monotonic() >= ends_at:
                return False
            time.sleep(_BREATH_SECONDS)

    def _forget_environments(self) -> None:
        present = time.monotonic()
        if present < self._next_environments:
            return
        is_first = self._next_environments == 0
        self._next_environments = present + _ENVIRONMENT_SECONDS / 4
        if not is_first and self._store.try_acquire_turn("environments", _ENVIRONMENT_SECONDS / 4):
            unused_since = self._store.now() - timedelta(seconds=_ENVIRONMENT_SECONDS)
            self._store.forget_environments(unused_since)


def kept_for(settings: Settings) -> dict[State, float]:
    """Return how many seconds the jobs of each state are kept that are not kept for ever."""
    ages = {
        State.COMPLETED: settings.retention_completed,
        State.CANCELLED: settings.retention_cancelled,
        State.DEAD: settings.retention_dead,
    }
    return {state: age for state, age in ages.items() if age > 0}


def _past(batch: list[Job], since: datetime | None) -> datetime | None:
    """Return where to go on after a batch of which most is kept; always further."""
    last = batch[-1].finished_at
    if last is not None and last == since:
        return last + timedelta(milliseconds=1)
    return last


class LogKeeper:
    """Keeps the logs in one home below their limit, and removes those of jobs that are gone.

    A home may hold a hundred thousand directories, so they are walked a little a tick.
    """

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home
        self._job_logs = JobLogs(home)
        self._turn = f"logs {socket.gethostname()} {home.root}"
        self._next_walk = 0.0
        self._walk: Iterator[None] | None = None

    def tick(self, settings: Settings) -> None:
        """Go on with a walk, or begin one when it is due."""
        present = time.monotonic()
        if self._walk is None:
            is_wanted = settings.max_log_bytes or settings.retention_history or kept_for(settings)
            if not is_wanted or present < self._next_walk:
                return
            self._next_walk = present + _LOGS_SECONDS
            if not self._store.try_acquire_turn(self._turn, _LOGS_SECONDS):
                return
            self._walk = self.keep(settings)
        ends_at = present + _LOGS_BUDGET_SECONDS
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
            found.append((*_age_and_size(path), path.name))
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
            log.info("removed the logs of %d job(s): max_log_bytes is %d", removed, limit)


def _directories(folder: Path) -> Iterator[Path]:
    """Yield the directories of jobs in a folder; there may be none."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_name(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
    except FileNotFoundError:
        return


def _age_and_size(directory: Path) -> tuple[float, int]:
    """Return when a job's logs were last written to, and how many bytes they have."""
    written, size = 0.0, 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                written = max(written, status.st_mtime)
                size += status.st_size
    except FileNotFoundError:
        pass  # removed meanwhile
    return written, size


def _runs_written_before(directory: Path, oldest: float) -> set[int]:
    """Return the runs whose logs were last written to before an instant, but for the latest run."""
    written: dict[int, float] = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                number, _, suffix = entry.name.partition(".")
                if number.isdecimal() and suffix in ("out", "err"):
                    at = entry.stat(follow_symlinks=False).st_mtime
                    written[int(number)] = max(at, written.get(int(number), 0.0))
    except FileNotFoundError:
        pass  # removed meanwhile
    return {run for run, at in written.items() if at < oldest and run < max(written)}
