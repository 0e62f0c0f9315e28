"""Each legal change of a job, and the refusal of every other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, InvalidInput
from queuectl.domain.events import event_of
from queuectl.domain.job import SETTLED, WAITING, Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.state_machine import Fence, Transition
from tests.domain.jobs import (
    FAILURE,
    IN_STATE,
    INTERRUPTED,
    NOW,
    PUT_BACK,
    SPEC,
    SUCCESS,
    TIMEOUT,
    UNFIT,
    after,
    beside_others,
    cancelling,
    dead,
    failed,
    pending,
    processing,
    result,
    right,
    suspect,
)

Event = Callable[[Job, datetime], Transition]

EVENTS: dict[str, Event] = {
    "claim": lambda job, now: state_machine.claim(job, right(2, now), now),
    "succeed": lambda job, now: state_machine.finish(job, SUCCESS, now),
    "fail": lambda job, now: state_machine.finish(job, FAILURE, now),
    "time out": lambda job, now: state_machine.finish(job, TIMEOUT, now),
    "interrupt": lambda job, now: state_machine.finish(job, INTERRUPTED, now),
    "release": lambda job, now: state_machine.release(job, now),
    "put back": lambda job, now: state_machine.finish(job, PUT_BACK, now),
    "refuse": lambda job, now: state_machine.finish(job, UNFIT, now),
    "refuse, no host left": lambda job, now: state_machine.finish(
        job, replace(UNFIT, is_final=True), now
    ),
    "expire": lambda job, now: state_machine.expire(job, now, 5),
    "share": state_machine.share,
    "cancel": state_machine.cancel,
    "retry": state_machine.retry,
    "replace": lambda job, now: state_machine.replace_job(job, SPEC, None, now),
    "delete": lambda job, _now: state_machine.delete(job),
    "edit": lambda job, now: state_machine.edit(job, SPEC, now, now),
}

GONE = "gone"
NOT_RUNNING = [state for state in State if state is not State.PROCESSING]
TABLE: dict[str, dict[State, State | str]] = {
    "claim": dict.fromkeys(WAITING, State.PROCESSING),
    "succeed": {State.PROCESSING: State.COMPLETED},
    "fail": {State.PROCESSING: State.FAILED},
    "time out": {State.PROCESSING: State.FAILED},
    "interrupt": {State.PROCESSING: State.PENDING},
    "release": {State.PROCESSING: State.PENDING},
    "put back": {State.PROCESSING: State.PENDING},
    "refuse": {State.PROCESSING: State.PENDING},
    "refuse, no host left": {State.PROCESSING: State.DEAD},
    "expire": {State.PROCESSING: State.PENDING},
    "share": {State.PROCESSING: State.PROCESSING},
    "cancel": {
        **dict.fromkeys(WAITING, State.CANCELLED),
        State.PROCESSING: State.PROCESSING,
    },
    "retry": dict.fromkeys([*SETTLED, State.FAILED], State.PENDING),
    "replace": dict.fromkeys(NOT_RUNNING, State.PENDING),
    "delete": dict.fromkeys(NOT_RUNNING, GONE),
    "edit": {state: state for state in WAITING},
}
LEGAL = [(event, state) for event in EVENTS for state in State if state in TABLE[event]]
ILLEGAL = [(event, state) for event in EVENTS for state in State if state not in TABLE[event]]


@pytest.mark.parametrize(("event", "state"), LEGAL)
def test_a_legal_event_leads_to_the_state_in_the_table(event: str, state: State) -> None:
    change = EVENTS[event](IN_STATE[state](), after(60))
    assert (change.after.state if change.after else GONE) == TABLE[event][state]


@pytest.mark.parametrize(("event", "state"), ILLEGAL)
def test_every_event_outside_the_table_is_a_conflict_that_names_the_job(
    event: str, state: State
) -> None:
    with pytest.raises(Conflict, match="'job1'"):
        EVENTS[event](IN_STATE[state](), after(60))


def test_a_job_is_not_claimed_before_it_is_due() -> None:
    job = state_machine.enqueue(SPEC, after(10), NOW)
    with pytest.raises(Conflict):
        state_machine.claim(job, right(), after(9.999))
    assert result(state_machine.claim(job, right(), after(10))).state is State.PROCESSING


def test_a_claim_counts_an_attempt_and_a_run_and_notes_whose_it_is() -> None:
    job = processing()
    assert (job.attempts, job.runs, job.worker, job.started_at) == (1, 1, "worker1", NOW)
    assert job.claim == right()


def test_a_success_keeps_its_outcome_and_one_line_of_history() -> None:
    change = state_machine.finish(processing(), SUCCESS, after(5))
    job = result(change)
    assert job.outcome == SUCCESS
    assert job.finished_at == after(5)
    assert job.claim is None
    assert change.run == job.history[0]
    assert (job.history[0].n, job.history[0].claim_id) == (1, "claim1")
    assert (job.history[0].started_at, job.history[0].finished_at) == (NOW, after(5))


def test_failures_wait_two_and_four_seconds_and_the_third_is_buried() -> None:
    job, now, waits = pending(), NOW, []
    for n in (1, 2, 3):
        now = job.run_at
        job = result(state_machine.claim(job, right(n, now), now))
        job = result(state_machine.finish(job, FAILURE, now))
        waits.append((job.run_at - now).total_seconds())
    assert waits[:2] == [2.0, 4.0]
    assert (job.state, job.attempts, job.failed_at) == (State.DEAD, 3, now)
    assert job.last_error == "Exit code 1"
    assert [run.error for run in job.history] == ["Exit code 1"] * 3


def test_an_interrupted_run_gives_its_attempt_back_and_stays_in_the_history() -> None:
    job = result(state_machine.finish(processing(), INTERRUPTED, after(1)))
    assert (job.state, job.attempts, job.runs, job.interruptions) == (State.PENDING, 0, 1, 0)
    assert job.history[0].error == state_machine.INTERRUPTED
    assert job.run_at == NOW


def test_a_claim_released_unstarted_leaves_no_trace_in_the_history() -> None:
    change = state_machine.release(processing(), after(1))
    assert change.run is None
    assert (result(change).attempts, result(change).history) == (0, ())


def test_a_lost_worker_costs_no_attempt_but_counts_an_interruption() -> None:
    job = result(state_machine.expire(processing(), after(40), 5))
    assert (job.state, job.attempts, job.interruptions) == (State.PENDING, 0, 1)
    assert job.history[0].error == state_machine.WORKER_LOST
    assert job.outcome is not None
    assert job.history[0].seconds == job.outcome.duration == 40


def test_a_job_that_loses_its_workers_five_times_ends_in_the_dlq() -> None:
    job = pending()
    for n in range(1, 6):
        assert job.state is State.PENDING
        job = result(state_machine.claim(job, right(n), NOW))
        change = state_machine.expire(job, NOW, 5)
        job = result(change)
    assert (job.state, job.attempts, job.interruptions, job.failed_at) == (State.DEAD, 0, 5, NOW)
    assert change.to_dead
    assert job.last_error == "worker lost (5 interruptions)"
    assert len(job.history) == 5


def test_a_job_that_ran_beside_others_when_its_worker_was_lost_is_a_suspect_and_not_counted() -> (
    None
):
    job = result(state_machine.expire(beside_others(), after(40), max_interruptions=1))
    assert (job.state, job.attempts, job.interruptions) == (State.PENDING, 0, 0)
    assert (job.suspect, job.may_end_worker) == (True, True)
    assert job.history[0].error == state_machine.WORKER_LOST


def test_a_suspect_runs_alone_whatever_its_claim_says() -> None:
    again = beside_others(suspect())
    assert again.runs_alone
    lost = result(state_machine.expire(again, NOW, 2))
    assert (lost.state, lost.interruptions, lost.suspect) == (State.PENDING, 1, True)
    last = result(state_machine.expire(beside_others(lost), NOW, 2))
    assert (last.state, last.interruptions, last.suspect) == (State.DEAD, 2, False)


def test_how_long_a_suspect_has_waited_is_not_told_as_it_ran_meanwhile() -> None:
    waited = [
        event.waited
        for job in (pending(), suspect())
        if (event := event_of(state_machine.finish(beside_others(job), SUCCESS, after(1))))
    ]
    assert waited == [0.0, None]


def test_a_job_that_ran_alone_is_counted_and_no_suspect() -> None:
    job = result(state_machine.expire(processing(), NOW, 5))
    assert (job.interruptions, job.suspect, job.may_end_worker) == (1, False, True)


@pytest.mark.parametrize("event", ["succeed", "fail", "time out"])
def test_a_suspect_whose_run_ends_by_itself_is_none_any_more(event: str) -> None:
    assert not result(EVENTS[event](beside_others(suspect()), after(1))).suspect


@pytest.mark.parametrize("event", ["interrupt", "release"])
def test_a_suspect_that_is_given_back_stays_one(event: str) -> None:
    assert result(EVENTS[event](beside_others(suspect()), after(1))).suspect


def test_a_suspect_that_is_cancelled_or_begins_anew_is_none_any_more() -> None:
    assert not result(state_machine.cancel(suspect(), NOW)).suspect
    assert not result(state_machine.replace_job(suspect(), SPEC, None, NOW)).suspect
    assert result(state_machine.edit(suspect(), SPEC, NOW, NOW)).suspect
    asked = result(state_machine.cancel(beside_others(suspect()), NOW))
    assert not result(state_machine.expire(asked, NOW, 5)).suspect


def test_a_job_beside_others_that_was_to_be_cancelled_is_cancelled_with_its_worker() -> None:
    asked = result(state_machine.cancel(beside_others(), NOW))
    job = result(state_machine.expire(asked, NOW, 1))
    assert (job.state, job.interruptions, job.suspect) == (State.CANCELLED, 0, False)


@pytest.mark.parametrize("event", ["fail", "time out", "interrupt", "release", "expire"])
def test_whatever_ends_a_run_after_a_cancel_request_cancels_the_job(event: str) -> None:
    job = result(EVENTS[event](cancelling(), NOW))
    assert (job.state, job.cancel_requested) == (State.CANCELLED, False)
    assert [run.n for run in job.history] == [1]


def test_a_success_after_a_cancel_request_stays_completed() -> None:
    assert cancelling().rev == processing().rev, "others do not have to know of the request"
    job = result(state_machine.finish(cancelling(), SUCCESS, NOW))
    assert (job.state, job.cancel_requested) == (State.COMPLETED, False)


def test_retry_clears_the_counters_and_keeps_history_and_revision() -> None:
    before = dead()
    change = state_machine.retry(before, after(9))
    job = result(change)
    assert (job.attempts, job.interruptions, job.run_at) == (0, 0, after(9))
    assert (job.failed_at, job.last_error) == (None, None)
    assert (job.history, job.runs, job.rev) == (before.history, 1, before.rev + 1)
    assert change.from_dead


def test_replace_takes_the_new_specification_and_goes_on_counting_runs() -> None:
    new = Spec(id="job1", command="true")
    job = result(state_machine.replace_job(failed(), new, after(5), NOW))
    assert (job.spec, job.run_at, job.attempts, job.runs) == (new, after(5), 0, 1)


@given(attempts=st.integers(1, 50), max_retries=st.integers(0, 60))
def test_an_edit_leaves_every_failed_job_at_least_one_attempt(
    attempts: int, max_retries: int
) -> None:
    job = replace(failed(), attempts=attempts)
    spec = replace(SPEC, max_retries=max_retries)
    if max_retries > attempts:
        assert result(state_machine.edit(job, spec, job.run_at, NOW)).spec == spec
    else:
        with pytest.raises(InvalidInput, match=f"at least {attempts + 1}"):
            state_machine.edit(job, spec, job.run_at, NOW)


@pytest.mark.parametrize("max_retries", [0, 1])
def test_no_retries_still_means_one_attempt(max_retries: int) -> None:
    job = processing(replace(SPEC, max_retries=max_retries))
    assert result(state_machine.finish(job, FAILURE, NOW)).state is State.DEAD


def test_each_change_is_fenced_by_what_it_depends_on() -> None:
    running = processing()
    assert state_machine.finish(running, FAILURE, NOW).fence is Fence.CLAIM
    assert state_machine.release(running, NOW).fence is Fence.CLAIM
    assert state_machine.expire(running, NOW, 5).fence is Fence.LEASE
    for event in ("claim", "cancel", "retry", "replace", "delete", "edit"):
        assert EVENTS[event](failed(), after(60)).fence is Fence.REV


def test_a_run_with_exit_code_0_that_exceeded_its_time_has_failed() -> None:
    late = Outcome(exit_code=0, timed_out=True, error="Job exceeded 1s timeout")
    assert result(state_machine.finish(processing(), late, NOW)).state is State.FAILED


def test_a_job_that_is_put_back_waits_knows_why_and_has_lost_nothing() -> None:
    change = state_machine.finish(processing(), PUT_BACK, after(1))
    job = result(change)
    assert (change.run, job.history, job.attempts, job.interruptions) == (None, (), 0, 0)
    assert (job.run_at, job.put_back, job.put_backs) == (after(6), PUT_BACK.error, 1)
    again = result(state_machine.claim(job, right(2, after(6)), after(6)))
    assert result(state_machine.finish(again, PUT_BACK, after(7))).put_backs == 2


@pytest.mark.parametrize("event", ["succeed", "fail", "time out", "interrupt", "expire", "cancel"])
def test_what_put_a_job_back_is_forgotten_once_it_has_run(event: str) -> None:
    job = result(state_machine.finish(processing(), PUT_BACK, NOW))
    if event != "cancel":
        job = result(state_machine.claim(job, right(2, after(60)), after(60)))
    job = result(EVENTS[event](job, after(61)))
    assert (job.put_back, job.put_backs) == (None, 0)


def test_a_job_that_is_given_back_unstarted_still_knows_why_it_was_put_back() -> None:
    job = result(state_machine.finish(processing(), PUT_BACK, NOW))
    job = result(state_machine.claim(job, right(2, after(60)), after(60)))
    assert result(state_machine.release(job, after(60))).put_back == PUT_BACK.error


@pytest.mark.parametrize("outcome", [PUT_BACK, UNFIT, replace(UNFIT, is_final=True)])
def test_a_job_to_be_cancelled_is_neither_put_back_nor_refused(outcome: Outcome) -> None:
    job = result(state_machine.finish(cancelling(), outcome, NOW))
    assert (job.state, job.put_back, job.not_on) == (State.CANCELLED, None, ())


def test_a_host_that_cannot_start_a_job_is_noted_and_the_attempt_given_back() -> None:
    change = state_machine.finish(processing(), UNFIT, after(1))
    job = result(change)
    assert (job.not_on, job.attempts, job.run_at) == (("host1",), 0, after(1))
    assert change.run is not None
    assert change.run.error == "Command not found"
    other = replace(UNFIT, unfit_host="host2", is_final=True)
    again = result(state_machine.claim(job, right(2, after(2)), after(2)))
    dead = result(state_machine.finish(again, other, after(2)))
    assert (dead.state, dead.not_on) == (State.DEAD, ("host1", "host2"))
    assert (dead.failed_at, dead.attempts) == (after(2), 1)


@pytest.mark.parametrize("event", ["retry", "replace"])
def test_a_job_that_starts_afresh_may_start_on_every_host(event: str) -> None:
    dead = result(EVENTS["refuse, no host left"](processing(), NOW))
    assert result(EVENTS[event](dead, NOW)).not_on == ()


def test_an_edited_job_may_start_on_every_host() -> None:
    job = result(state_machine.finish(processing(), UNFIT, NOW))
    assert result(state_machine.edit(job, SPEC, NOW, NOW)).not_on == ()
