"""Reading the embedded store: jobs one by one, in pages, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import StoreRefused
from queuectl.domain.job import Job, Run, State
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import serialization
from queuectl.stores.base import BATCH
from queuectl.stores.serialization import unreadable
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.registry import SqliteFleet

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.domain.query import Counts, Filter, Page

_PAGE = 500

_OLDEST_DUE = (
    "SELECT queue, min(since) FROM (SELECT queue, (SELECT min(run_at) FROM jobs WHERE ready = 1 "
    "AND queue = counter.queue AND priority = counter.priority) AS since "
    "FROM queue_priority_counters AS counter WHERE ready > 0) "
    "WHERE since IS NOT NULL GROUP BY queue"
)


class SqliteReads(SqliteFleet):
    """The part of `SqliteStore` that only looks at jobs."""

    def get(self, job_id: str) -> Job | None:
        """Return one job with output and history; see `Store.get`.

        Raises StoreRefused for a record that cannot be read.
        """
        self.recover()
        with translated(self._path):
            row = self._connection.execute(
                f"SELECT {rows.SELECTED_ALL} FROM jobs WHERE id = ?", (job_id,)
            ).fetchone()
            try:
                return rows.job_from_row(row, self._history(row[0])) if row else None
            except serialization.UNREADABLE as fault:
                raise StoreRefused(
                    f"the record of job '{job_id}' is damaged ({fault})",
                    hint="queuectl restore FILE brings a backup back",
                ) from fault

    def _history(self, seq: int) -> list[Run]:
        found = self._connection.execute(
            f"SELECT {rows.SELECTED_RUN} FROM runs WHERE seq = ? ORDER BY n", (seq,)
        )
        return [rows.run_from_row(row) for row in found]

    def first_ready(self, queue: str) -> Job | None:
        """Return the ready job to be claimed first; see `Store.first_ready`."""
        return self._ready_job(queue, "max", "run_at, seq")

    def last_ready(self, queue: str) -> Job | None:
        """Return the ready job to be claimed last; see `Store.last_ready`."""
        return self._ready_job(queue, "min", "run_at DESC, seq DESC")

    def _ready_job(self, queue: str, extreme: str, order: str) -> Job | None:
        with translated(self._path):
            row = self._connection.execute(
                f"SELECT {rows.SELECTED} FROM jobs WHERE ready = 1 AND queue = ?1 AND priority = "
                f"(SELECT {extreme}(priority) FROM queue_priority_counters "
                "WHERE queue = ?1 AND ready > 0) "
                f"ORDER BY {order} LIMIT 1",
                (queue,),
            ).fetchone()
        return self._readable(row) if row else None

    def oldest_due(self) -> dict[str, datetime]:
        """Return since when jobs have been due; see `Store.oldest_due`."""
        with translated(self._path):
            found = self._connection.execute(_OLDEST_DUE).fetchall()
        return {queue: from_millis(run_at) for queue, run_at in found if type(run_at) is int}

    def generated_ids(self, prefix: str, limit: int) -> list[str]:
        """Return ids made for the user; see `Store.generated_ids`."""
        with translated(self._path):
            found = self._connection.execute(
                "SELECT id FROM jobs WHERE generated_id = 1 AND id >= ? AND id < ? LIMIT ?",
                (prefix, prefix + "\U0010ffff", limit),
            )
            return [job_id for (job_id,) in found]

    def unique_key_owner(self, unique: str) -> str | None:
        """Return the id of the job that has a unique key now; see `Store.unique_key_owner`."""
        with translated(self._path):
            row = self._connection.execute(
                f"SELECT id FROM jobs WHERE {rows.IS_LIVE} AND unique_key = ?", (unique,)
            ).fetchone()
        return row[0] if row else None

    def find(self, chosen: Filter, page: Page) -> Iterator[Job]:
        """Yield jobs in order of arrival, or the newest first; see `Store.find`."""
        left, after = page.limit, page.after_seq
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            found = self._find_rows(chosen, page, after, size)
            jobs = [self._readable(row, with_history=page.with_history) for row in found]
            readable = [job for job in jobs if job is not None]
            yield from readable
            if len(found) < size:
                return
            after = found[-1][0]
            left = None if left is None else left - len(readable)

    def _find_rows(self, chosen: Filter, page: Page, after: int, size: int) -> list[Sequence[Any]]:
        from queuectl.stores.sqlite.list_query import statement

        self.recover()
        with translated(self._path):
            asked, values = statement(self._connection, chosen, page, after, size)
            return self._connection.execute(asked, values).fetchall()

    def counts(self) -> Counts:
        """Return how many jobs there are; triggers keep the figures."""
        from queuectl.domain.query import Counts

        self.recover()
        by_queue: dict[str, dict[State, int]] = {}
        with translated(self._path):
            found = self._connection.execute("SELECT queue, state, jobs FROM counts WHERE jobs > 0")
            for queue, state, jobs in found:
                if (known := serialization.known_state(state)) is not None:
                    by_queue.setdefault(queue, {})[known] = jobs
        return Counts(by_queue)

    def next_due(self) -> datetime | None:
        """Return when the next job that waits for its time is due."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT run_at FROM jobs WHERE ready = 0 ORDER BY run_at LIMIT 1"
            ).fetchone()
        return from_millis(row[0]) if row and type(row[0]) is int else None

    def leases_ending(self, before: datetime) -> list[Job]:
        """Return jobs whose lease ends before an instant."""
        return self._jobs_where(
            f"state = 'processing' AND lease_until < ? LIMIT {BATCH}", to_millis(before)
        )

    def claimed_by(self, worker_id: str) -> list[Job]:
        """Return the jobs that a worker has claimed and not finished."""
        return self._jobs_where("state = 'processing' AND worker = ?", worker_id)

    def _jobs_where(self, condition: str, value: object) -> list[Job]:
        """Return jobs; one that cannot be read does not hide the others."""
        with translated(self._path):
            found = self._connection.execute(
                f"SELECT {rows.SELECTED} FROM jobs WHERE {condition}", (value,)
            ).fetchall()
        return [job for job in map(self._readable, found) if job is not None]

    def check(self, *, quick: bool = False) -> list[str]:
        """Look the whole file over, and try to read every job; see `Store.check`."""
        faults = super().check(quick=quick)
        if quick:
            return faults
        return faults + [unreadable(job_id) for job_id in self.unreadable_jobs()]

    def unreadable_jobs(self) -> Iterator[object]:
        """Yield the ids of jobs whose records cannot be read; reads every one."""
        for row in self._every_row():
            try:
                rows.job_from_row(row)
            except serialization.UNREADABLE:
                yield row[1]

    def _every_row(self) -> Iterator[Sequence[Any]]:
        """Yield all rows, a page at a time: while one reads the log cannot be cut."""
        after: object = 0
        while True:
            with translated(self._path):
                found = self._connection.execute(
                    f"SELECT {rows.SELECTED} FROM jobs WHERE seq > ? ORDER BY seq LIMIT {_PAGE}",
                    (after,),
                ).fetchall()
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1][0]

    def _readable(self, row: Sequence[Any], *, with_history: bool = False) -> Job | None:
        """Return the job in a row, or None, noted once, when there is none to be made out."""
        history: Sequence[Run] = ()
        try:
            if with_history:
                with translated(self._path):
                    history = self._history(row[0])
            return rows.job_from_row(row, history)
        except serialization.UNREADABLE:
            serialization.note_unreadable("jobs", row[1])
            return None
