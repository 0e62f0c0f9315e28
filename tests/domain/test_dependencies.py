"""What a job waits for, what becomes of that, and which jobs cannot start by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain import state_machine
from queuectl.domain.dependencies import (
    Obstacles,
    blockers,
    left_by,
    met_by,
    parents,
    refuse_cycles,
)
from queuectl.domain.errors import Conflict, InvalidInput, NothingDone
from queuectl.domain.job import Claim, Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.settings import CANCEL
from queuectl.domain.views import WaitContext, reason
from tests.domain.jobs import (
    FAILURE,
    NOW,
    SPEC,
    SUCCESS,
    after,
    cancelled,
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


# what keeps a job from ever starting by itself

SAYS = {
    State.DEAD: "p is dead",
    State.CANCELLED: "p is cancelled",
    State.COMPLETED: "p is completed",
    None: "p was deleted",
}


def waiting(job_id: str, **spec: Any) -> Job:
    """Return a job that waits for others."""
    return pending(Spec(job_id, "true", **spec))


def parent(state: State | None) -> dict[str, Job]:
    """Return the job `p` in a state, by its id; none when it is deleted."""
    spec = Spec("p", "true")
    made = {
        State.PENDING: pending(spec),
        State.PROCESSING: processing(spec),
        State.COMPLETED: completed(spec),
        State.DEAD: dead(spec),
        State.CANCELLED: cancelled(spec),
    }
    return {"p": made[state]} if state else {}


def root(job: Job, *others: Job) -> str | None:
    """Return what keeps a job from starting, in words."""
    found = Obstacles({each.id: each for each in (job, *others)}.get).before(job)
    return str(found) if found else None


@pytest.mark.parametrize(
    ("way", "hopeless"),
    [
        ("after", {State.DEAD, State.CANCELLED, None}),
        ("after_fail", {State.COMPLETED}),
        ("after_any", set[State]()),
    ],
)
@pytest.mark.parametrize(
    "state",
    [State.PENDING, State.PROCESSING, State.COMPLETED, State.DEAD, State.CANCELLED, None],
)
def test_an_end_that_is_not_the_one_waited_for_is_an_obstacle(
    way: str, hopeless: set[State | None], state: State | None
) -> None:
    child = waiting("c", **{way: ("p",)})
    expected = SAYS[state] if state in hopeless else None
    assert root(child, *parent(state).values()) == expected


@pytest.mark.parametrize("way", ["after", "after_fail", "after_any"])
def test_the_root_of_a_chain_is_named(way: str) -> None:
    chain = [waiting(f"c{n}", **{way: (f"c{n - 1}",)}) for n in range(1, 4000)]
    first = waiting("c0", after=("p",))
    assert root(chain[-1], first, *chain, *parent(State.DEAD).values()) == "p is dead"
    assert root(chain[-1], first, *chain, *parent(State.PENDING).values()) is None


def test_a_parent_that_was_deleted_is_one_though_its_id_was_used_again() -> None:
    child = replace(waiting("c", after=("p",)), blocked_by=("gone:p",))
    assert root(child, *parent(State.COMPLETED).values()) == "p was deleted"
    wait_context = WaitContext({}, lambda _job_id: State.COMPLETED)
    assert reason(child, NOW, wait_context=wait_context) == "waits for p (deleted)"


def test_of_a_job_that_was_deleted_its_child_is_to_be_edited_and_others_retried() -> None:
    chain = [waiting("c0", after=("p",)), *(waiting(f"c{n}", after=(f"c{n - 1}",)) for n in (1, 2))]
    for state, remedy in ((None, "edit c0"), (State.DEAD, "retry p")):
        jobs = {each.id: each for each in chain} | parent(state)
        found = [Obstacles(jobs.get).before(job) for job in chain]
        assert [each and each.remedy for each in found] == [remedy] * 3


def test_what_is_cancelled_with_its_parent_is_about_to_end_itself() -> None:
    middle = waiting("m", after=("p",), on_parent_failure=CANCEL)
    child = waiting("c", after_fail=("m",))
    gone = parent(State.DEAD).values()
    assert root(middle, *gone) is None
    assert root(child, middle, *gone) is None
    other = replace(middle, blocked_by=("success:q", "success:p"))
    stuck = waiting("q", after=("p",))
    assert root(other, stuck, *gone) == "p is dead", "q waits, and does not end"


def test_a_circle_ends() -> None:
    one, other = waiting("a", after=("b",)), waiting("b", after=("a",))
    assert root(one, other) is None
