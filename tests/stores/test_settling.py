"""Settling, renewing, expiring and cancelling: who may end a run, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import later
from queuectl.stores.base import Store
from queuectl.stores.exchange import Renewal
from tests.stores.kit import (
    FAILURE,
    INTERRUPTED,
    SUCCESS,
    added,
    claimed,
    existing,
    faults,
    new_job,
    renewal,
    request,
    settled,
)

MILLISECOND = timedelta(milliseconds=1)


def verdict(store: Store, job: Job, outcome: Outcome = SUCCESS) -> Transition:
    """Return what a worker commits at the end of a run."""
    return state_machine.finish(job, outcome, store.now())


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (SUCCESS, State.COMPLETED),
        (FAILURE, State.FAILED),
        (INTERRUPTED, State.PENDING),
        (replace(FAILURE, timed_out=True, signal=9, exit_code=None), State.FAILED),
    ],
)
def test_a_settled_job_is_as_its_transition_says(
    store: Store, outcome: Outcome, state: State
) -> None:
    added(store, "a", max_retries=3)
    change = verdict(store, claimed(store), outcome)
    assert store.commit(change)
    assert existing(store, "a") == change.after
    assert existing(store, "a").state is state


def test_a_released_claim_leaves_no_trace_in_the_history(store: Store) -> None:
    added(store, "a")
    assert store.commit(state_machine.release(claimed(store), store.now()))
    job = existing(store, "a")
    assert (job.state, job.attempts, job.runs, job.history) == (State.PENDING, 0, 1, ())
    assert claimed(store).runs == 2


def test_history_grows_with_every_run(store: Store) -> None:
    added(store, "a", max_retries=9, backoff_base=0)
    claims = []
    for outcome in (FAILURE, INTERRUPTED, FAILURE, SUCCESS):
        store.make_due_claimable()
        job = claimed(store)
        assert job.claim is not None
        claims.append(job.claim.id)
        settled(store, job, outcome)
    runs = existing(store, "a").history
    assert [run.n for run in runs] == [1, 2, 3, 4]
    assert [run.claim_id for run in runs] == claims
    assert [run.exit_code for run in runs] == [1, None, 1, 0]


def test_a_worker_that_lost_its_claim_cannot_complete_the_job(store: Store) -> None:
    added(store, "a")
    lost = claimed(store)
    assert store.commit(state_machine.expire(lost, store.now(), 5))
    after = existing(store, "a")
    assert not store.commit(verdict(store, lost))
    assert existing(store, "a") == after
    held = claimed(store, worker="w2")
    assert not store.commit(verdict(store, lost))
    assert existing(store, "a").claim == held.claim
    assert store.commit(verdict(store, held))


def test_an_expiry_after_the_run_has_settled_changes_nothing(store: Store) -> None:
    added(store, "a")
    job = claimed(store)
    done = settled(store, job)
    assert not store.commit(state_machine.expire(job, store.now() + MILLISECOND, 5))
    assert existing(store, "a") == done


def test_who_ran_beside_others_is_a_suspect_until_it_has_run_alone(store: Store) -> None:
    added(store, "a")
    lost = claimed(store, alone=False)
    assert existing(store, "a").claim == lost.claim
    assert not lost.runs_alone
    assert store.commit(state_machine.expire(lost, store.now(), 1))
    again = claimed(store)
    assert (again.suspect, again.interruptions, again.runs_alone) == (True, 0, True)
    assert existing(store, "a").claim == again.claim
    done = settled(store, again)
    assert (done.state, done.suspect, done.claim) == (State.COMPLETED, False, None)


def test_who_gets_neighbours_is_a_suspect_when_its_worker_is_lost(store: Store) -> None:
    added(store, "a")
    alone = claimed(store)
    assert store.commit(state_machine.share(alone, store.now()))
    shared = existing(store, "a")
    assert (shared.state, shared.runs_alone) == (State.PROCESSING, False)
    assert store.commit(state_machine.expire(shared, store.now(), 1))
    assert existing(store, "a").suspect


def test_a_job_that_was_to_be_cancelled_meanwhile_gets_neighbours_only_when_it_is_read_again(
    store: Store,
) -> None:
    added(store, "a")
    alone = claimed(store)
    assert store.commit(state_machine.cancel(existing(store, "a"), store.now()))
    assert not store.commit(state_machine.share(alone, store.now()))
    assert store.commit(state_machine.share(existing(store, "a"), store.now()))
    assert existing(store, "a").cancel_requested


def test_a_suspect_that_is_lost_alone_is_counted(store: Store) -> None:
    added(store, "a")
    for interruptions in (0, 1):
        lost = claimed(store, alone=bool(interruptions))
        assert store.commit(state_machine.expire(lost, store.now(), 5))
        job = existing(store, "a")
        assert (job.state, job.interruptions, job.suspect) == (State.PENDING, interruptions, True)


def test_nothing_is_claimed_after_a_suspect(store: Store) -> None:
    for name in "ab":
        added(store, name)
    lost = claimed(store, alone=False)
    assert store.commit(state_machine.expire(lost, store.now(), 5))
    _, following = store.commit_and_claim([], [request(), request()])
    assert [job.id for job in following] == ["a"]


def test_a_renewal_defeats_an_expiry_decided_before_it(store: Store) -> None:
    added(store, "a")
    job = claimed(store, lease=1)
    expiry = state_machine.expire(job, store.now(), 5)
    assert renewal(store, "a", claim_id_of(job), 60) is Renewal.HELD
    assert not store.commit(expiry)
    assert existing(store, "a").state is State.PROCESSING
    assert store.commit(state_machine.expire(existing(store, "a"), store.now(), 5))
    assert existing(store, "a").interruptions == 1


def claim_id_of(job: Job) -> str:
    """Return the id of the claim that a job is held by."""
    assert job.claim is not None
    return job.claim.id


def test_a_renewal_moves_the_lease_and_nothing_else(store: Store) -> None:
    added(store, "a")
    job = claimed(store, lease=1)
    before = store.now()
    assert renewal(store, "a", claim_id_of(job), 100) is Renewal.HELD
    renewed = existing(store, "a")
    assert renewed.claim is not None
    assert later(before, 100) <= renewed.claim.lease_until <= later(store.now(), 100)
    assert replace(renewed, claim=job.claim) == job
    assert store.commit(verdict(store, job))


def test_a_renewal_tells_of_a_cancel_request_and_of_a_lost_claim(store: Store) -> None:
    job = added(store, "a")
    held = claimed(store)
    assert renewal(store, "a", "another", 30) is Renewal.LOST
    assert renewal(store, "absent", claim_id_of(held), 30) is Renewal.LOST
    assert store.commit(state_machine.cancel(held, store.now()))
    assert renewal(store, "a", claim_id_of(held), 30) is Renewal.CANCEL_REQUESTED
    settled(store, existing(store, "a"), replace(FAILURE, signal=15))
    assert renewal(store, "a", claim_id_of(held), 30) is Renewal.LOST
    assert job.claim is None


def test_a_cancel_request_makes_the_worker_decide_again(store: Store) -> None:
    added(store, "a", max_retries=3)
    held = claimed(store)
    failure = verdict(store, held, FAILURE)
    assert store.commit(state_machine.cancel(held, store.now()))
    assert existing(store, "a").rev == held.rev
    assert not store.commit(failure)
    assert settled(store, existing(store, "a"), FAILURE).state is State.CANCELLED


def test_a_success_stays_a_success_when_cancel_was_requested(store: Store) -> None:
    added(store, "a")
    held = claimed(store)
    store.commit(state_machine.cancel(held, store.now()))
    done = settled(store, existing(store, "a"))
    assert (done.state, done.cancel_requested) == (State.COMPLETED, False)


def test_a_cancel_request_survives_a_renewal_in_between(store: Store) -> None:
    added(store, "a")
    held = claimed(store)
    request_to_cancel = state_machine.cancel(held, store.now())
    assert renewal(store, "a", claim_id_of(held), 99) is Renewal.HELD
    assert store.commit(request_to_cancel)
    assert existing(store, "a").claim != held.claim


def test_settling_commits_and_claims_the_next(store: Store) -> None:
    added(store, "a")
    added(store, "b")
    applied, (after,) = store.commit_and_claim([verdict(store, claimed(store))], [request()])
    assert (applied, after.id) == ([True], "b")
    assert existing(store, "a").state is State.COMPLETED
    assert store.commit_and_claim([verdict(store, after)], [request()]) == ([True], [])


def test_several_ends_are_committed_and_several_jobs_claimed_at_once(store: Store) -> None:
    for name in "abcde":
        added(store, name)
    ended = [claimed(store), claimed(store)]
    applied, following = store.commit_and_claim(
        [verdict(store, job) for job in ended], [request() for _ in range(5)]
    )
    assert applied == [True, True]
    assert [job.id for job in following] == ["c", "d", "e"]
    assert len({claim_id_of(job) for job in following}) == 3
    assert store.counts().of(State.COMPLETED) == 2


def test_equal_queues_take_turns_within_a_handful(store: Store) -> None:
    for name in ("x1", "x2", "y1", "y2"):
        added(store, name, queue=name[0])
    _, following = store.commit_and_claim([], [request() for _ in range(4)])
    assert sorted(job.id[0] for job in following[:2]) == ["x", "y"]
    assert sorted(job.id for job in following) == ["x1", "x2", "y1", "y2"]


def test_a_handful_leaves_the_rest_of_its_queue_to_be_claimed(store: Store) -> None:
    for name in "abcde":
        added(store, name)
    _, following = store.commit_and_claim([], [request() for _ in range(3)])
    assert [job.id for job in following] == ["a", "b", "c"]
    assert [claimed(store).id, claimed(store).id] == ["d", "e"]
    assert store.claim(request()) is None
    assert faults(store) == []


def test_an_end_that_is_refused_spoils_neither_the_others_nor_the_claims(store: Store) -> None:
    for name in "abcd":
        added(store, name)
    ended = [claimed(store) for _ in range(3)]
    assert store.commit(state_machine.expire(ended[1], store.now(), 1))
    applied, following = store.commit_and_claim([verdict(store, job) for job in ended], [request()])
    assert (applied, [job.id for job in following]) == ([True, False, True], ["d"])
    assert existing(store, "b").state is State.DEAD


def test_claims_that_are_asked_for_again_are_the_same(store: Store) -> None:
    for name in "abcd":
        added(store, name)
    end = verdict(store, claimed(store))
    requests = [request(), request()]
    first = store.commit_and_claim([end], requests)
    again = store.commit_and_claim([end], [replace(each, repeated=True) for each in requests])
    assert first[0] == again[0] == [True]
    assert [job.id for job in first[1]] == [job.id for job in again[1]] == ["b", "c"]


@pytest.mark.parametrize("alone", [True, False], ids=["counted", "suspect"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_job_that_may_have_ended_its_worker_is_claimed_alone(
    store: Store, place: int, alone: bool
) -> None:
    for name in "abc":
        added(store, name)
    for job in [claimed(store, alone=alone) for _ in range(3)]:
        now, is_it = store.now(), job.id == "abc"[place]
        assert store.commit(
            state_machine.expire(job, now, 5) if is_it else state_machine.release(job, now)
        )
    found: list[str] = []
    while jobs := store.commit_and_claim([], [request() for _ in range(3)])[1]:
        found.append("".join(job.id for job in jobs))
    assert found == [["a", "bc"], ["a", "b", "c"], ["ab", "c"]][place]


def test_jobs_of_a_limited_queue_are_claimed_one_by_one(store: Store) -> None:
    store.set_queue_limit("gpu", limit=3)
    store.insert([new_job(store, f"g{n}", queue="gpu") for n in range(3)])
    assert [job.id for job in store.commit_and_claim([], [request(), request()])[1]] == ["g0"]


def test_a_lost_commit_does_not_stop_the_claim(store: Store) -> None:
    added(store, "a")
    added(store, "b")
    lost = claimed(store)
    assert store.commit(state_machine.expire(lost, store.now(), 1))
    applied, (after,) = store.commit_and_claim([verdict(store, lost)], [request()])
    assert (applied, after.id) == ([False], "b")


def test_a_commit_that_is_repeated_is_recognised_as_applied(store: Store) -> None:
    added(store, "a", max_retries=3, backoff_base=0)
    change = state_machine.finish(claimed(store), FAILURE, store.now())
    assert store.commit(change)
    assert store.commit(change)
    store.make_due_claimable()
    claimed(store, worker="w2")
    assert store.commit(change)
    assert len(existing(store, "a").history) == 1
    assert existing(store, "a").state is State.PROCESSING


def test_a_burial_that_is_repeated_is_recognised_as_applied(store: Store) -> None:
    added(store, "a")
    change = state_machine.finish(claimed(store), FAILURE, store.now())
    assert store.commit(change)
    assert store.commit(change)
    assert existing(store, "a") == change.after


ENDS = (
    None,
    SUCCESS,
    FAILURE,
    INTERRUPTED,
    Outcome(exit_code=0, duration=0.25, stdout="done", stderr_cut=7),
    replace(FAILURE, timed_out=True, signal=9, exit_code=None),
)


def test_ends_and_claims_in_one_batch_are_each_written_as_their_transition_says(
    store: Store,
) -> None:
    # each way to end after each that lets it be tried again, and once with no attempt left
    courses = [*product((3,), (None, FAILURE, INTERRUPTED), ENDS), *product((1,), ENDS, (None,))]
    for number, (retries, *_) in enumerate(courses):
        added(store, f"{number}", max_retries=retries, backoff_base=0.0)
    for at, workers in ((1, "wv"), (2, "vw")):
        found: list[Job] = []
        for worker in workers:  # some are tried again by the same worker, some by another
            asked = [request(worker=worker) for _ in courses[::2]]
            while asked and (more := store.commit_and_claim((), asked)[1]):
                found += more
                asked = asked[len(more) :]
        known = [existing(store, job.id) for job in found]
        assert [(job.claim, job.attempts, job.runs, job.state) for job in found] == [
            (job.claim, job.attempts, job.runs, job.state) for job in known
        ]
        ends = [courses[int(job.id)][at] for job in known]
        changes = [
            state_machine.finish(job, end, store.now())
            for job, end in zip(known, ends, strict=True)
            if end is None or isinstance(end, Outcome)
        ]
        assert len(changes) == len(known) > 8
        applied, _ = store.commit_and_claim(changes, ())
        assert all(applied)
        assert [existing(store, job.id) for job in known] == [change.after for change in changes]
        store.make_due_claimable()


def test_a_mark_that_came_meanwhile_outlives_a_change_of_many(store: Store) -> None:
    for name in "abc":
        added(store, name)
    assert store.commit(state_machine.pause(existing(store, "c"), store.now()))
    before = [existing(store, name) for name in "abc"]
    added(store, "child", after=("a",))  # marks its parent, whose revision stays
    changes = [state_machine.cancel(job, store.now()) for job in before]
    applied, _ = store.commit_and_claim(changes, ())
    assert existing(store, "a").has_dependents
    assert applied[1:] == [True, True]
    assert not existing(store, "c").paused
