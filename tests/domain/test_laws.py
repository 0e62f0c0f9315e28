"""The laws that hold after any sequence of events, in any order, at any time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from queuectl.domain import state_machine
from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import SETTLED, WAITING, Job, Outcome, State, attempts_allowed
from queuectl.domain.job_fields import Spec
from queuectl.domain.state_machine import Transition
from tests.domain.jobs import (
    FAILURE,
    INTERRUPTED,
    NOW,
    PUT_BACK,
    SUCCESS,
    TIMEOUT,
    UNFIT,
    result,
    right,
)

ENDS_OF_A_RUN = frozenset(State) - {State.PROCESSING}
REACHABLE = {
    "claim": frozenset({State.PROCESSING}),
    "succeed": frozenset({State.COMPLETED}),
    "fail": frozenset({State.FAILED}),
    "bury": frozenset({State.DEAD}),
    "release": frozenset({State.PENDING}),
    "put back": frozenset({State.PENDING}),
    "refuse": frozenset({State.PENDING}),
    "expire": frozenset({State.PENDING, State.DEAD, State.CANCELLED}),
    "share": frozenset({State.PROCESSING}),
    "cancel": frozenset({State.CANCELLED}),
    "request_cancel": frozenset({State.PROCESSING}),
    "retry": frozenset({State.PENDING}),
    "replace": frozenset({State.PENDING}),
    "edit": WAITING,
}
RUNNING = frozenset({State.PROCESSING})
FROM = {
    **dict.fromkeys("succeed fail bury release expire share request_cancel".split(), RUNNING),
    **dict.fromkeys(["put back", "refuse"], RUNNING),
    "claim": WAITING,
    "cancel": {*WAITING, State.PROCESSING},
    "retry": {*SETTLED, State.FAILED},
    "replace": ENDS_OF_A_RUN,
    "edit": WAITING,
}

OUTCOMES = (
    SUCCESS, FAILURE, FAILURE, FAILURE, TIMEOUT, INTERRUPTED, PUT_BACK, UNFIT,
    replace(UNFIT, is_final=True),
)  # fmt: skip

specs = st.builds(
    Spec,
    id=st.just("job1"),
    command=st.just("exit 1"),
    max_retries=st.sampled_from([0, 1, 2, 3, 4]),
    backoff_base=st.floats(0, 1e308),
    backoff_cap=st.floats(0, 1e9),
)


class JobLife(RuleBasedStateMachine):
    """One job id, whatever anybody does to it."""

    def __init__(self) -> None:
        super().__init__()
        self.job: Job | None = None
        self.now: datetime = NOW
        self.claims = 0
        self.settled_runs: list[int] = []

    @property
    def present(self) -> Job:
        assert self.job is not None
        return self.job

    def is_in(self, *states: State) -> bool:
        return self.job is not None and self.job.state in states

    def apply(self, change: Transition) -> None:
        """Check what holds for every single step, and take it."""
        before, after = change.before, result(change)
        assert before is self.job
        assert before.state in FROM[change.event]
        assert after.state in REACHABLE[change.event]
        assert after.id == before.id
        assert after.seq == before.seq
        assert after.created_at == before.created_at
        assert after.rev == before.rev + (change.event != "request_cancel")
        assert after.runs == before.runs + (change.event == "claim")
        assert after.history[: len(before.history)] == before.history
        assert after.history[len(before.history) :] == ((change.run,) if change.run else ())
        if change.run:
            self.settled_runs.append(after.runs)
        self.job = after

    @initialize(spec=specs)
    def enqueue_first(self, spec: Spec) -> None:
        self.job = state_machine.enqueue(spec, None, self.now)

    @precondition(lambda self: self.job is None)
    @rule(spec=specs)
    def enqueue(self, spec: Spec) -> None:
        self.job = state_machine.enqueue(spec, None, self.now)
        self.settled_runs = []

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 40.0, 1e6]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.is_in(State.PENDING, State.FAILED))
    @rule(alone=st.booleans())
    def claim(self, alone: bool) -> None:
        self.now = max(self.now, min(self.present.run_at, self.now + timedelta(days=1)))
        if not self.present.is_ready(self.now):
            return
        self.claims += 1
        claim = right(self.claims, self.now, alone=alone)
        self.apply(state_machine.claim(self.present, claim, self.now))

    @precondition(lambda self: self.is_in(State.PROCESSING))
    @rule(outcome=st.sampled_from(OUTCOMES))
    def settle(self, outcome: Outcome) -> None:
        before = self.present
        self.apply(state_machine.finish(before, outcome, self.now))
        if before.cancel_requested:
            expected = State.COMPLETED if outcome.succeeded else State.CANCELLED
            assert self.present.state is expected

    @precondition(lambda self: self.is_in(State.PROCESSING))
    @rule()
    def release_unstarted(self) -> None:
        self.apply(state_machine.release(self.present, self.now))

    @precondition(lambda self: self.is_in(State.PROCESSING))
    @rule(max_interruptions=st.integers(1, 4))
    def expire(self, max_interruptions: int) -> None:
        before = self.present
        self.apply(state_machine.expire(before, self.now, max_interruptions))
        assert before.claim is not None
        counts = before.claim.alone or before.suspect
        assert self.present.interruptions == before.interruptions + counts
        assert self.present.attempts == before.attempts - 1
        if not before.cancel_requested:
            is_over = counts and before.interruptions + 1 >= max_interruptions
            assert self.present.state is (State.DEAD if is_over else State.PENDING)
            assert self.present.suspect == (not is_over and (before.suspect or not counts))

    @precondition(lambda self: self.is_in(State.PROCESSING))
    @rule()
    def share(self) -> None:
        before = self.present
        self.apply(state_machine.share(before, self.now))
        assert self.present.runs_alone == before.suspect

    @precondition(lambda self: self.is_in(State.PENDING, State.FAILED, State.PROCESSING))
    @rule()
    def cancel(self) -> None:
        self.apply(state_machine.cancel(self.present, self.now))

    @precondition(lambda self: self.is_in(*SETTLED, State.FAILED))
    @rule()
    def retry(self) -> None:
        self.apply(state_machine.retry(self.present, self.now))
        assert self.present.is_ready(self.now)

    @precondition(lambda self: self.is_in(*ENDS_OF_A_RUN))
    @rule(spec=specs)
    def replace_job(self, spec: Spec) -> None:
        self.apply(state_machine.replace_job(self.present, spec, None, self.now))

    @precondition(lambda self: self.is_in(*WAITING))
    @rule(max_retries=st.integers(0, 4))
    def edit(self, max_retries: int) -> None:
        job = self.present
        spec = replace(job.spec, max_retries=max_retries)
        with suppress(InvalidInput):  # it would be left without an attempt
            self.apply(state_machine.edit(job, spec, job.run_at, self.now))

    @precondition(lambda self: self.is_in(*ENDS_OF_A_RUN))
    @rule(chance=st.integers(0, 9))
    def delete(self, chance: int) -> None:
        if chance == 0:
            assert state_machine.delete(self.present).after is None
            self.job = None

    @invariant()
    def attempts_stay_within_what_is_allowed(self) -> None:
        if self.job:
            assert 0 <= self.job.attempts <= attempts_allowed(self.job.spec.max_retries)
            assert self.job.attempts <= self.job.runs

    @invariant()
    def a_job_that_waits_has_an_attempt_left(self) -> None:
        if self.is_in(*WAITING):
            assert self.present.attempts < attempts_allowed(self.present.spec.max_retries)

    @invariant()
    def the_history_has_one_entry_for_each_settled_run_numbered_by_run(self) -> None:
        if self.job:
            assert [run.n for run in self.job.history] == self.settled_runs
            assert self.settled_runs == sorted(set(self.settled_runs))

    @invariant()
    def only_a_job_that_waits_or_runs_knows_why_it_was_put_back(self) -> None:
        if self.job:
            assert bool(self.job.put_backs) == (self.job.put_back is not None)
            assert not (self.job.put_backs and self.job.state in SETTLED)

    @invariant()
    def a_claim_exists_exactly_while_a_job_is_processing(self) -> None:
        if self.job:
            assert (self.job.claim is not None) == (self.job.state is State.PROCESSING)
            assert not self.job.cancel_requested or self.job.state is State.PROCESSING

    @invariant()
    def a_suspect_waits_or_runs_and_its_latest_run_did_not_end_by_itself(self) -> None:
        if self.job and self.job.suspect:
            assert self.job.state in {State.PENDING, State.PROCESSING}
            assert self.job.runs

    @invariant()
    def failed_at_is_set_for_the_dead_and_an_outcome_for_what_has_run(self) -> None:
        if self.is_in(State.DEAD):
            assert self.present.failed_at is not None
        if self.is_in(State.COMPLETED, State.DEAD, State.FAILED):
            assert self.present.outcome is not None
            assert self.present.finished_at is not None


TestNoTransitionLosesAJobOrItsHistory = JobLife.TestCase
TestNoTransitionLosesAJobOrItsHistory.settings = settings(max_examples=60, stateful_step_count=40)
