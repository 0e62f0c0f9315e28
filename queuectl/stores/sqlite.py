"""The embedded store: one SQLite file in WAL mode, every write synced before it is answered.

Every write is one `BEGIN IMMEDIATE` transaction, so what the domain decides on inside it is
still so when it is written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.domain.job import Job
from queuectl.domain.times import from_millis, to_millis
from queuectl.domain.transitions import Transition
from queuectl.stores.base import BATCH, ClaimRequest, Fired, Renewal
from queuectl.stores.sqlite_claims import SqliteClaims
from queuectl.stores.sqlite_figures import SqliteFigures
from queuectl.stores.sqlite_hooks import SqliteHooks
from queuectl.stores.sqlite_schedules import SqliteSchedules
from queuectl.stores.sqlite_schema import open_database, translated
from queuectl.stores.sqlite_sync import LogSync
from queuectl.stores.sqlite_turn import WriterTurn, WriteTransaction
from queuectl.stores.sqlite_wake import WakeFifo
from queuectl.waiting import wait_readable

if TYPE_CHECKING:
    from queuectl.domain.schedule import Schedule

_HANDFUL = 32
_LOOK_SECONDS, _DEAF_LOOK_SECONDS = 0.25, 0.1
"""How often to look whether somebody wrote who gave no notice; and where no notice can be heard."""

_BREATH_SECONDS = 0.002
_TURN_SECONDS = 1.0
"""How long a writer waits for its turn before it waits for SQLite's lock, for BUSY_SECONDS."""


class SqliteStore(SqliteClaims, SqliteFigures, SqliteSchedules, SqliteHooks):
    """`Store` over one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connection = open_database(path)
        try:
            self._log = log = LogSync(connection, path)
            self._turn = turn = WriterTurn(path, _TURN_SECONDS)
        except BaseException:
            connection.close()
            raise
        self._transaction = WriteTransaction(connection, turn, log, path)
        self._claiming = WriteTransaction(connection, turn, log, path, lags=True)
        self._wake = WakeFifo(path)
        # a worker need not wait for the disk: nobody was told yet that there is a job
        self._adding = WriteTransaction(connection, turn, log, path, on_commit=self._wake.notify)
        self._identity = _identity(path)
        self._has_slept = False
        self._version_seen = 0  # when this store last looked for work

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Open the store in a file, making it on first use. Raises as `open_database` does."""
        return cls(path)

    @property
    def address(self) -> str:
        """The path of the file."""
        return str(self._path)

    def is_in_place(self) -> bool:
        """Whether no other file has been put where this one was; see `Store.is_in_place`."""
        return _identity(self._path) in (self._identity, None)

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._wake.close()
        self._turn.close()
        self._log.close()
        self._connection.close()

    def now(self) -> datetime:
        """Return this machine's time."""
        return from_millis(time.time_ns() // 1_000_000)

    def _writing(self) -> WriteTransaction:
        return self._transaction

    # jobs

    def add(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        """Insert new jobs; see `Store.add`."""
        if atomic:
            return self._add_batch(jobs, atomic=True)
        refused: set[str] = set()
        for start in range(0, len(jobs), BATCH):
            if start:
                time.sleep(_BREATH_SECONDS)
            refused |= self._add_batch(jobs[start : start + BATCH], atomic=False)
        return frozenset(refused)

    def _add_batch(self, jobs: Sequence[Job], *, atomic: bool) -> frozenset[str]:
        with self._adding:
            return self._add_here(jobs, atomic=atomic)

    def _add_here(self, jobs: Sequence[Job], *, atomic: bool) -> frozenset[str]:
        """Insert new jobs within a transaction; return the ids that are refused."""
        now = self.now()
        fresh, refused = self._divided(jobs)
        if not (atomic and refused):
            self._insert(self._linked(fresh), now)
        return frozenset(refused)

    def _divided(self, jobs: Sequence[Job]) -> tuple[list[Job], set[str]]:
        """Return the jobs whose ids and unique keys are free, and the ids of the others."""
        ids = [job.spec.id for job in jobs]
        uniques = [job.spec.unique for job in jobs if job.spec.unique]
        taken, keys = self._taken(ids), self._keys_taken(uniques)
        if not (taken or uniques) and len(set(ids)) == len(ids):
            return list(jobs), set()
        fresh: list[Job] = []
        refused: set[str] = set()
        for job in jobs:
            spec = job.spec
            if spec.id in taken or spec.unique in keys:
                refused.add(spec.id)
                continue
            taken.add(spec.id)
            if spec.unique:
                keys.add(spec.unique)
            fresh.append(job)
        return fresh, refused

    def fire(self, before: Schedule, job: Job, after: Schedule) -> Fired:
        """Add the run of a schedule and advance it, in one transaction; see `Store.fire`."""
        with self._writing():
            if not self._is_unchanged(before):
                return Fired.LOST
            if self._add_here([job], atomic=False) and not self._taken([job.id]):
                return Fired.OVERLAPS
            self._advance(before, after)
        self._wake.notify()
        return Fired.ENQUEUED

    # the two verbs

    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready; see `Store.claim`."""
        self._version_seen = self._data_version()
        is_certain = request.only or request.repeated
        if not (is_certain or self._has_ready(deliveries=request.deliveries)):
            return None  # without taking the lock that writers need
        with self._claiming:
            claimed = self._claim([request])
        self._after_claim(claimed)
        return claimed[0] if claimed else None

    def settle(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        """Commit the ends of jobs and claim others in one transaction; see `Store.settle`."""
        now = self.now()
        with self._claiming:
            applied = self._commit_together(changes, now)
            claimed = self._claim(requests)
        self._wake_for(changes, applied, now)
        self._after_claim(claimed)
        return applied, claimed

    @property
    def handful(self) -> int:
        """As many as make a transaction cost little more than its rows."""
        return _HANDFUL

    def sync(self) -> None:
        """Return when what was written is on the disk; see `Store.sync`."""
        self._log.catch_up()

    def _after_claim(self, claimed: list[Job]) -> None:
        """A worker that was just woken wakes the next one, if there is more to do."""
        if not claimed:
            self.sync()
        elif self._has_slept:
            self._has_slept = False
            if self._has_ready():
                self._wake.notify()

    def commit(self, change: Transition) -> bool:
        """Apply a transition if its fence holds; see `Store.commit`."""
        now = self.now()
        with self._writing():
            (is_committed,) = self._commit_together([change], now)
        self._wake_for([change], [is_committed], now)
        return is_committed

    def commit_all(self, changes: Sequence[Transition]) -> list[bool]:
        """Apply changes of many jobs in one transaction; see `Store.commit_all`."""
        now = self.now()
        with self._writing():
            applied = [self._commit_or_undo(change, now) for change in changes]
        self._wake_for(changes, applied, now)
        return applied

    def _wake_for(
        self, changes: Sequence[Transition], applied: Sequence[bool], now: datetime
    ) -> None:
        """Wake a worker if what was applied has left a job to be claimed."""
        done = (change.after for change, is_done in zip(changes, applied, strict=True) if is_done)
        if any(after is not None and after.is_ready(now) for after in done):
            self._wake.notify()

    def renew(self, job_id: str, claim_id: str, lease_seconds: float) -> Renewal:
        """Extend a lease; see `Store.renew`."""
        until = to_millis(self.now() + timedelta(seconds=lease_seconds))
        with self._writing():
            row = self._connection.execute(
                "UPDATE jobs SET lease_until = ? WHERE id = ? AND claim_id = ? "
                "RETURNING cancel_requested, held",
                (until, job_id, claim_id),
            ).fetchone()
        return Renewal.of(*row) if row else Renewal.LOST

    # upkeep

    def promote(self, limit: int = BATCH) -> int:
        """Make due jobs claimable; see `Store.promote`."""
        now = to_millis(self.now())
        with translated(self._path):
            due = self._connection.execute(
                "SELECT 1 FROM jobs WHERE ready = 0 AND run_at <= ? LIMIT 1", (now,)
            ).fetchone()
        if due is None:
            return 0
        with self._writing():
            promoted = self._connection.execute(
                "UPDATE jobs SET ready = 1 WHERE seq IN "
                "(SELECT seq FROM jobs WHERE ready = 0 AND run_at <= ? ORDER BY run_at LIMIT ?)",
                (now, limit),
            ).rowcount
        self._wake.notify()
        return promoted

    def repair(self) -> int:
        """Nothing is ever half done here: every move is one transaction."""
        return 0

    # waiting

    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Sleep until somebody wrote to the store; see `Store.wait_for_work`."""
        listening = self._wake.listen()
        descriptors = [wake] if listening is None else [wake, listening]
        pause = _DEAF_LOOK_SECONDS if listening is None else _LOOK_SECONDS
        deadline = time.monotonic() + seconds
        self._has_slept = True
        while (left := deadline - time.monotonic()) > 0:
            if self._data_version() != self._version_seen:
                return
            if wait_readable(descriptors, min(left, pause)):
                self._wake.drain()
                return

    def _data_version(self) -> int:
        """Return a number that changes when another connection has written."""
        with translated(self._path):
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of its name; None where none is to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
