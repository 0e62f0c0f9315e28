"""What one worker has in hand: jobs that it has claimed and not begun, and ends not yet committed.

To commit and to claim several jobs in one transaction takes a fraction of the time. So a worker
whose jobs are over within milliseconds takes as many as it runs in `TOGETHER_SECONDS`, and commits
their ends together. When one of them takes longer after all, the ends before it are committed and
the jobs behind it given back while it runs. All of it is noted with the guard, so that a worker
that is killed leaves as much undone as if it had held one job: the run in hand.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from queuectl.domain import state_machine
from queuectl.domain.errors import NotFound, StoreRefused, StoreUnavailable
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import Store
from queuectl.stores.rules import commit_reduced
from queuectl.worker import crash_journal
from queuectl.worker.claims import Claims
from queuectl.worker.logging import JobLog
from queuectl.worker.runs.watchdog import Watchdog
from queuectl.worker.store_retry import StoreRetry

log = logging.getLogger("queuectl.worker")

TOGETHER_SECONDS = 0.04
_STALE_SECONDS = 0.1
"""A job that was claimed so long ago, and has not begun, is given back."""

_SHORT_PATIENCE = 0.1
_AGAIN_SECONDS = 0.25
"""How long to wait for a store, and when to ask it again, while a job is to be looked after."""

_LONGEST_NOTE = 4096
_PROMPT = timedelta(seconds=1)
_UNKNOWN_SECONDS = 1.0
"""What jobs are taken to last before any has run."""


@frozen
class _EndedRun:
    """A job whose run has ended, when, and how; no outcome: it was not begun."""

    job: Job
    outcome: Outcome | None
    at: datetime


class ClaimBatch:
    """The jobs of one worker, from the claim to the commit."""

    def __init__(
        self,
        store: Store,
        worker: str,
        claims: Claims,
        retry: StoreRetry,
        watchdog: Watchdog,
        job_log: JobLog,
        most: int,
        *,
        show_output: bool,
    ) -> None:
        self._store = store
        self._worker = worker
        self._claims = claims
        self._retry = retry
        self._watchdog = watchdog
        self._log = job_log
        self._most = most
        self._show_output = show_output
        self._waiting: deque[Job] = deque()
        self._ended: list[_EndedRun] = []
        self._claimed_at = 0.0
        self._pace = _UNKNOWN_SECONDS

    @property
    def is_empty(self) -> bool:
        """Whether no job is in hand that has not begun."""
        return not self._waiting

    def take(self) -> Job | None:
        """Return the next job to run: one in hand, else one that the store gives."""
        if not self._waiting:
            job = self._claims.take()
            if job is None:
                return None
            self._hold([job])
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
            self._settle(0)
            return
        self._pace = max(outcome.duration, self._pace / 2)
        if time.monotonic() - self._claimed_at > _STALE_SECONDS or not may_claim:
            self._give_back()
        elif self._waiting and self._note_end(job, outcome, now):
            return
        self._settle(self._wanted() if may_claim else 0)

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
            self._commit_all(partial(self._store.commit_and_claim, requests=()))
        except StoreUnavailable as fault:
            log.debug("%s", fault)
            return _AGAIN_SECONDS
        except StoreRefused as fault:  # whose it is shows when the job in hand has ended
            log.debug("%s", fault)
        finally:
            self._store.patience = patience
        return float("inf")

    def _note_end(self, job: Job, outcome: Outcome, at: datetime) -> bool:
        """Note how a run ended; what is long is committed instead, so that there is room."""
        note = crash_journal.ended(job, outcome, at)
        return len(note) <= _LONGEST_NOTE and self._watchdog.keep(note)

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

    def _wanted(self) -> int:
        """Return how many jobs to claim: as many as are over in the time, judged by the last."""
        return max(1, min(self._most, int(TOGETHER_SECONDS / self._pace)))

    # settling

    def _settle(self, wanted: int) -> None:
        """Commit what has ended and claim as many jobs as are wanted; each end alone if need be."""
        try:
            jobs = self._commit_all(partial(self._claims.commit_and_claim, wanted=wanted))
        except StoreRefused:  # one of them; it is found below
            jobs = []
        ended, self._ended = self._ended, []
        self._hold(jobs)
        for each in ended:
            self._settle_alone(each.job, each.outcome)

    def _commit_all(
        self, settle: Callable[[Sequence[Transition]], tuple[list[bool], list[Job]]]
    ) -> list[Job]:
        """Commit what has ended together; keep what was not applied; return what was claimed."""
        now = self._now()
        changes = [_change(each, now) for each in self._ended]
        applied, jobs = settle(changes)
        done = list(zip(self._ended, changes, applied, strict=True))
        self._ended = [each for each, _, is_applied in done if not is_applied]
        self._watchdog.forget()
        self._log.log_each(
            [
                line
                for each, change, is_applied in done
                if is_applied
                for line in self._lines(each.job, change.after, each.outcome)
            ]
        )
        return jobs

    def _settle_alone(self, job: Job, outcome: Outcome | None) -> None:
        """Commit one end that was refused among others.

        It is looked into: asked to cancel meanwhile, it is decided again; else the claim was
        lost and the outcome is discarded.
        """
        while True:
            change = state_machine.finish(job, outcome, self._now())
            try:
                is_committed = self._commit(change)
            except StoreRefused as fault:
                try:
                    change, is_committed = commit_reduced(self._commit, change, fault)
                except StoreRefused as refusal:
                    self._give_up(job, refusal)
                    return
            if not is_committed:
                fresh = self._retry.call(partial(self._store.get, job.id))
                if fresh is not None and job.claim and fresh.is_claimed_by(job.claim.id):
                    job = fresh
                    continue
            if is_committed:
                self._log.log_each(self._lines(job, change.after, outcome))
            else:
                self._log.hold(job)
                log.warning("job '%s': the claim was lost, its result is discarded", job.id)
            return

    def _commit(self, change: Transition) -> bool:
        return self._retry.call(partial(self._store.commit, change))

    def _now(self) -> datetime:
        return self._retry.call(self._store.now)

    def _give_up(self, job: Job, fault: StoreRefused) -> None:
        """Leave a job whose end cannot be stored; raise if the store refuses everything."""
        with contextlib.suppress(NotFound):  # even that is an answer
            self._retry.call(partial(self._store.heartbeat, self._worker))
        log.error("job '%s': its result cannot be stored: %s", job.id, fault)

    def _lines(self, job: Job, after: Job | None, outcome: Outcome | None) -> list[tuple[Job, str]]:
        """Return what to log about the end of a run: lines, each with its job."""
        if after is None or outcome is None:
            return []
        why = f" ({outcome.error})" if outcome.error else ""
        said = (job, f"job '{job.id}' -> {after.state.value}{why}")
        if not self._show_output:
            return [said]
        output = (*outcome.stdout.splitlines(), *outcome.stderr.splitlines())
        return [*((job, f"job '{job.id}' | {line}") for line in output), said]


def _change(ended: _EndedRun, now: datetime) -> Transition:
    """Return the end of a run as a transition, dated when it ended if that was just now.

    Who follows the changes looks back by seconds, so one that comes late is dated late.
    """
    at = ended.at if now - ended.at < _PROMPT else now
    return state_machine.finish(ended.job, ended.outcome, at)
