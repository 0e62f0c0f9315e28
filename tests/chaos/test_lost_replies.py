"""The server applies a command and its reply is lost on the way: it counts, and counts once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Outcome, State
from queuectl.queue.events import process_all_events
from queuectl.stores.mongo.store import MongoStore
from tests.chaos.proxy import Proxy, proxy_before
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    buried,
    claimed,
    existing,
    faults,
    listed,
    new_job,
    request,
    settled,
)
from tests.worker.fleet import fleet_in

TIMES = [1, 2]
"""How many replies in a row are lost: the driver repeats a write by itself, but only once."""


@pytest.fixture
def line(mongo_url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy, and the address of an empty store by way of it."""
    with proxy_before(mongo_url) as found:
        yield found


@pytest.fixture
def proxy(line: tuple[Proxy, str]) -> Proxy:
    """The proxy alone."""
    return line[0]


@pytest.fixture
def store(line: tuple[Proxy, str]) -> Iterator[MongoStore]:
    """An empty store by way of the proxy."""
    with closing(MongoStore.open(line[1])) as store:
        yield store


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("names", ["a", "abc"])
def test_a_claim_whose_reply_is_lost_takes_one_job(
    store: MongoStore, proxy: Proxy, times: int, names: str
) -> None:
    for name in names:
        added(store, name)
    proxy.drop("findAndModify", "jobs", times)
    job = _again(lambda is_again: store.claim(request(claim_id="mine", repeated=is_again)))
    assert len(proxy.dropped) == times
    assert job is not None
    assert [held.id for held in store.claimed_by("w1")] == [job.id]
    assert store.counts().of(State.PENDING) == len(names) - 1
    assert existing(store, job.id).runs == 1


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE], ids=["success", "failure"])
def test_a_commit_whose_reply_is_lost_settles_once(
    store: MongoStore, proxy: Proxy, times: int, outcome: Outcome
) -> None:
    added(store, "a")
    change = state_machine.finish(claimed(store), outcome, store.now())
    proxy.drop("update", "jobs", times)
    assert _again(lambda _: store.commit(change))
    assert len(proxy.dropped) == times
    assert existing(store, "a") == change.after
    assert len(existing(store, "a").history) == 1
    assert listed(store) == ["a"]


@pytest.mark.parametrize("times", TIMES)
def test_claims_of_several_whose_reply_is_lost_take_a_job_each(
    store: MongoStore, proxy: Proxy, times: int
) -> None:
    for name in "abcd":
        added(store, name)
    asked = [request(claim_id=f"claim{number}") for number in range(3)]
    proxy.drop("update", "jobs", times)
    _, jobs = _again(
        lambda is_again: store.commit_and_claim(
            [], [replace(each, repeated=is_again) for each in asked]
        )
    )
    assert len(proxy.dropped) == times
    assert [(job.id, job.claim_id) for job in jobs] == [
        ("a", "claim0"), ("b", "claim1"), ("c", "claim2"),
    ]  # fmt: skip
    assert {job.id: job.runs for job in store.claimed_by("w1")} == {"a": 1, "b": 1, "c": 1}
    assert existing(store, "d").state is State.PENDING


@pytest.mark.parametrize("times", TIMES)
def test_claims_of_several_that_nobody_could_read_back_are_found_again(
    store: MongoStore, proxy: Proxy, times: int
) -> None:
    for name in "abcd":
        added(store, name)
    asked = [request(claim_id=f"claim{number}") for number in range(3)]
    store.commit_and_claim([], asked)  # and the worker was never told
    again = [replace(each, repeated=True) for each in asked]
    proxy.drop("find", "jobs", times)
    _, jobs = _again(lambda _: store.commit_and_claim([], again))
    assert [job.id for job in jobs] == ["a", "b", "c"]
    assert {job.runs for job in jobs} == {1}
    assert existing(store, "d").state is State.PENDING


@pytest.mark.parametrize("times", TIMES)
def test_ends_of_several_whose_reply_is_lost_settle_once(
    store: MongoStore, proxy: Proxy, times: int
) -> None:
    for name in "abc":
        added(store, name)
    ends = [SUCCESS, FAILURE, SUCCESS]
    changes = [state_machine.finish(claimed(store), end, store.now()) for end in ends]
    proxy.drop("update", "jobs", times)
    applied, _ = _again(lambda _: store.commit_and_claim(changes, []))
    assert len(proxy.dropped) == times
    assert applied == [True, True, True]
    assert [existing(store, name) for name in "abc"] == [change.after for change in changes]
    assert {len(existing(store, name).history) for name in "abc"} == {1}
    assert store.commit_and_claim(changes, [])[0] == [True, True, True]
    assert faults(store) == []


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(
    ("make", "decide"),
    [(added, "cancel"), (added, "delete"), (buried, "delete"), (buried, "retry")],
    ids=["cancel", "delete", "delete out of the DLQ", "retry out of the DLQ"],
)
def test_a_change_by_hand_whose_reply_is_lost_counts(
    store: MongoStore, proxy: Proxy, make: Any, decide: str, times: int
) -> None:
    job = make(store, "a")
    process_all_events(store)
    is_deletion = decide == "delete"
    change = getattr(state_machine, decide)(job, *([] if is_deletion else [store.now()]))
    proxy.drop("delete" if is_deletion else "update", "jobs", times)
    is_applied = _again(lambda _: store.commit(change))
    assert len(proxy.dropped) == times
    assert store.get("a") == change.after
    assert is_applied or is_deletion, "a deletion that is repeated finds nothing any more"
    assert store.repair() <= is_deletion, "it may have left the copy of a dead job"
    assert faults(store) == []


def test_a_commit_is_recognised_after_somebody_else_has_claimed_the_job_again(
    store: MongoStore, proxy: Proxy
) -> None:
    added(store, "a", max_retries=3, backoff_base=0)
    change = state_machine.finish(claimed(store), FAILURE, store.now())
    proxy.drop("update", "jobs", 1)
    assert _again(lambda _: store.commit(change))
    store.make_due_claimable()
    settled(store, claimed(store, worker="w2"), SUCCESS)
    assert store.commit(change), "it was applied, whatever came after it"
    assert [run.exit_code for run in existing(store, "a").history] == [1, 0]


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("is_atomic", [False, True])
def test_an_enqueue_whose_reply_is_lost_stores_each_job_once(
    store: MongoStore, proxy: Proxy, times: int, is_atomic: bool
) -> None:
    batch = [new_job(store, f"job{number}") for number in range(20)]
    proxy.drop("insert", "jobs", times)
    assert store.insert(batch, atomic=is_atomic) == frozenset(), "none is refused as there already"
    assert len(proxy.dropped) == times
    assert listed(store) == [job.id for job in batch]
    assert faults(store) == []


@pytest.mark.slow
def test_a_worker_behind_a_line_that_drops_replies_runs_each_job_once(
    tmp_path: Path, line: tuple[Proxy, str]
) -> None:
    proxy, url = line
    names = [f"job{number}" for number in range(12)]
    with fleet_in(tmp_path, url) as fleet:
        fleet.start()
        for number, name in enumerate(names):
            proxy.drop("findAndModify" if number % 2 else "update", "jobs", 1 + number % 3)
            fleet.enqueue(f"echo {name} >> ran", name)
            assert fleet.settled(name).state is State.COMPLETED
        proxy.drop("", "", 0)
        assert len(proxy.dropped) >= len(names)
        assert all(len(fleet.job(name).history) == 1 for name in names)
        assert (tmp_path / "ran").read_text().split() == names


def _again(ask: Any) -> Any:
    """Ask as a worker does: until there is an answer."""
    for number in range(5):
        try:
            return ask(number > 0)
        except StoreUnavailable:
            continue
    pytest.fail("the store never answered")
