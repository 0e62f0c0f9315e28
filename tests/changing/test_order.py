"""Moving a job within its queue."""

from __future__ import annotations

import pytest

from queuectl.domain.times import later
from queuectl.stores.base import Store
from tests.changing.conftest import Cli
from tests.cli.harness import claim_next
from tests.stores.kit import added, claimed_ids
from tests.worker.fleet import Fleet


@pytest.fixture
def five(fleet: Fleet) -> Fleet:
    """Jobs of one queue and one of another, in the order in which they would be claimed."""
    fleet.enqueue("true", "urgent", priority="high")
    for job_id in ("a", "b", "c"):
        fleet.enqueue("true", job_id)
    fleet.enqueue("true", "elsewhere", queue="other", priority=500)
    return fleet


def order(fleet: Fleet) -> list[str]:
    """Claim everything that is ready and return the ids in order, but for the other queue's."""
    ids = []
    while fleet.queue.store.first_ready("default") is not None:
        ids.append(claim_next(fleet.queue).id)
    return [job_id for job_id in ids if job_id != "elsewhere"]


def test_a_job_that_is_moved_first_is_claimed_next_in_its_queue(five: Fleet, cli: Cli) -> None:
    five.enqueue("true", "z", priority="low")
    assert cli.ok("jobs", "move", "z", "--first").out == "Job 'z' is first in queue default\n"
    assert order(five) == ["z", "urgent", "a", "b", "c"]


def test_several_are_moved_in_the_order_in_which_they_are_named(five: Fleet, cli: Cli) -> None:
    cli.ok("jobs", "move", "c", "b", "--first")
    assert order(five) == ["c", "b", "urgent", "a"]


def test_a_job_for_later_that_is_moved_first_is_due_at_once(five: Fleet, cli: Cli) -> None:
    five.enqueue("true", "z", run_at="in 3 days")
    cli.ok("jobs", "move", "z", "--first")
    assert order(five)[0] == "z"


def test_a_job_that_is_moved_last_goes_behind_all_that_are_due(five: Fleet, cli: Cli) -> None:
    assert cli.ok("jobs", "move", "urgent", "--last").out.endswith("is last in queue default\n")
    assert order(five) == ["a", "b", "c", "urgent"]


def test_moving_what_is_there_already_changes_nothing(five: Fleet, cli: Cli) -> None:
    cli.ok("jobs", "move", "urgent", "--first")
    cli.ok("jobs", "move", "c", "--last")
    assert order(five) == ["urgent", "a", "b", "c"]


def test_only_a_job_that_waits_can_be_moved(five: Fleet, cli: Cli) -> None:
    job = claim_next(five.queue)
    assert "only a job that waits" in cli.refused(4, "jobs", "move", job.id, "--first")
    assert "say where" in cli.refused(2, "jobs", "move", "a")
    assert "say where" in cli.refused(2, "jobs", "move", "a", "--first", "--last")


def test_the_edges_of_a_queue_are_those_of_the_claim(store: Store) -> None:
    now = store.now()
    assert store.first_ready("q") is None
    added(store, "early", later(now, -5), queue="q")
    added(store, "late", later(now, -1), queue="q")
    added(store, "future", later(now, 500), queue="q", priority=9)
    added(store, "low", later(now, -9), queue="q", priority=-1)
    first, last = store.first_ready("q"), store.last_ready("q")
    assert first is not None
    assert last is not None
    assert [first.id, last.id] == ["early", "low"]
    assert claimed_ids(store, 3) == ["early", "late", "low"]
