"""What the embedded store lets go: old jobs, and runs of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreFull
from queuectl.domain.job import Job, State
from queuectl.domain.queue_limits import FIRST_NAME
from queuectl.domain.times import to_millis
from queuectl.stores.sqlite import reads, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from queuectl.stores.sqlite.database import Database

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


class OldJobs:
    """What has ended, as `components.Retention` says."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ended(
        self, state: State, before: datetime, limit: int, since: datetime | None = None
    ) -> list[Job]:
        """Return jobs that ended long ago; see `Retention.ended`."""
        return reads.select(
            self._db,
            # written out: by a parameter the partial index would not be found
            f"state = '{state.value}' AND finished_at >= ? AND finished_at < ? "
            "ORDER BY finished_at LIMIT ?",
            (to_millis(since) if since else 0, to_millis(before), limit),
        )

    def deliveries_ended(self, state: State, before: datetime, limit: int) -> list[Job]:
        """Return deliveries that ended long ago; see `Retention.deliveries_ended`."""
        return reads.select(
            self._db,
            f"queue < '{FIRST_NAME}' AND state = ? AND finished_at < ? "
            "ORDER BY finished_at LIMIT ?",
            (state.value, to_millis(before), limit),
            "INDEXED BY jobs_delivered",
        )

    def remove(self, jobs: Sequence[Job]) -> frozenset[str]:
        """Delete settled jobs in one transaction; see `Retention.remove`.

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
        with self._db.writing():
            found = self._db.rows(
                _REMOVABLE, (rows.dump_json([[job.seq, job.rev] for job in jobs]),)
            )
            gone = rows.dump_json([seq for _, seq in found])
            for table in ("runs", "jobs"):
                self._db.connection.execute(
                    f"DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))", (gone,)
                )
        return frozenset(job_id for job_id, _ in found)

    def has_past_runs(self, before: datetime) -> bool:
        """Whether there are runs to be forgotten; see `Retention.has_past_runs`."""
        return bool(self._db.row(f"SELECT 1 {_PAST} LIMIT 1", (to_millis(before),)))

    def needs_snapshot(self, snapshot: str) -> bool:
        """Whether a job runs in it; see `Retention.needs_snapshot`."""
        return bool(self._db.row("SELECT 1 FROM jobs WHERE snapshot = ? LIMIT 1", (snapshot,)))

    def forget_runs(self, before: datetime, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Delete past runs in one transaction; see `Retention.forget_runs`."""
        with self._db.writing():
            found = self._db.rows(
                f"SELECT runs.seq, runs.n, jobs.id {_PAST} ORDER BY runs.finished_at LIMIT ?",
                (to_millis(before), limit),
            )
            self._db.connection.executemany(
                "DELETE FROM runs WHERE seq = ? AND n = ?", [(seq, n) for seq, n, _ in found]
            )
        return [(job_id, n) for _, n, job_id in found], len(found) == limit
