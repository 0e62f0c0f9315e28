"""What the embedded store lets go, and takes in whole: old jobs, imports, environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.dependencies import parent_of
from queuectl.domain.errors import StoreFull
from queuectl.domain.job import SETTLED, WAITING, Job, State
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.times import to_millis
from queuectl.stores.sqlite import insert_statements as inserts
from queuectl.stores.sqlite import row_values as changes
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.database import translated
from queuectl.stores.sqlite.writes import SqliteWrites

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

_LIVE = WAITING | {State.PROCESSING}
_IN_ARRAY = "IN (SELECT value FROM json_each(?))"
_REMOVABLE = (
    "SELECT job.id, job.seq FROM json_each(?) AS each CROSS JOIN jobs AS job "
    "ON job.seq = json_extract(each.value, '$[0]') AND job.rev = json_extract(each.value, '$[1]') "
    "WHERE job.state IN ('completed', 'cancelled', 'dead') AND job.children_pending = 0 "
    "AND (job.has_dependents = 0 OR NOT EXISTS (SELECT 1 FROM blockers WHERE blocker IN "
    "('success:' || job.id, 'failure:' || job.id, 'end:' || job.id)))"
)

_PAST = (
    "FROM runs LEFT JOIN jobs ON jobs.seq = runs.seq "
    "WHERE runs.past = 1 AND runs.finished_at < ? AND jobs.state IS NOT 'processing' "
)


class SqliteKeeping(SqliteWrites):
    """The part of `SqliteStore` that ages jobs out, and takes whole ones in."""

    # ageing

    def ended(
        self, state: State, before: datetime, limit: int, since: datetime | None = None
    ) -> list[Job]:
        """Return jobs that ended long ago; see `Store.ended`."""
        with translated(self._path):
            found = self._connection.execute(
                # written out: by a parameter the partial index would not be found
                f"SELECT {rows.SELECTED} FROM jobs WHERE state = '{state.value}' "
                "AND finished_at >= ? AND finished_at < ? ORDER BY finished_at LIMIT ?",
                (to_millis(since) if since else 0, to_millis(before), limit),
            ).fetchall()
        return [job for job in map(self._readable, found) if job is not None]

    def deliveries_ended(self, state: State, before: datetime, limit: int) -> list[Job]:
        """Return deliveries that ended long ago; see `Store.deliveries_ended`."""
        with translated(self._path):
            found = self._connection.execute(
                f"SELECT {rows.SELECTED} FROM jobs INDEXED BY jobs_delivered "
                f"WHERE queue < '{FIRST_NAME}' "
                "AND state = ? AND finished_at < ? ORDER BY finished_at LIMIT ?",
                (state.value, to_millis(before), limit),
            ).fetchall()
        return [job for job in map(self._readable, found) if job is not None]

    def remove(self, jobs: Sequence[Job]) -> frozenset[str]:
        """Delete settled jobs in one transaction; see `Store.remove`.

        Where the disk has no room for that, it is done in parts.
        """
        try:
            return self._removed(jobs)
        except StoreFull:
            if len(jobs) <= 1:
                raise
        half = len(jobs) // 2
        return self.remove(jobs[:half]) | self.remove(jobs[half:])

    def _removed(self, jobs: Sequence[Job]) -> frozenset[str]:
        named = rows.dump_json([[job.seq, job.rev] for job in jobs])
        with self._writing():
            execute = self._connection.execute
            found = execute(_REMOVABLE, (named,)).fetchall()
            gone = rows.dump_json([seq for _, seq in found])
            execute(f"DELETE FROM runs WHERE seq {_IN_ARRAY}", (gone,))
            execute(f"DELETE FROM jobs WHERE seq {_IN_ARRAY}", (gone,))
        return frozenset(job_id for job_id, _ in found)

    def has_past_runs(self, before: datetime) -> bool:
        """Whether there are runs to be forgotten; see `Store.has_past_runs`."""
        with translated(self._path):
            found = self._connection.execute(f"SELECT 1 {_PAST} LIMIT 1", (to_millis(before),))
            return found.fetchone() is not None

    def forget_runs(self, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Delete past runs in one transaction; see `Store.forget_runs`."""
        with self._writing():
            found = self._connection.execute(
                f"SELECT runs.seq, runs.n, jobs.id {_PAST} ORDER BY runs.finished_at LIMIT ?",
                (to_millis(before), limit),
            ).fetchall()
            self._connection.executemany(
                "DELETE FROM runs WHERE seq = ? AND n = ?", [(seq, n) for seq, n, _ in found]
            )
        return [(job_id, n) for _, n, job_id in found], len(found) == limit

    def present(self, ids: Collection[str]) -> frozenset[str]:
        """Return those of some ids that jobs have; see `Store.present`."""
        with translated(self._path):
            return frozenset(self._taken(list(ids)))

    # whole jobs

    def restore(self, jobs: Sequence[Job], *, keep_numbers: bool = False) -> frozenset[str]:
        """Insert whole jobs; see `Store.restore`."""
        now = self.now()
        with self._writing():
            taken = self._taken([job.id for job in jobs])
            keys = self._keys_taken([key for job in jobs if (key := _live_key(job))])
            refused: set[str] = set()
            for job in jobs:
                key = _live_key(job)
                if job.id in taken or (key and key in keys):
                    refused.add(job.id)
                    continue
                taken.add(job.id)
                if key:
                    keys.add(key)
                self._insert_whole(job, now, keep_numbers=keep_numbers)
            if not keep_numbers:
                self._mark_parents([job for job in jobs if job.id not in refused])
        return frozenset(refused)

    def _insert_whole(self, job: Job, now: datetime, *, keep_numbers: bool) -> None:
        execute = self._connection.execute
        seq = execute(*changes.insert_of_whole(job, now, keep_number=keep_numbers)).lastrowid
        assert seq is not None
        for insert in inserts.inserts_of_runs((seq, run) for run in job.history):
            execute(*insert)
        execute(rows.COUNT_IN, (job.spec.queue, job.state.value, 1))
        if changes.ready_flag(job, now):
            execute(rows.READY_IN, (job.spec.queue, job.spec.priority, 1))
        if job.blocked_by:
            execute(rows.BLOCKED_IN, (job.spec.id,))

    def _mark_parents(self, jobs: list[Job]) -> None:
        """Let parents that are here tell these children of their end, if they have ended."""
        wanted = {parent_of(blocker) for job in jobs for blocker in job.blocked_by}
        if not wanted:
            return
        settled = ", ".join(f"'{state.value}'" for state in sorted(SETTLED))
        ids = rows.dump_json(sorted(wanted))
        self._connection.execute(
            "UPDATE jobs SET rev = rev + 1, has_dependents = 1, "
            f"children_pending = state IN ({settled}) "
            f"WHERE state <> 'processing' AND id {_IN_ARRAY}",
            (ids,),
        )
        self._connection.execute(
            f"UPDATE jobs SET has_dependents = 1 WHERE state = 'processing' AND id {_IN_ARRAY}",
            (ids,),
        )

    # notes about the store itself

    def get_meta(self, name: str) -> str | None:
        """Return what is noted about this store; see `Store.get_meta`."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT value FROM meta WHERE name = ?", (name,)
            ).fetchone()
        return row[0] if row else None

    def set_meta(self, name: str, value: str | None) -> None:
        """Note something about this store; see `Store.set_meta`."""
        with self._writing():
            if value is None:
                self._connection.execute("DELETE FROM meta WHERE name = ?", (name,))
            else:
                self._connection.execute(
                    "INSERT INTO meta VALUES (?, ?) "
                    "ON CONFLICT DO UPDATE SET value = excluded.value",
                    (name, value),
                )

    # captured environments

    def save_environment(self, name: str, variables: Sequence[tuple[str, str]]) -> None:
        """Store a captured environment; see `Store.save_environment`."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO environments VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET kept_at = excluded.kept_at",
                (name, rows.dump_json([list(pair) for pair in variables]), to_millis(self.now())),
            )

    def environment(self, name: str) -> tuple[tuple[str, str], ...] | None:
        """Return a captured environment; see `Store.environment`."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT variables FROM environments WHERE id = ?", (name,)
            ).fetchone()
        return tuple((key, value) for key, value in rows.load_json(row[0])) if row else None

    def environments(self) -> list[str]:
        """Return the names of the captured environments."""
        with translated(self._path):
            found = self._connection.execute("SELECT id FROM environments ORDER BY id").fetchall()
        return [name for (name,) in found]

    def forget_environments(self, before: datetime) -> int:
        """Remove environments that no job names; see `Store.forget_environments`."""
        with self._writing():
            return self._connection.execute(
                "DELETE FROM environments WHERE kept_at < ? "
                "AND NOT EXISTS (SELECT 1 FROM jobs WHERE environment = environments.id)",
                (to_millis(before),),
            ).rowcount


def _live_key(job: Job) -> str | None:
    """Return the unique key that a job has while it waits or runs."""
    return job.spec.unique if job.state in _LIVE else None
