"""The embedded store: one SQLite file in WAL mode, every write synced before it is answered.

Every write is one `BEGIN IMMEDIATE` transaction, so what the domain decides on inside it is
still so when it is written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreLocked, StoreUnavailable
from queuectl.domain.job import Job, State
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores.base import BATCH, ClaimRequest, Fired, Renewal
from queuectl.stores.sqlite.claims import SqliteClaims
from queuectl.stores.sqlite.database import (
    EXCHANGED_SECONDS,
    close_database,
    open_database,
    translated,
)
from queuectl.stores.sqlite.named import SqliteHooks, SqliteSchedules
from queuectl.stores.sqlite.stats import SqliteFigures
from queuectl.stores.sqlite.transaction import (
    TURN_SECONDS,
    LogSync,
    WriterLock,
    WriterTurn,
    WriteTransaction,
)
from queuectl.stores.sqlite.wakeup import WakeFifo
from queuectl.stores.sqlite.writes import PreparedInsert
from queuectl.system.polling import wait_readable

if TYPE_CHECKING:
    from queuectl.domain.schedule import Schedule

_HANDFUL = 32

_SKEW = 1000
_AHEAD = "ready = 0 AND updated_at > ?2 AND (state = 'failed' OR delayed = 1)"
_HAS_DUE = (
    "SELECT EXISTS (SELECT 1 FROM jobs WHERE ready = 0 AND run_at <= ?1), "
    f"EXISTS (SELECT 1 FROM jobs WHERE {_AHEAD})"
)
_SET_BACK = f"UPDATE jobs SET run_at = run_at - (updated_at - ?1), updated_at = ?1 WHERE {_AHEAD}"
"""A wait that was reckoned by a clock which was ahead by more than `_SKEW` milliseconds is as long
by ours; a time that somebody named stays.
"""

_LOOK_SECONDS, _DEAF_LOOK_SECONDS = 0.25, 0.1
"""How often to look whether somebody wrote who gave no notice; and where no notice can be heard."""

_BREATH_SECONDS = 0.002
_REBUILD_SECONDS, _TIDY_SECONDS, _CUT_SECONDS = 3600.0, 0.5, 10.0
"""How often one of all processes tries to write the file anew, to cut free pages off it, and to
cut a log off that readers keep."""


class SqliteStore(SqliteClaims, SqliteFigures, SqliteSchedules, SqliteHooks):
    """`Store` over one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.between: Callable[[], None] = lambda: None
        self._wake = WakeFifo(path)
        self._has_slept = False
        self._version_seen = 0  # when this store last looked for work
        self._open_files(EXCHANGED_SECONDS)

    def _open_files(self, patience: float) -> None:
        path = self._path
        self._connection, self._files = connection, files = open_database(path, patience)
        try:
            self._log = log = LogSync(connection, path)
            self._turn = turn = WriterTurn(path, TURN_SECONDS)
        except BaseException:
            close_database(connection, files)
            raise
        self._lock = lock = WriterLock(connection, path, turn)
        self._transaction = WriteTransaction(connection, lock, log, path, files)
        self._claiming = WriteTransaction(connection, lock, log, path, files, lags=True)
        # a worker need not wait for the disk: nobody was told yet that there is a job
        self._adding = WriteTransaction(
            connection, lock, log, path, files, on_commit=self._wake.notify
        )

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Open the store in a file, making it on first use. Raises as `open_database` does."""
        return cls(path)

    @property
    def address(self) -> str:
        """The path of the file."""
        return str(self._path)

    def is_same_file(self) -> bool:
        """Whether no other file has been put where this one was; see `Store.is_same_file`."""
        return not self._files.is_replaced()

    def recover(self, patience: float = EXCHANGED_SECONDS) -> None:
        """Open the file again whose `-wal` or `-shm` was taken away; see `Store.recover`.

        The last one to let go of what was taken brings what is in it home.
        """
        files = self._files
        if files.is_open and (files.is_whole() or self._connection.in_transaction):
            return
        if not files.is_own_file():
            files.require_whole()
        self._close_files()
        self._open_files(patience)

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._wake.close()
        self._close_files()

    def _close_files(self) -> None:
        self._turn.close()
        self._log.close()
        close_database(self._connection, self._files)

    @property
    def patience(self) -> float:
        """For how many seconds a write waits for other writers."""
        return self._lock.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        with translated(self._path):
            self._lock.be_patient_for(seconds)

    def now(self) -> datetime:
        """Return this machine's time."""
        return from_millis(time.time_ns() // 1_000_000)

    def _writing(self) -> WriteTransaction:
        self.recover()
        return self._transaction

    # jobs

    def insert(self, jobs: Sequence[Job], *, atomic: bool = False) -> frozenset[str]:
        """Insert new jobs; see `Store.insert`."""
        if atomic:
            return self._add_batch(jobs, atomic=True)
        refused: set[str] = set()
        for start in range(0, len(jobs), BATCH):
            if start:
                time.sleep(_BREATH_SECONDS)
            refused |= self._add_batch(jobs[start : start + BATCH], atomic=False)
        return frozenset(refused)

    def _add_batch(self, jobs: Sequence[Job], *, atomic: bool) -> frozenset[str]:
        self.recover()
        prepared = self._prepare_insert(jobs, self.now())
        with self._adding:
            return self._insert_here(prepared, atomic=atomic)

    def _insert_here(self, prepared: PreparedInsert, *, atomic: bool) -> frozenset[str]:
        """Insert new jobs within a transaction; return the ids that are refused."""
        fresh, refused = self._divided(prepared.jobs)
        if not (atomic and refused):
            self._insert(
                prepared if fresh is prepared.jobs else self._prepare_insert(fresh, prepared.at)
            )
        return frozenset(refused)

    def _divided(self, jobs: Sequence[Job]) -> tuple[Sequence[Job], set[str]]:
        """Return the jobs whose ids and unique keys are free, and the ids of the others."""
        ids = [job.spec.id for job in jobs]
        uniques = [job.spec.unique for job in jobs if job.spec.unique]
        taken, keys = self._taken(ids), self._keys_taken(uniques)
        if not (taken or uniques) and len(set(ids)) == len(ids):
            return jobs, set()
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
        prepared = self._prepare_insert([job], self.now())
        with self._writing():
            if not self._is_unchanged(before):
                return Fired.LOST
            if self._insert_here(prepared, atomic=False) and not self._taken([job.id]):
                return Fired.OVERLAPS
            self._advance(before, after)
        self._wake.notify()
        return Fired.ENQUEUED

    # the two verbs

    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready; see `Store.claim`."""
        self.recover()
        self._version_seen = self._data_version()
        is_certain = request.only or request.repeated
        if not (is_certain or self._has_ready(deliveries=request.deliveries)):
            return None  # without taking the lock that writers need
        with self._claiming:
            claimed = self._claim([request])
        self._after_claim(claimed)
        return claimed[0] if claimed else None

    def commit_and_claim(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        """Commit and claim in one transaction; see `Store.commit_and_claim`."""
        now = self.now()
        self.recover()
        with self._claiming:
            applied = self._commit_together(changes, now)
            claimed = self._claim(requests)
        self._wake_for(changes, applied, now)
        self._after_claim(claimed)
        return applied, claimed

    @property
    def claim_batch_size(self) -> int:
        """As many as make a transaction cost little more than its rows."""
        return _HANDFUL

    def flush(self) -> None:
        """Return when what was written is on the disk; see `Store.flush`."""
        self._log.catch_up()

    def _after_claim(self, claimed: list[Job]) -> None:
        """A worker that was just woken wakes the next one, if there is more to do."""
        if not claimed:
            self.flush()
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
        version = self._data_version()
        try:
            with self._writing():
                row = self._connection.execute(
                    "UPDATE jobs SET lease_until = ? WHERE id = ? AND claim_id = ? "
                    "RETURNING cancel_requested, paused",
                    (until, job_id, claim_id),
                ).fetchone()
        except StoreLocked as fault:
            fault.claim_stands = self._data_version() == version and self._holds(job_id, claim_id)
            raise
        return Renewal.of(*row) if row else Renewal.LOST

    def _holds(self, job_id: str, claim_id: str) -> bool:
        """Whether a claim is held, by what everybody can read."""
        with translated(self._path):
            found = self._connection.execute(
                "SELECT 1 FROM jobs WHERE id = ? AND claim_id = ?", (job_id, claim_id)
            )
            return found.fetchone() is not None

    def require_writable(self) -> None:
        """Take the lock that writers need, and let it go; see `Store.require_writable`."""
        with self._claiming:
            pass

    # upkeep

    def make_due_claimable(self, limit: int = BATCH) -> int:
        """Make due jobs claimable; see `Store.make_due_claimable`."""
        now = to_millis(self.now())
        with translated(self._path):
            due, ahead = self._connection.execute(_HAS_DUE, (now, now + _SKEW)).fetchone()
        if not (due or ahead):
            return 0
        with self._writing():
            if ahead:
                self._connection.execute(_SET_BACK, (now, now + _SKEW))
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

    def tidy(self, seconds: float) -> bool:
        """Give back pages of the file and the end of the log; see `Store.tidy`."""
        from queuectl.stores.sqlite.vacuum import Room

        room = Room(self._connection, self._path, self._lock, self._claiming, self._log)
        is_more = has_shrunk = False
        with contextlib.suppress(StoreUnavailable):  # a full disk, or others who write: later
            if (
                room.is_old()
                and self._is_idle()
                and self.try_acquire_turn("rebuild", _REBUILD_SECONDS)
            ):
                room.rebuild()
                has_shrunk = True
            if room.has_surplus() and self.try_acquire_turn("tidy", _TIDY_SECONDS):
                is_more = room.give_back(seconds)
                has_shrunk = not is_more
        with contextlib.suppress(StoreUnavailable):
            if not is_more:
                room.shorten_log(
                    is_quiet=not self._has_ready(),
                    has_shrunk=has_shrunk,
                    may_wait=lambda: self.try_acquire_turn("cut", _CUT_SECONDS),
                )
        return is_more

    def _is_idle(self) -> bool:
        """Whether no job is to be claimed, and none runs."""
        counts = self.counts()
        return not (self._has_ready() or counts.of(State.PROCESSING))

    # waiting

    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Sleep until somebody wrote to the store; see `Store.wait_for_work`."""
        listening = self._wake.listen()
        descriptors = [wake] if listening is None else [wake, listening]
        pause = _DEAF_LOOK_SECONDS if listening is None else _LOOK_SECONDS
        deadline = time.monotonic() + seconds
        self._has_slept = True
        while (left := deadline - time.monotonic()) > 0:
            self._files.require_whole()
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
