"""What one worker has claimed and not begun, and what has ended and is not committed yet.

To commit and to claim several jobs in one transaction takes a fraction of the time. So a worker
whose jobs are over within milliseconds takes as many as it runs in `Timings.together`, and commits
their ends together. When they take longer after all, what has ended is committed and what has not
begun given back while they run. All of it is noted with the watchdog, so that a worker that is
killed leaves as much undone as if it had held nothing but the runs in hand.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import Store
from queuectl.stores.exchange import NO_OFFER, ClaimRequest, Offer
from queuectl.system.ids import new_token
from queuectl.system.processes import boot_clock
from queuectl.worker import crash_journal
from queuectl.worker.ended_runs import EndedRun, EndedRuns
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.logging import JobLog
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.store_retry import StoreClock, StoreRetry

log = logging.getLogger("queuectl.worker")

_SHORT_PATIENCE = 0.1
"""How long to wait for a store while jobs are to be looked after."""

_LONGEST_NOTE = 4096
_COSTS_TOGETHER, _TOGETHER_AT_MOST = 4, 5
"""Where a store is far away, jobs are claimed together for so many times as long as the last claim
took, but for no more than so many times `Timings.together`."""

_UNKNOWN_SECONDS = 1.0
"""What jobs are taken to last before any has run."""

_Answer = tuple[list[bool], list[Job]]


@frozen
class ClaimedJob:
    """A job that is claimed and not begun; its lease ends at `deadline` by `boot_clock`."""

    job: Job
    deadline: float


@frozen
class Situation:
    """How things stand with a worker when it sees to its batch.

    `free` counts the slots in which nothing runs; `is_alone` says that there is only one at all,
    `is_busy` that something runs in others, and `is_slow` that none of that will be over within
    milliseconds.
    """

    free: int
    may_claim: bool
    is_alone: bool = True
    is_busy: bool = False
    is_slow: bool = False

    @property
    def can_take_more(self) -> bool:
        """Whether a job that is claimed now can begin at once."""
        return self.may_claim and self.free > 0


class ClaimBatch:
    """The jobs of one worker from the claim to the commit, but for those that run."""

    def __init__(
        self,
        store: Store,
        worker: str,
        options: WorkerOptions,
        heartbeat: Heartbeat,
        retry: StoreRetry,
        watchdog: Watchdog,
        job_log: JobLog,
        offer: Callable[[], Offer] = lambda: NO_OFFER,
    ) -> None:
        self._store = store
        self._worker = worker
        self._offer = offer
        self._options = options
        self._heartbeat = heartbeat
        self._retry = retry
        self._watchdog = watchdog
        self._clock = StoreClock(store, retry)
        self._most = 1 if options.only or options.suspects else store.claim_batch_size
        self._timings = options.timings
        self._patience = store.patience
        self._waiting: deque[ClaimedJob] = deque()
        self._ended = EndedRuns(store, worker, options, heartbeat, job_log)
        self._unanswered: list[ClaimRequest] = []
        self._must_commit = False
        self._asked_at = self._claimed_at = self._ended_at = 0.0
        self._pace = _UNKNOWN_SECONDS
        self._cost = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no job is in hand that has not begun, and no end that is not committed."""
        return not (self._waiting or self._ended.left or self._unanswered)

    @property
    def has_waiting(self) -> bool:
        """Whether a job is in hand that has not begun."""
        return bool(self._waiting)

    @property
    def has_next(self) -> bool:
        """Whether a job that is in hand may begin before anything is committed or claimed."""
        return bool(self._waiting) and self.next_look() > 0

    def take(self) -> ClaimedJob:
        """Return the next job to begin, of those that are in hand."""
        claimed = self._waiting.popleft()
        if self._watchdog.has_notes:
            self._watchdog.keep(crash_journal.begun(claimed.job))
        return claimed

    def end(self, job: Job, outcome: Outcome | None) -> None:
        """Note how a run ended (None: it was not begun); `settle` commits it in time.

        Whoever could not begin one job begins none of the others.
        """
        now = self._clock.now()
        if not self._ended.left:
            self._ended_at = time.monotonic()
        self._ended.add([EndedRun(job, outcome, now)])
        self._heartbeat.note_over(job.claim_id)
        if outcome is None:
            self._give_back()
            return
        self._pace = max(outcome.duration, self._pace / 2)
        note = crash_journal.ended(job, outcome, now)
        # what is long is committed instead, so that there is room
        if len(note) > _LONGEST_NOTE or not self._watchdog.keep(note):
            self._must_commit = True

    def settle(self, now: Situation) -> bool:
        """Commit what has ended, claim for free slots and give back what waits, each in its time.

        While something runs the store is not waited for; see `StoreRetry.attempt`. Returns
        whether jobs were claimed. Raises StoreUnavailable when the worker shall leave.
        """
        self._note_time(now)
        is_wanting = now.can_take_more and not self._waiting
        if not (is_wanting or self._must_commit):
            return False
        number = self._number(now.free) if is_wanting else 0
        patience = _SHORT_PATIENCE if now.is_busy else self._patience
        if self._store.patience != patience:
            self._store.patience = patience
        self._extend_requests(number, is_alone=now.is_alone)
        return self._commit_and_claim(is_busy=now.is_busy)

    def next_look(self) -> float:
        """Return seconds until `settle` has something to do."""
        if self._must_commit:
            return self._retry.next_try
        since = []
        if self._ended.left:
            since.append(self._ended_at)
        if self._waiting:
            since.append(self._claimed_at)
        if not since:
            return float("inf")
        return max(0.0, min(since) + self._stale - time.monotonic())

    @property
    def _together(self) -> float:
        """For how long the jobs may run that are claimed at once."""
        together = self._timings.together
        return max(together, min(self._cost * _COSTS_TOGETHER, together * _TOGETHER_AT_MOST))

    @property
    def _stale(self) -> float:
        """When what was claimed is given back, and what has ended is committed, at the latest."""
        return self._timings.stale * self._together / self._timings.together

    def _note_time(self, now: Situation) -> None:
        """Decide what has waited for long enough."""
        moment, stale = time.monotonic(), self._stale
        is_late = bool(self._waiting) and moment - self._claimed_at > stale
        # with a slot free, what waits begins at once; and to give it back takes its time too
        is_stuck = now.is_slow and now.free <= 0 and self._cost <= self._timings.quick
        if is_stuck or is_late or not now.may_claim:
            self._give_back()
        if not now.may_claim:
            self._unanswered = []  # what they got is taken back when this worker has left
        if not self._ended.left:
            return
        # over a long way what has ended goes with the next claim, if the last run is over soon
        may_go_on = self._store.is_remote and now.is_busy and not now.is_slow
        is_over = not (self._waiting or may_go_on)
        if is_stuck or is_over or moment - self._ended_at >= stale:
            self._must_commit = True

    def _number(self, free: int) -> int:
        """Return for how many jobs to ask: what is over in time, judged by the last."""
        soon = int(free * self._together / self._pace)
        return max(free, min(self._most, soon))

    def _hold(self, jobs: Sequence[ClaimedJob]) -> None:
        self._waiting.extend(jobs)
        if jobs:
            self._claimed_at = time.monotonic()
        not_begun = [each.job for each in self._waiting]
        self._watchdog.replace(crash_journal.claimed(not_begun) if not_begun else b"")

    def _give_back(self) -> None:
        if self._waiting:
            now = self._clock.now()
            self._ended.add([EndedRun(each.job, None, now) for each in self._waiting])
            self._waiting.clear()
            self._must_commit = True

    # claiming

    def _extend_requests(self, number: int, *, is_alone: bool) -> None:
        """Ask for so many jobs; what was not answered comes first, as it may have been given."""
        lease, options = self._heartbeat.settings.lease_seconds, self._options
        offer = self._offer()
        further = [
            ClaimRequest(
                new_token(),
                self._worker,
                lease,
                options.queues,
                options.only,
                alone=is_alone,
                suspects=options.suspects,
                offer=offer,
            )
            for _ in range(number - len(self._unanswered))
        ]
        if further:
            self._watchdog.keep(
                crash_journal.asked(self._worker, [each.claim_id for each in further])
            )
            self._unanswered += further

    def _ask(self, changes: Sequence[Transition]) -> Callable[[], _Answer]:
        """Return how to ask for jobs, noting when their leases end: from before they are asked for.

        A claim that was not answered is asked for again, as it may have been made.
        """

        def once() -> _Answer:
            self._asked_at = boot_clock()
            begun = time.monotonic()
            try:
                answer = self._store.commit_and_claim(changes, self._unanswered)
                if self._store.is_remote and self._unanswered:
                    self._cost = time.monotonic() - begun
                return answer
            except StoreUnavailable:
                self._unanswered = [replace(each, repeated=True) for each in self._unanswered]
                raise

        return once

    def _claimed(self, jobs: Sequence[Job], *, is_late: bool) -> list[ClaimedJob]:
        """Return jobs with the ends of their leases; `is_late` says that the answer may be."""
        deadline = self._asked_at + self._heartbeat.settings.lease_seconds
        if is_late and jobs:
            # they may have been claimed long before the answer came
            now = self._clock.now()
            ends = [job.claim.lease_until for job in jobs if job.claim]
            deadline = min(deadline, boot_clock() + (min(ends) - now).total_seconds())
        return [ClaimedJob(job, deadline) for job in jobs]

    # committing

    def _commit_and_claim(self, *, is_busy: bool) -> bool:
        """Commit what has ended, each end alone if need be, and claim what was asked for."""
        changes = self._ended.changes(self._clock.now())
        once = self._ask(changes)
        jobs: list[Job] = []
        try:
            if is_busy:
                committed, jobs = self._retry.attempt(once)
            else:
                committed, jobs = self._retry.call(once, may_leave=not changes)
        except StoreRefused:
            if not changes:
                raise
            committed = [False] * len(changes)  # one of them; it is found below
        except StoreUnavailable:
            if not is_busy:
                raise
            return False
        is_late = any(each.repeated for each in self._unanswered)
        self._unanswered = []
        self._ended.note_committed(changes, committed)
        self._hold(self._claimed(jobs, is_late=is_late))
        self._must_commit = False
        if self._ended.left:
            self._commit_left(is_busy=is_busy)
        return bool(jobs)

    def _commit_left(self, *, is_busy: bool) -> None:
        ask = self._retry.attempt if is_busy else self._retry.call
        try:
            self._ended.commit_left(ask, self._clock.now())
        except StoreUnavailable:
            self._must_commit = True
            if not is_busy:
                raise
