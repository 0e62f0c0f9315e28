"""Jobs in every state, made with the state machine itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from queuectl.domain import state_machine
from queuectl.domain.job import Claim, Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import UTC

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SPEC = Spec(id="job1", command="exit 1", max_retries=3)
SUCCESS = Outcome(exit_code=0, duration=0.5, stdout="fine\n")
FAILURE = Outcome(exit_code=1, error="Exit code 1", duration=0.5)
TIMEOUT = Outcome(signal=15, timed_out=True, error="Job exceeded 10s timeout", duration=10.0)
PUT_BACK = Outcome(error="load 12.3, to be below 8", postponed=5.0)
UNFIT = Outcome(error="Command not found", unfit_host="host1")
INTERRUPTED = Outcome(signal=15, duration=0.2, interrupted=True)


def after(seconds: float, instant: datetime = NOW) -> datetime:
    """Return the instant `seconds` after another."""
    return instant + timedelta(seconds=seconds)


def right(n: int = 1, now: datetime = NOW, *, alone: bool = True) -> Claim:
    """Return the n-th claim, with a lease of 30 seconds."""
    return Claim(f"claim{n}", "worker1", after(30, now), alone)


def result(change: Transition) -> Job:
    """Return the job that a transition leaves; it must not be a deletion."""
    assert change.after is not None
    return change.after


def pending(spec: Spec = SPEC) -> Job:
    """Return a job that has just been enqueued."""
    return state_machine.enqueue(spec, None, NOW)


def processing(spec: Spec = SPEC) -> Job:
    """Return a job in its first run."""
    return result(state_machine.claim(pending(spec), right(), NOW))


def beside_others(job: Job | None = None) -> Job:
    """Return a job in a run beside others of its worker."""
    return result(state_machine.claim(job or pending(), right(2, alone=False), NOW))


def suspect() -> Job:
    """Return a job that ran beside others when its worker was lost."""
    return result(state_machine.expire(beside_others(), NOW, max_interruptions=1))


def cancelling(spec: Spec = SPEC) -> Job:
    """Return a job in its first run that somebody has asked to cancel."""
    return result(state_machine.cancel(processing(spec), NOW))


def failed(spec: Spec = SPEC) -> Job:
    """Return a job that has failed once and waits for its retry."""
    return result(state_machine.finish(processing(spec), FAILURE, NOW))


def completed(spec: Spec = SPEC) -> Job:
    """Return a job that has succeeded."""
    return result(state_machine.finish(processing(spec), SUCCESS, NOW))


def dead(spec: Spec = SPEC) -> Job:
    """Return a job that was buried because its workers were lost."""
    return result(state_machine.expire(processing(spec), NOW, max_interruptions=1))


def cancelled(spec: Spec = SPEC) -> Job:
    """Return a job that was cancelled while it waited."""
    return result(state_machine.cancel(pending(spec), NOW))


IN_STATE: dict[State, Callable[[], Job]] = {
    State.PENDING: pending,
    State.PROCESSING: processing,
    State.COMPLETED: completed,
    State.FAILED: failed,
    State.DEAD: dead,
    State.CANCELLED: cancelled,
}
