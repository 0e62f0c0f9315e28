"""Which jobs cannot start by themselves, and because of which other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.settings import CANCEL
from queuectl.domain.unmet_dependencies import Obstacles
from queuectl.domain.views import WaitContext, reason
from tests.domain.jobs import NOW, completed, dead, pending, processing, result

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
        State.CANCELLED: result(state_machine.cancel(pending(spec), NOW)),
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


def test_the_reason_names_the_root_and_not_the_next_link_alone() -> None:
    states = {"p": State.DEAD, "m": State.PENDING}.get
    roots = {"m": "p is dead"}.get
    wait_context = WaitContext({}, states, root_of=roots)
    assert (
        reason(waiting("c", after=("m",)), NOW, wait_context=wait_context)
        == "waits for m (p is dead)"
    )
    assert (
        reason(waiting("m", after=("p",)), NOW, wait_context=wait_context) == "waits for p (dead)"
    )
