"""What one worker has in hand: jobs that it has claimed and not begun, and ends not yet committed.

To commit and to claim several jobs in one transaction takes a fraction of the time. So a worker
whose jobs are over within milliseconds takes as many as it runs in `Timings.together`, and commits
their ends together. When one of them takes longer after all, the ends before it are committed and
the jobs behind it given back while it runs. All of it is noted with the watchdog, so that a worker
that is killed leaves as much undone as if it had held one job: the run in hand.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from queuectl.domain import state_machine
from queuectl.domain.errors import NotFound, StoreRefused, StoreUnavailable
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import Store
from queuectl.stores.exchange import ClaimRequest
from queuectl.stores.rules import commit_reduced
from queuectl.system.ids import new_token
from queuectl.system.processes import boot_clock
from queuectl.worker import crash_journal
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.logging import JobLog
from queuectl.worker.options import WorkerOptions
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.store_retry import StoreRetry

log = logging.getLogger("queuectl.worker")

_SHORT_PATIENCE = 0.1
_AGAIN_SECONDS = 0.25
"""How long to wait for a store, and when to ask it again, while a job is to be looked after."""

_LONGEST_NOTE = 4096
_PROMPT = timedelta(seconds=1)
_UNKNOWN_SECONDS = 1.0
"""What jobs are taken to last before any has run."""

_Answer = tuple[list[bool], list[Job]]


@frozen
class _EndedRun:
    """A job whose run has ended, when, and how; no outcome: it was not begun."""

    job: Job
    outcome: Outcome | None
    at: datetime


class ClaimBatch:
    """The jobs of one worker, from the claim to the commit.

    `deadline` is when the leases of the jobs that were claimed last end, by `boot_clock`.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        options: WorkerOptions,
        heartbeat: Heartbeat,
        retry: StoreRetry,
        watchdog: Watchdog,
        job_log: JobLog,
    ) -> None:
        self.deadline = 0.0
        self._store = store
        self._worker = worker
        self._options = options
        self._heartbeat = heartbeat
        self._retry = retry
        self._watchdog = watchdog
        self._log = job_log
        self._most = 1 if options.only else store.claim_batch_size
        self._together, self._stale = options.timings.together, options.timings.stale
        self._waiting: deque[Job] = deque()
        self._ended: list[_EndedRun] = []
        self._claimed_at = 0.0
        self._pace = _UNKNOWN_SECONDS

    @property
    def is_empty(self) -> bool:
        """Whether no job is in hand that has not begun."""
        return not self._waiting

    def take(self) -> Job | None:
        """Return the next job to run: one in hand, else one that the store gives.

        Raises StoreUnavailable when the worker shall leave.
        """
        if not self._waiting:
            jobs = self._ask(self._claim_one, 1, may_leave=True)[1]
            if not jobs:
                return None
            self._hold(jobs)
        job = self._waiting.popleft()
        if self._watchdog.has_notes:
            self._watchdog.keep(crash_journal.begun(job))
        return job

    def end(self, job: Job, outcome: Outcome | None, *, may_claim: bool) -> None:
        """Note how a run ended (None: it was not begun), and commit what has ended in time.

        Whoever could not begin one job begins none of the others.
        """
        now = self._now()
        self._ended.append(_EndedRun(job, outcome, now))
        if outcome is None:
            self._give_back()
            self._commit_ended(0)
            return
        self._pace = max(outcome.duration, self._pace / 2)
        if time.monotonic() - self._claimed_at > self._stale or not may_claim:
            self._give_back()
        elif self._waiting:
            note = crash_journal.ended(job, outcome, now)
            if len(note) <= _LONGEST_NOTE and self._watchdog.keep(note):
                return  # what is long is committed instead, so that there is room
        # as many as are over in the time, judged by the last
        number = max(1, min(self._most, int(self._together / self._pace)))
        self._commit_ended(number if may_claim else 0)

    def lighten(self) -> float:
        """Commit what has ended and give back what has not begun, as the job in hand takes long.

        Does not wait for the store, as somebody has to look after that job. Returns in how many
        seconds to try again.
        """
        if not (self._waiting or self._ended):
            return float("inf")
        self._give_back()
        patience, self._store.patience = self._store.patience, _SHORT_PATIENCE
        try:
            changes = self._changes()
            self._note_committed(changes, self._store.commit_and_claim(changes, ())[0])
        except StoreUnavailable as fault:
            log.debug("%s", fault)
            return _AGAIN_SECONDS
        except StoreRefused as fault:  # whose it is shows when the job in hand has ended
            log.debug("%s", fault)
        finally:
            self._store.patience = patience
        return float("inf")

    def _hold(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)
        self._claimed_at = time.monotonic()
        if len(jobs) > 1:
            self._watchdog.keep(crash_journal.claimed(jobs))

    def _give_back(self) -> None:
        if self._waiting:
            now = self._now()
            self._ended += [_EndedRun(job, None, now) for job in self._waiting]
            self._waiting.clear()

    # claiming

    def _claim_one(self, requests: Sequence[ClaimRequest]) -> _Answer:
        job = self._store.claim(requests[0])
        return [], [job] if job else []

    def _ask(
        self, ask: Callable[[Sequence[ClaimRequest]], _Answer], number: int, *, may_leave: bool
    ) -> _Answer:
        """Ask for jobs, noting when their leases end: counted from before they were asked for."""
        lease, options = self._heartbeat.settings.lease_seconds, self._options
        current = requests = [
            ClaimRequest(new_token(), self._worker, lease, options.queues, options.only)
            for _ in range(number)
        ]
        asked_at = boot_clock()

        def once() -> _Answer:
            nonlocal asked_at, current
            asked_at = boot_clock()
            try:
                return ask(current)
            except StoreUnavailable:
                current = [replace(request, repeated=True) for request in requests]
                raise

        committed, jobs = self._retry.call(once, may_leave=may_leave)
        if jobs:
            self.deadline = asked_at + lease
        if current is not requests and jobs:
            # they may have been claimed long before the answer came
            now = self._retry.call(self._store.now, may_leave=True)
            ends = [job.claim.lease_until for job in jobs if job.claim]
            self.deadline = min(self.deadline, boot_clock() + (min(ends) - now).total_seconds())
        return committed, jobs

    # committing

    def _commit_ended(self, number: int) -> None:
        """Commit what has ended and claim so many jobs at most; each end alone if need be."""
        changes = self._changes()
        commit = partial(self._store.commit_and_claim, changes)
        try:
            committed, jobs = self._ask(commit, number, may_leave=False)
            self._note_committed(changes, committed)
        except StoreRefused:  # one of them; it is found below
            jobs = []
        ended, self._ended = self._ended, []
        self._hold(jobs)
        for each in ended:
            self._commit_alone(each.job, each.outcome)

    def _changes(self) -> list[Transition]:
        """Return the ends of runs as transitions, each dated when it ended if that was just now.

        Who follows the changes looks back by seconds, so one that comes late is dated late.
        """
        now = self._now()
        return [
            state_machine.finish(
                each.job, each.outcome, each.at if now - each.at < _PROMPT else now
            )
            for each in self._ended
        ]

    def _note_committed(self, changes: Sequence[Transition], committed: Sequence[bool]) -> None:
        """Log the ends that were committed, and keep those that were not."""
        done = list(zip(self._ended, changes, committed, strict=True))
        self._ended = [each for each, _, is_committed in done if not is_committed]
        self._watchdog.forget()
        self._log.log_each(
            [
                line
                for each, change, is_committed in done
                if is_committed
                for line in self._lines(each.job, change.after, each.outcome)
            ]
        )

    def _commit_alone(self, job: Job, outcome: Outcome | None) -> None:
        """Commit one end that was refused among others.

        It is looked into: asked to cancel meanwhile, it is decided again; else the claim was
        lost and the outcome is discarded.
        """
        while True:
            change = state_machine.finish(job, outcome, self._now())
            try:
                try:
                    is_committed = self._commit(change)
                except StoreRefused as fault:
                    change, is_committed = commit_reduced(self._commit, change, fault)
            except StoreRefused as fault:
                self._give_up(job, fault)
                return
            if is_committed:
                self._log.log_each(self._lines(job, change.after, outcome))
                return
            fresh = self._retry.call(partial(self._store.get, job.id))
            if fresh is None or job.claim is None or not fresh.is_claimed_by(job.claim.id):
                self._log.hold(job)
                log.warning("job '%s': the claim was lost, its result is discarded", job.id)
                return
            job = fresh

    def _commit(self, change: Transition) -> bool:
        return self._retry.call(partial(self._store.commit, change))

    def _now(self) -> datetime:
        return self._retry.call(self._store.now)

    def _give_up(self, job: Job, fault: StoreRefused) -> None:
        """Leave a job whose end cannot be stored; raise if the store refuses everything."""
        with contextlib.suppress(NotFound):  # even that is an answer
            self._retry.call(partial(self._store.workers.heartbeat, self._worker))
        log.error("job '%s': its result cannot be stored: %s", job.id, fault)

    def _lines(self, job: Job, after: Job | None, outcome: Outcome | None) -> list[tuple[Job, str]]:
        """Return what to log about the end of a run: lines, each with its job."""
        if after is None or outcome is None:
            return []
        why = f" ({outcome.error})" if outcome.error else ""
        end = (job, f"job '{job.id}' -> {after.state.value}{why}")
        if not self._options.show_output:
            return [end]
        output = (*outcome.stdout.splitlines(), *outcome.stderr.splitlines())
        return [*((job, f"job '{job.id}' | {line}") for line in output), end]
