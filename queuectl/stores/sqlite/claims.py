"""Claims in the embedded store: which jobs go next, taking them, and waiting for more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreLocked
from queuectl.domain.frozen import replace
from queuectl.domain.job import Claim, Job
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import to_millis, whole_millis
from queuectl.stores.exchange import ClaimRequest, HeldClaim, Renewal
from queuectl.stores.sqlite import needs, queues, reads, rows, suspects, writes
from queuectl.stores.sqlite.database import Database
from queuectl.system.polling import wait_readable

BATCH_SIZE = 32
"""As many jobs as make a transaction cost little more than its rows."""

_NOTHING = queues.NextRows([], (), False)
_LOOK_SECONDS, _DEAF_LOOK_SECONDS = 0.25, 0.1
"""How often to look whether somebody wrote who gave no notice; and where no notice can be heard."""


class Claims:
    """What one worker claims, and its sleep between."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._has_slept = False
        self._version_seen = 0  # when this store last looked for work

    def claim(self, request: ClaimRequest) -> Job | None:
        """Take the next job that is ready; see `Store.claim`."""
        _, claimed = self.commit_and_claim((), [request])
        return claimed[0] if claimed else None

    def commit_and_claim(
        self, changes: Sequence[Transition], requests: Sequence[ClaimRequest]
    ) -> tuple[list[bool], list[Job]]:
        """Commit and claim in one transaction; see `Store.commit_and_claim`."""
        db = self._db
        now = db.now()
        db.recover()
        if requests:
            self._version_seen = db.version()
        if not (changes or self._may_be_given(requests)):
            return [], []  # without taking the lock that writers need
        with db.claiming:
            applied = writes.commit_together(db, changes, now)
            claimed = _claim(db, requests)
        writes.wake_for(db, changes, applied, now)
        self._after_claim(claimed)
        return applied, claimed

    def _may_be_given(self, requests: Sequence[ClaimRequest]) -> bool:
        """Whether there may be a job for one of these requests. Cheap."""
        if any(each.only or each.repeated for each in requests):
            return True
        if any(
            queues.has_ready(self._db, deliveries=deliveries)
            for deliveries in {each.deliveries for each in requests if not each.suspects}
        ):
            return True
        if any(
            suspects.ready_suspects(self._db, *wanted)
            for wanted in {(e.queues, 1, e.offer) for e in requests if suspects.may_be_for(e)}
        ):
            return True
        if not needs.are_ready(self._db):
            return False
        others = (each for each in requests if not (each.deliveries or each.suspects))
        asking = {(each.queues, each.offer): each for each in others}
        return any(needs.first(self._db, each)[0] for each in asking.values())

    def _after_claim(self, claimed: list[Job]) -> None:
        """A worker that was just woken wakes the next one, if there is more to do."""
        if not claimed:
            self._db.log.catch_up()
        elif self._has_slept:
            self._has_slept = False
            if queues.has_ready(self._db):
                self._db.wake.notify()

    def wait_for_work(self, seconds: float, wake: int) -> None:
        """Sleep until somebody wrote to the store; see `Store.wait_for_work`."""
        db = self._db
        listening = db.wake.listen()
        descriptors = [wake] if listening is None else [wake, listening]
        pause = _DEAF_LOOK_SECONDS if listening is None else _LOOK_SECONDS
        deadline = time.monotonic() + seconds
        self._has_slept = True
        while (left := deadline - time.monotonic()) > 0:
            db.files.require_whole()
            if db.version() != self._version_seen:
                return
            if wait_readable(descriptors, min(left, pause)):
                db.wake.drain()
                return


def renew(db: Database, claims: Sequence[HeldClaim], lease_seconds: float) -> list[Renewal]:
    """Extend leases in one transaction; see `Store.renew`."""
    if not claims:
        return []
    until = to_millis(db.now() + timedelta(seconds=lease_seconds))
    version = db.version()
    try:
        with db.writing():
            return [_renew(db, claim, until) for claim in claims]
    except StoreLocked as fault:
        if db.version() == version:
            fault.claims_standing = frozenset(each.claim_id for each in claims if _holds(db, each))
        raise


def _renew(db: Database, claim: HeldClaim, until: int) -> Renewal:
    row = db.row(
        "UPDATE jobs SET lease_until = ? WHERE id = ? AND claim_id = ? "
        "RETURNING cancel_requested, paused",
        (until, claim.job_id, claim.claim_id),
    )
    return Renewal.of(*row) if row else Renewal.LOST


def _holds(db: Database, claim: HeldClaim) -> bool:
    """Whether a claim is held, by what everybody can read."""
    held = "SELECT 1 FROM jobs WHERE id = ? AND claim_id = ?"
    return bool(db.row(held, (claim.job_id, claim.claim_id)))


# what follows is called inside a transaction that is open


def _claim(db: Database, requests: Sequence[ClaimRequest]) -> list[Job]:
    """Claim a job for each request, until there is none or the next goes alone."""
    claimed: list[Job] = []
    are_alike = len(requests) > 1 and not any(
        each.repeated or each.only or each.deliveries for each in requests
    )
    while len(claimed) < len(requests):
        left = requests[len(claimed) :]
        if left[0].repeated and (before := _claimed_before(db, left[0])):
            claimed.append(before)
            continue
        now = db.now()
        jobs, found = _next(db, left[0], len(left) if are_alike else 1, now)
        if not jobs:
            break
        is_alone = found.goes_alone or jobs[0].may_end_worker
        if is_alone and claimed:
            break
        if len(jobs) > 1:
            jobs = jobs[:1] if is_alone else list(takewhile(_is_harmless, jobs))
        claimed += _take(db, jobs, left, now, found)
        if is_alone:
            break
    return claimed


def _is_harmless(job: Job) -> bool:
    return not job.may_end_worker


def _claimed_before(db: Database, request: ClaimRequest) -> Job | None:
    held = reads.claimed_by(db, request.worker)
    return next((job for job in held if job.is_claimed_by(request.claim_id)), None)


def _next(
    db: Database, request: ClaimRequest, number: int, now: datetime
) -> tuple[list[Job], queues.NextRows]:
    """Return jobs of one queue and priority that go next, and how they go.

    `number` at most. Rows that hold no job to run are taken out of its way, and jobs that were
    taken for due by a clock that was ahead wait on.
    """
    if request.only is not None:
        return _named(db, request, request.only, now)
    while (found := queues.next_rows(db, request, number)) is not None:
        jobs: list[Job] = []
        for row in found.rows:
            job = reads.readable(row)
            if job is None or not job.is_ready(now):
                break
            jobs.append(job)
        if jobs:
            return jobs, found
        is_early = job is not None and job.is_free
        db.connection.execute(
            "UPDATE jobs SET ready = ? WHERE seq = ?", (0 if is_early else None, row[0])
        )
    return [], _NOTHING


def _named(
    db: Database, request: ClaimRequest, job_id: str, now: datetime
) -> tuple[list[Job], queues.NextRows]:
    """Return one job if it may start; one that has become due is made claimable, to be counted."""
    db.connection.execute(
        f"UPDATE jobs SET ready = {rows.READY} WHERE id = ? AND ready = 0 AND run_at <= ?",
        (job_id, to_millis(now)),
    )
    jobs = reads.select(db, "id = ? AND ready >= 1", (job_id,))
    jobs = [job for job in jobs if job.is_ready(now) and queues.may_start(db, job)]
    if not jobs or not jobs[0].spec.needs:
        return jobs, _NOTHING
    holding = needs.holding_for(db, request, jobs[0])
    return jobs if holding else [], replace(_NOTHING, holding=holding)


def _take(
    db: Database,
    jobs: Sequence[Job],
    requests: Sequence[ClaimRequest],
    now: datetime,
    found: queues.NextRows,
) -> list[Job]:
    """Put claims on jobs of one queue and priority, one for each of the first requests."""
    changes = []
    for job, request in zip(jobs, requests, strict=False):
        lease_until = whole_millis(now + timedelta(seconds=request.lease_seconds))
        claim = Claim(request.claim_id, request.worker, lease_until, request.alone, found.holding)
        changes.append(state_machine.claim(job, claim, now))
    applied = writes.apply_together(db, changes, now)
    assert all(applied), "nobody else writes meanwhile"
    queues.serve(db, jobs[0], sum(not (job.suspect or job.spec.needs) for job in jobs))
    if found.holding:
        needs.note_passed(db, found.passed, jobs[0].seq, now)
    return [change.after for change in changes if change.after]
