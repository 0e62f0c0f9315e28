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


@pytest.mark.parametrize(
    ("moves", "then"),
    [
        (["low --first"], "low urgent a b c"),
        (["later --first"], "later urgent a b c low"),
        (["c b --first"], "c b urgent a low"),
        (["urgent --last"], "a b c low urgent"),
        (["urgent --first", "low --last"], "urgent a b c low"),
    ],
    ids=["first", "due at once", "as they are named", "last", "where they are already"],
)
def test_a_job_that_is_moved_is_claimed_before_or_behind_all_of_its_queue_that_are_due(
    five: Fleet, cli: Cli, moves: list[str], then: str
) -> None:
    five.enqueue("true", "low", priority="low")
    five.enqueue("true", "later", run_at="in 3 days")
    for words in moves:
        *ids, where = words.split()
        lines = cli.ok("jobs", "move", *words.split()).out.splitlines()
        end = "head" if where == "--first" else "end"
        said = [f"Moved job '{job_id}' to the {end} of queue 'default'" for job_id in ids]
        assert sorted(lines) == sorted(said)
    assert order(five) == then.split()


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
