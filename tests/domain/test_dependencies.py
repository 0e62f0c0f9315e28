"""What a job waits for, and what becomes of that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain import state_machine
from queuectl.domain.dependencies import blockers, left_by, met_by, parents, refuse_cycles
from queuectl.domain.errors import Conflict, InvalidInput, NothingDone
from queuectl.domain.job import Claim, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.queue_limits import QueueLimit
from queuectl.domain.views import WaitContext, reason, unserved_by
from tests.domain.jobs import (
    FAILURE,
    NOW,
    SPEC,
    SUCCESS,
    after,
    completed,
    dead,
    pending,
    processing,
    result,
)

CHILD = Spec("c", "true", after=("p",), after_fail=("q",), after_any=("r", "p"))
STATES = st.sampled_from([*State, None])
PARENTS = st.sampled_from("pqr")


def test_each_way_to_wait_is_a_blocker_of_its_own() -> None:
    assert blockers(CHILD) == ("success:p", "failure:q", "end:r", "end:p")


@pytest.mark.parametrize(
    ("state", "met"),
    [
        (State.COMPLETED, {"success:p", "end:p"}),
        (State.DEAD, {"failure:p", "end:p"}),
        (State.CANCELLED, {"failure:p", "end:p"}),
        (None, {"failure:p", "end:p"}),
        (State.PENDING, set()),
        (State.FAILED, set()),
        (State.PROCESSING, set()),
    ],
)
def test_what_an_end_meets(state: State | None, met: set[str]) -> None:
    assert set(met_by("p", state)) == met


@given(st.lists(st.tuples(PARENTS, STATES), max_size=3, unique_by=lambda end: end[0]))
def test_telling_twice_or_in_another_order_comes_to_the_same(
    ends: list[tuple[str, State | None]],
) -> None:
    wanted = blockers(CHILD)
    forwards = backwards = wanted
    for parent, state in [*ends, *ends]:
        forwards = left_by(forwards, {parent: state})
    for parent, state in reversed(ends):
        backwards = left_by(backwards, {parent: state})
    assert forwards == backwards
    assert set(forwards) <= {*wanted, "gone:p"}


def test_a_job_that_waits_for_another_is_not_claimed() -> None:
    blocked = pending(CHILD)
    assert blocked.blocked_by
    with pytest.raises(Conflict):
        state_machine.claim(blocked, Claim("x", "w", after(30)), NOW)


def test_an_end_leaves_a_mark_only_for_children() -> None:
    assert not completed().children_pending
    parent = replace(processing(), has_dependents=True)
    assert result(state_machine.finish(parent, SUCCESS, NOW)).children_pending
    assert not result(state_machine.finish(parent, FAILURE, NOW)).children_pending, "it is retried"
    assert result(
        state_machine.cancel(replace(pending(), has_dependents=True), NOW)
    ).children_pending


def test_a_job_whose_children_do_not_know_yet_is_not_started_afresh() -> None:
    ended = replace(dead(), children_pending=True)
    with pytest.raises(Conflict, match="children"):
        state_machine.retry(ended, NOW)
    with pytest.raises(Conflict, match="children"):
        state_machine.replace_job(ended, SPEC, None, NOW)


def test_an_edit_adds_new_blockers_and_brings_none_back() -> None:
    child = replace(pending(CHILD), blocked_by=("failure:q",))
    spec = replace(CHILD, after=("p", "s"), after_any=())
    edited = result(state_machine.edit(child, spec, NOW, NOW))
    assert edited.blocked_by == ("success:s", "failure:q")


def test_a_retry_waits_for_nobody() -> None:
    cancelled = result(state_machine.cancel(pending(CHILD), NOW))
    assert result(state_machine.retry(cancelled, NOW)).blocked_by == ()


def test_a_circle_within_a_batch_is_refused_and_named() -> None:
    batch = {"a": Spec("a", "true", after=("b",)), "b": Spec("b", "true", after_any=("a",))}
    with pytest.raises(InvalidInput, match="circle: "):
        refuse_cycles({job_id: parents(spec) for job_id, spec in batch.items()})
    with pytest.raises(InvalidInput, match="circle: a -> a"):
        refuse_cycles({"a": ("a",)})


@given(st.integers(1, 60))
def test_a_batch_without_a_circle_is_accepted(size: int) -> None:
    refuse_cycles({f"j{n}": (f"j{n // 2}",) if n else () for n in range(size)})


def test_a_paused_job_is_held_through_its_retry_and_freed_by_its_end() -> None:
    running = result(state_machine.pause(processing(), NOW))
    assert result(state_machine.finish(running, FAILURE, NOW)).paused
    assert not result(state_machine.finish(running, SUCCESS, NOW)).paused
    with pytest.raises(NothingDone):
        state_machine.pause(running, NOW)
    with pytest.raises(NothingDone):
        state_machine.resume(pending(), NOW)
    for change in (state_machine.pause, state_machine.resume):
        with pytest.raises(Conflict):
            change(completed(), NOW)


@pytest.mark.parametrize(
    ("limit", "slots", "why"),
    [
        (QueueLimit(), 1, "due"),
        (QueueLimit(paused=True), 1, "queue gpu is paused"),
        (QueueLimit(limit=2, used=2), 1, "queue gpu is at its limit (2)"),
        (QueueLimit(limit=2, used=1), 1, "due"),
        (QueueLimit(limit=2, used=1), 2, "queue gpu is at its limit (2)"),
        (QueueLimit(limit=2), 3, "needs 3 slots, queue gpu has 2"),
    ],
)
def test_the_reason_tells_of_the_queue(limit: QueueLimit, slots: int, why: str) -> None:
    job = pending(replace(SPEC, queue="gpu", slots=slots))
    assert reason(job, NOW, wait_context=WaitContext({"gpu": limit}, lambda _: None)) == why


@pytest.mark.parametrize(
    ("limit", "first", "why"),
    [
        (QueueLimit(limit=3, used=2), "wide", "behind wide, which needs 3 slots"),
        (QueueLimit(limit=2), "wide", "behind wide, which needs 3 slots"),
        (QueueLimit(limit=3), "wide", "due"),
        (QueueLimit(), "wide", "due"),
        (QueueLimit(limit=3, used=2), SPEC.id, "due"),
    ],
)
def test_the_reason_tells_of_a_wider_job_that_goes_first(
    limit: QueueLimit, first: str, why: str
) -> None:
    wide = pending(replace(SPEC, id=first, queue="gpu", slots=3))
    wait_context = WaitContext({"gpu": limit}, lambda _: None, first_of=lambda _queue: wide)
    assert reason(pending(replace(SPEC, queue="gpu")), NOW, wait_context=wait_context) == why


@pytest.mark.parametrize(
    ("bound", "why"),
    [
        ([], "no worker is running"),
        ([("gpu",)], "due"),
        ([("cpu",), ("gpu", "x")], "due"),
        ([("cpu",), ()], "due"),
        ([("cpu",), ("x", "y")], "no worker takes from queue gpu"),
    ],
)
def test_the_reason_tells_of_a_queue_from_which_no_worker_takes(
    bound: list[tuple[str, ...]], why: str
) -> None:
    job = pending(replace(SPEC, queue="gpu"))
    wait_context = WaitContext({}, lambda _: None, unserved_by(bound))
    assert reason(job, NOW, wait_context=wait_context) == why
    later = replace(job, run_at=NOW + timedelta(hours=1))
    assert str(reason(later, NOW, wait_context=wait_context)).startswith("scheduled for")


def test_the_reason_tells_of_parents_and_of_a_pause() -> None:
    assert reason(pending(CHILD), NOW) == "waits for p, q to fail, r to end, p to end"
    assert reason(replace(pending(CHILD), paused=True), NOW) == "paused"
    fates = {"p": State.DEAD, "q": State.COMPLETED, "r": State.FAILED}.get
    assert reason(pending(CHILD), NOW, wait_context=WaitContext({}, fates)) == (
        "waits for p (dead), q to fail (completed), r to end, p to end (dead)"
    )
    only = pending(Spec("c", "true", after=("gone",)))
    assert reason(only, NOW, wait_context=WaitContext({}, fates)) == "waits for gone (deleted)"
    assert reason(replace(processing(), paused=True), NOW) == "paused"
