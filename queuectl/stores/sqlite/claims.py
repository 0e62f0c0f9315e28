"""Claims in the embedded store: which jobs go next, and taking them.

Everything here is called inside a transaction that is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from queuectl.domain import state_machine
from queuectl.domain.job import Claim, Job
from queuectl.domain.times import to_millis, whole_millis
from queuectl.stores.base import ClaimRequest
from queuectl.stores.sqlite import rows
from queuectl.stores.sqlite.writes import SqliteWrites


class SqliteClaims(SqliteWrites):
    """The part of `SqliteStore` that claims jobs."""

    def _claim(self, requests: Sequence[ClaimRequest]) -> list[Job]:
        claimed = self._claim_alike(requests) if len(requests) > 1 else []
        for request in requests[len(claimed) :]:
            held = self._claimed_before(request) if request.repeated else None
            if held is not None:
                claimed.append(held)
                continue
            now = self.now()
            job, is_limited = self._chosen(request, now)
            if job is None or not job.is_ready(now):
                break
            is_alone = is_limited or job.interruptions > 0
            if is_alone and claimed:
                break
            claimed.append(self._take(job, request, now))
            if is_alone:
                break
        return claimed

    def _claim_alike(self, requests: Sequence[ClaimRequest]) -> list[Job]:
        """Claim from the only lane that is open, as far as its jobs ask for no more care."""
        if any(each.repeated or each.only or each.deliveries for each in requests):
            return []
        lane = self._only_priority(requests[0].queues)
        if lane is None:
            return []
        now = self.now()
        alike: list[tuple[Job, ClaimRequest]] = []
        for request, row in zip(requests, self._first_rows(*lane, len(requests)), strict=False):
            job = self._readable(row)
            if job is None or job.interruptions or not job.is_ready(now):
                break
            alike.append((job, request))
        claimed = self._hold(alike, now)
        if claimed:
            self._serve(*lane, len(claimed))
        return claimed

    def _chosen(self, request: ClaimRequest, now: datetime) -> tuple[Job | None, bool]:
        """Return the job that goes next, if there is any, and whether its queue has a limit."""
        if request.only is None:
            return self._first(request, now)
        job = self._named(request.only, now)
        if job is not None and job.is_ready(now) and not self._may_start(job):
            return None, False
        return job, False

    def _take(self, job: Job, request: ClaimRequest, now: datetime) -> Job:
        (held,) = self._hold([(job, request)], now)
        self._serve(job.spec.queue, job.spec.priority, 1)
        return held

    def _hold(self, chosen: Sequence[tuple[Job, ClaimRequest]], now: datetime) -> list[Job]:
        """Put claims on jobs and return them."""
        changes = []
        for job, request in chosen:
            lease_until = whole_millis(now + timedelta(seconds=request.lease_seconds))
            right = Claim(request.claim_id, request.worker, lease_until)
            changes.append(state_machine.claim(job, right, now))
        applied = self._apply_together(changes, now)
        assert all(applied), "nobody else writes meanwhile"
        return [change.after for change in changes if change.after]

    def _claimed_before(self, request: ClaimRequest) -> Job | None:
        held = self.claimed_by(request.worker)
        return next((job for job in held if job.is_claimed_by(request.claim_id)), None)

    def _named(self, job_id: str, now: datetime) -> Job | None:
        """Return one job if it is ready; one that has become due is promoted, as lanes count it."""
        self._connection.execute(
            "UPDATE jobs SET ready = 1 WHERE id = ? AND ready = 0 AND run_at <= ?",
            (job_id, to_millis(now)),
        )
        row = self._connection.execute(
            f"SELECT {rows.SELECTED} FROM jobs WHERE id = ? AND ready = 1", (job_id,)
        ).fetchone()
        return self._readable(row) if row else None

    def _first(self, request: ClaimRequest, now: datetime) -> tuple[Job | None, bool]:
        """Return the next job, and whether its queue has a limit.

        Rows that hold no job to run are taken out of its way, and jobs that were taken for due by
        a clock that was ahead wait on.
        """
        while (found := self._next(request)) is not None:
            row, is_limited = found
            job = self._readable(row)
            if job is not None and job.is_ready(now):
                return job, is_limited
            is_early = job is not None and job.is_free
            self._connection.execute(
                "UPDATE jobs SET ready = ? WHERE seq = ?", (0 if is_early else None, row[0])
            )
        return None, False
