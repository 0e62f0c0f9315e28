"""The only state machine: one constructor for each legal change of a job.

Each takes a job as it was read and the store's time, and returns a `Transition` that a store
applies with compare-and-set. An illegal change raises `Conflict` and writes nothing.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from queuectl.domain.dependencies import (
    CANNOT_START,
    TURN,
    blockers,
    left_after_edit,
    turn_of,
)
from queuectl.domain.errors import Conflict, InvalidInput, NothingDone
from queuectl.domain.frozen import frozen, replace
from queuectl.domain.job import HISTORY_RUNS, SETTLED, WAITING, Claim, Job, Outcome, Run, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.settings import CANCEL
from queuectl.domain.text import counted
from queuectl.domain.times import backoff_seconds, later, luck_of

WORKER_LOST = "worker lost"
INTERRUPTED = "interrupted"

MARKS = ("cancel_requested", "paused", "has_dependents")
"""What others may mark on a running job; a mark that came meanwhile makes a verdict void."""


class Fence(str, Enum):
    """What must still be as it was read for a transition to be applied."""

    CLAIM = "claim"  # the claim's id and MARKS: a worker settles its own run
    LEASE = "lease"  # these and lease_until: a renewal in between defeats an expiry
    REV = "rev"  # rev: everything else


# To look a member up in its class takes ten times as long on Python 3.11, and jobs are many.
_PENDING, _PROCESSING, _COMPLETED = State.PENDING, State.PROCESSING, State.COMPLETED
_FAILED, _DEAD, _CANCELLED = State.FAILED, State.DEAD, State.CANCELLED
_CLAIM, _LEASE, _REV = Fence.CLAIM, Fence.LEASE, Fence.REV


@frozen
class Transition:
    """One legal change: `before` as read, `after` as it shall be (None: deleted).

    `run` is the entry that the store appends to the job's history, if any.
    """

    event: str
    before: Job
    after: Job | None
    fence: Fence
    run: Run | None = None

    @property
    def to_dead(self) -> bool:
        """Whether the job moves into the dead letter queue."""
        return self.after is not None and self.after.state is _DEAD

    @property
    def from_dead(self) -> bool:
        """Whether the job leaves the dead letter queue, to wait again or to be deleted."""
        return self.before.state is _DEAD

    @property
    def has_new_blockers(self) -> bool:
        """Whether a job is to wait for what it did not wait for before, or to fail with a parent.

        Then its parents are to be looked at.
        """
        before, after = self.before, self.after
        if after is None or not after.blocked_by:
            return False
        if not set(after.blocked_by) <= {*before.blocked_by, TURN}:
            return True
        return before.spec.on_parent_failure != after.spec.on_parent_failure == CANCEL


def enqueue(
    spec: Spec,
    run_at: datetime | None,
    now: datetime,
    *,
    delayed: bool = False,
    paused: bool = False,
) -> Job:
    """Return a new pending job, due at `run_at` or at once; `delayed` and `paused` as `Job` has."""
    is_blocked = spec.after or spec.after_any or spec.after_fail or spec.at_once
    blocked_by = blockers(spec) if is_blocked else ()
    return Job(
        spec, _PENDING, run_at or now, now, now, blocked_by=blocked_by, paused=paused,
        delayed=delayed,
    )  # fmt: skip


def claim(job: Job, right: Claim, now: datetime) -> Transition:
    """A worker takes a job that waits and is due. Raises Conflict for any other."""
    if not job.is_ready(now):
        raise Conflict(f"job '{job.id}' is {job.state} and cannot be claimed")
    after = job.changed(
        now, state=_PROCESSING, run_at=job.run_at if job.run_at <= now else now,
        attempts=job.attempts + 1, runs=job.runs + 1,
        claim=right, worker=right.worker, started_at=now, finished_at=None,
    )  # fmt: skip
    return Transition("claim", job, after, _REV)


def finish(job: Job, outcome: Outcome | None, now: datetime) -> Transition:
    """The worker's verdict on its own run: completed, retried, buried, released or cancelled.

    Without an outcome the run had not begun, and is released.
    """
    if outcome is None:
        return release(job, now)
    if outcome.postponed:
        return put_back(job, outcome, now)
    if outcome.succeeded:
        return _ended(job, "succeed", _COMPLETED, outcome, now)
    if outcome.interrupted:
        return release(job, now, outcome)
    if job.cancel_requested:
        return _ended(job, "cancel", _CANCELLED, outcome, now)
    if outcome.unfit_host is not None:
        return refuse(job, outcome, outcome.unfit_host, now)
    if job.has_attempts_left and not outcome.is_final and _is_tried_again(job.spec, outcome):
        wait = max(_wait_before_retry(job), outcome.retry_after)
        run_at = later(now, wait)
        if job.spec.at_once:  # others of its batch go meanwhile
            turn = turn_of(job.spec)
            return _ended(job, "fail", _FAILED, outcome, now, run_at=run_at, blocked_by=turn)
        return _ended(job, "fail", _FAILED, outcome, now, run_at=run_at)
    return _ended(job, "bury", _DEAD, outcome, now, failed_at=now)


def _is_tried_again(spec: Spec, outcome: Outcome) -> bool:
    """Whether the job's own rules let a run be tried again that has ended so."""
    if not (spec.retry_on or spec.no_retry_on):
        return True
    from queuectl.domain.retry_rules import refusal  # few jobs have such rules

    return refusal(spec, outcome) is None


def _wait_before_retry(job: Job) -> float:
    spec = job.spec
    luck = luck_of(spec.id, job.attempts) if spec.backoff_jitter else 0.0
    return backoff_seconds(
        spec.backoff_base, job.attempts, spec.backoff_cap, spec.backoff_jitter, luck
    )


def put_back(job: Job, outcome: Outcome, now: datetime) -> Transition:
    """The worker puts a job back that it has not begun, as something did not let it.

    The attempt is not counted, and there is no trace in the history. The job waits as long as the
    outcome says, and knows why.
    """
    if job.cancel_requested:
        return release(job, now)
    return _ended(
        job, "put back", _PENDING, None, now, suspect=job.suspect, attempts=job.attempts - 1,
        run_at=later(now, outcome.postponed), put_back=outcome.error, put_backs=job.put_backs + 1,
    )  # fmt: skip


def refuse(job: Job, outcome: Outcome, host: str, now: datetime) -> Transition:
    """The command could not be started on this host, and will not be tried there again.

    Another host may start it, and the attempt is not counted; where there is none
    (`outcome.is_final`) the job is dead.
    """
    hosts = tuple(dict.fromkeys((*job.not_on, host)))
    if outcome.is_final:
        return _ended(job, "bury", _DEAD, outcome, now, failed_at=now, not_on=hosts)
    return _ended(
        job, "refuse", _PENDING, outcome, now, attempts=job.attempts - 1, run_at=now, not_on=hosts
    )


def release(job: Job, now: datetime, outcome: Outcome | None = None) -> Transition:
    """The worker gives a run back; the attempt is not counted.

    Without an outcome the run had not begun, and leaves no trace in the history.
    """
    kept: dict[str, Any] = {"attempts": job.attempts - 1, "suspect": job.suspect}
    if outcome is None and not job.cancel_requested:
        return _ended(
            job, "release", _PENDING, None, now, put_back=job.put_back, put_backs=job.put_backs,
            **kept,
        )  # fmt: skip
    ended = outcome or Outcome()
    ended = replace(ended, error=ended.error or INTERRUPTED, interrupted=False)
    if job.cancel_requested:
        return _ended(job, "cancel", _CANCELLED, ended, now)
    return _ended(job, "release", _PENDING, ended, now, **kept)


def expire(job: Job, now: datetime, max_interruptions: int, why: str = "") -> Transition:
    """A claim whose worker was lost ends, and the attempt is given back.

    Of a job that ran alone an interruption is counted. Any of several side by side may have ended
    the worker, and which one cannot be seen: they become suspects. Nobody knows how long it ran; it
    is taken to have run until now. `why` says in plain words what became of its worker.
    """
    count = job.interruptions + job.runs_alone
    changed: dict[str, Any] = {"interruptions": count, "attempts": job.attempts - 1}
    error = f"{WORKER_LOST}: {why}" if why else WORKER_LOST
    state = _PENDING
    if job.cancel_requested:
        state = _CANCELLED
    elif not job.runs_alone:
        changed["suspect"] = True
    elif count >= max_interruptions:
        state, error = _DEAD, f"{error} ({count} interruptions)"
        changed["failed_at"] = now
    else:
        changed["suspect"] = job.suspect
    lasted = max(0.0, (now - (job.started_at or now)).total_seconds())
    lost = Outcome(error=error, duration=lasted)
    return _ended(job, "expire", state, lost, now, _LEASE, **changed)


def share(job: Job, now: datetime) -> Transition:
    """The worker of a job that it had claimed to run alone is about to run others beside it."""
    if job.state is not _PROCESSING or job.claim is None:
        raise Conflict(f"job '{job.id}' is {job.state}, not processing")
    after = job.changed(now, claim=replace(job.claim, alone=False))
    return Transition("share", job, after, _CLAIM)


def cancel(job: Job, now: datetime) -> Transition:
    """A waiting job is cancelled at once; a running one is marked for its worker to stop."""
    if job.state in WAITING:
        return _cancelled(job, now)
    if job.state is _PROCESSING:
        after = replace(job, cancel_requested=True, updated_at=now)
        return Transition("request_cancel", job, after, _REV)
    raise Conflict(f"job '{job.id}' is {job.state} already")


def cancel_with_parent(job: Job, why: str, now: datetime) -> Transition:
    """A waiting job that shall not outlast its parents is cancelled; `why` says which has failed.

    That is its last error then, and it waits for nobody any more. Raises Conflict for a job that
    does not wait.
    """
    return _cancelled_for(job, why, now)


def cancel_with_batch(job: Job, why: str, now: datetime) -> Transition:
    """A waiting job is cancelled as too many others of its batch have failed, as `why` says.

    Raises Conflict for a job that does not wait.
    """
    return _cancelled_for(job, why, now)


def _cancelled_for(job: Job, why: str, now: datetime) -> Transition:
    if job.state not in WAITING:
        raise Conflict(f"job '{job.id}' is {job.state}")
    outcome = replace(job.outcome or Outcome(), error=f"{CANNOT_START}{why}")
    return _cancelled(job, now, outcome=outcome, blocked_by=())


def _cancelled(job: Job, now: datetime, **changed: Any) -> Transition:
    changed |= {"paused": False, "suspect": False, "children_pending": job.has_dependents}
    changed |= {"put_back": None, "put_backs": 0}
    if job.spec.at_once and TURN in job.blocked_by:
        changed["blocked_by"] = ()
    return _changed(job, "cancel", now, state=_CANCELLED, finished_at=now, **changed)


def retry(job: Job, now: datetime) -> Transition:
    """A settled (or failed) job starts afresh, due now; its history is kept."""
    if job.state not in SETTLED and job.state is not _FAILED:
        raise Conflict(f"job '{job.id}' is {job.state}; there is nothing to retry")
    fresh = replace(enqueue(job.spec, now, now), blocked_by=turn_of(job.spec))
    return _reset(job, "retry", fresh)


def replace_job(
    job: Job,
    spec: Spec,
    run_at: datetime | None,
    now: datetime,
    *,
    delayed: bool = False,
    paused: bool = False,
) -> Transition:
    """A job that does not run gets a new specification and starts afresh."""
    if job.state is _PROCESSING:
        raise Conflict(f"job '{job.id}' is processing and cannot be replaced")
    return _reset(job, "replace", enqueue(spec, run_at, now, delayed=delayed, paused=paused))


def delete(job: Job) -> Transition:
    """A job that does not run is forgotten."""
    if job.state is _PROCESSING:
        raise Conflict(
            f"job '{job.id}' is processing", hint=f"queuectl delete --force {job.id} cancels it"
        )
    return Transition("delete", job, None, _REV)


def edit(
    job: Job, spec: Spec, run_at: datetime, now: datetime, *, delayed: bool = False
) -> Transition:
    """A job that waits gets another specification; what it has been through stays.

    Blockers that are gone stay gone; hosts that could not start it may try it again. Raises
    Conflict when it does not wait, InvalidInput when `max_retries` would leave it no attempt.
    """
    if job.state not in WAITING:
        raise Conflict(f"job '{job.id}' is {job.state}; only a job that waits can be changed")
    if job.attempts and spec.max_retries <= job.attempts:
        raise InvalidInput(
            f"max_retries of job '{job.id}' must be at least {job.attempts + 1}: "
            f"it has made {counted(job.attempts, 'attempt')}"
        )
    left = left_after_edit(job.blocked_by, job.spec, spec)
    delayed = job.delayed if run_at == job.run_at else delayed
    return _changed(
        job, "edit", now, spec=spec, run_at=run_at, blocked_by=left, delayed=delayed,
        put_back=None, put_backs=0, not_on=(),
    )  # fmt: skip


def pause(job: Job, now: datetime) -> Transition:
    """A waiting job is not claimed until it is resumed; a running one is stopped in its place.

    Raises NothingDone when it is paused already, Conflict when it has ended.
    """
    if job.paused:
        raise NothingDone(f"job '{job.id}' is paused already")
    return _marked(job, "pause", now, paused=True)


def stash(job: Job, now: datetime) -> Transition:
    """A waiting job is paused as `pause` does it. Raises Conflict for one that runs, too."""
    if job.state is _PROCESSING:
        raise Conflict(
            f"job '{job.id}' is processing", hint=f"queuectl pause {job.id} stops it in its place"
        )
    return pause(job, now)


def resume(job: Job, now: datetime) -> Transition:
    """A job that was paused goes on. Raises NothingDone or Conflict as `pause` does."""
    if not job.paused and job.state not in SETTLED:
        raise NothingDone(f"job '{job.id}' is not paused")
    return _marked(job, "resume", now, paused=False)


def _marked(job: Job, event: str, now: datetime, *, paused: bool) -> Transition:
    if job.state is _PROCESSING:
        return Transition(event, job, replace(job, paused=paused, updated_at=now), _REV)
    if job.state in WAITING:
        if paused and job.spec.at_once and not job.blocked_by:  # another one goes meanwhile
            return _changed(job, event, now, paused=True, blocked_by=turn_of(job.spec))
        return _changed(job, event, now, paused=paused)
    raise Conflict(f"job '{job.id}' has ended: it is {job.state}")


def _changed(job: Job, event: str, now: datetime, **changed: Any) -> Transition:
    """Return a change that counts only if nobody has changed the job meanwhile."""
    return Transition(event, job, job.changed(now, **changed), _REV)


def _ended(
    job: Job,
    event: str,
    state: State,
    outcome: Outcome | None,
    now: datetime,
    fence: Fence = _CLAIM,
    *,
    suspect: bool = False,
    put_back: str | None = None,
    put_backs: int = 0,
    **changed: Any,
) -> Transition:
    """Return the transition that ends a run, with its history entry where there is an outcome.

    A job that has ended by itself is no suspect any more, and one that has run is not put back.
    """
    right = job.claim
    if job.state is not _PROCESSING or right is None:
        raise Conflict(f"job '{job.id}' is {job.state}, not processing")
    run = None
    if outcome:
        run = Run(
            job.runs, right.id, right.worker, job.started_at or now, now,
            outcome.exit_code, outcome.signal, outcome.timed_out, outcome.error, outcome.duration,
            outcome.cpu_seconds, outcome.peak_memory,
        )  # fmt: skip
    after = job.changed(
        now,
        state=state,
        claim=None,
        cancel_requested=False,
        children_pending=state in SETTLED and job.has_dependents,
        paused=job.paused and state not in SETTLED,
        finished_at=now if outcome else None,
        outcome=outcome or job.outcome,
        history=(*job.history, run)[-HISTORY_RUNS:] if run else job.history,
        suspect=suspect,
        put_back=put_back,
        put_backs=put_backs,
        **changed,
    )
    return Transition(event, job, after, fence, run)


def _reset(job: Job, event: str, fresh: Job) -> Transition:
    """A job becomes a new one: of what it has been through, its runs and their history stay."""
    if job.children_pending:
        raise Conflict(f"job '{job.id}' has ended, but not all of its children know; try again")
    after = replace(
        fresh, seq=job.seq, rev=job.rev + 1, created_at=job.created_at,
        runs=job.runs, history=job.history, has_dependents=job.has_dependents,
    )  # fmt: skip
    return Transition(event, job, after, _REV)
