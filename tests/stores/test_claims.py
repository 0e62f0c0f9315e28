"""Claiming: which job comes next, who gets it, and what upkeep does to make jobs claimable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from queuectl.domain import state_machine
from queuectl.domain.job import Claim, State
from queuectl.domain.times import later
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.system.polling import wait_readable
from tests.stores.conftest import OpenStore
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    claimed,
    claimed_ids,
    existing,
    faults,
    new_job,
    request,
    settled,
)

HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)


def test_nothing_ready_is_nothing_claimed(store: Store) -> None:
    assert store.claim(request()) is None
    added(store, "later", store.now() + HOUR)
    assert store.claim(request()) is None


def test_a_claim_is_what_the_state_machine_says(store: Store) -> None:
    job = added(store, "a")
    wanted = request(worker="w7", lease=12.5)
    taken = store.claim(wanted)
    assert taken is not None
    assert taken.started_at is not None
    right = Claim(wanted.claim_id, "w7", later(taken.started_at, 12.5))
    assert taken == state_machine.claim(job, right, taken.started_at).after
    assert existing(store, "a") == taken


def test_the_second_claim_of_a_job_counts_on(store: Store) -> None:
    added(store, "a", max_retries=3, backoff_base=0)
    failed = settled(store, claimed(store), FAILURE)
    store.make_due_claimable()
    wanted = request()
    taken = store.claim(wanted)
    assert taken is not None
    assert taken.started_at is not None
    right = Claim(wanted.claim_id, "w1", later(taken.started_at, 30))
    expected = state_machine.claim(failed, right, taken.started_at).after
    assert expected is not None
    bare = replace(FAILURE, stderr="")
    assert taken == replace(expected, history=(), outcome=bare)
    assert (taken.attempts, taken.runs) == (2, 2)


def test_a_job_is_claimed_once(store: Store) -> None:
    added(store, "a")
    assert claimed(store).id == "a"
    assert store.claim(request()) is None


def test_the_highest_priority_goes_first(store: Store) -> None:
    for job_id, priority in (("low", -10), ("high", 10), ("normal", 0), ("high2", 10)):
        added(store, job_id, priority=priority)
    assert claimed_ids(store, 4) == ["high", "high2", "normal", "low"]


def test_the_highest_priority_goes_first_in_every_queue(store: Store) -> None:
    added(store, "a1", queue="a", priority=1)
    added(store, "b5", queue="b", priority=5)
    added(store, "c3", queue="c", priority=3)
    added(store, "a4", queue="a", priority=4)
    assert claimed_ids(store, 2) == ["b5", "a4"]
    added(store, "d9", queue="d", priority=9)
    assert claimed_ids(store, 3) == ["d9", "c3", "a1"]


def test_jobs_of_one_priority_go_by_time_and_then_by_arrival_not_by_id(store: Store) -> None:
    now = store.now()
    for job_id in ("job2", "job10", "job1"):
        added(store, job_id, now)
    added(store, "earlier", now - HOUR)
    assert claimed_ids(store, 4) == ["earlier", "job2", "job10", "job1"]


def test_the_least_recently_served_of_equal_queues_goes_first(store: Store) -> None:
    for queue in ("a", "b", "c"):
        for n in range(3):
            added(store, f"{queue}{n}", queue=queue)
    queues = [claimed(store).spec.queue for _ in range(9)]
    assert [set(queues[start : start + 3]) for start in (0, 3, 6)] == [{"a", "b", "c"}] * 3
    assert queues[:3] == queues[3:6] == queues[6:]


def test_a_queue_that_drops_to_the_level_of_another_gives_it_the_turn(store: Store) -> None:
    added(store, "a9", queue="a", priority=9)
    added(store, "a5", queue="a", priority=5)
    added(store, "b5", queue="b", priority=5)
    assert claimed_ids(store, 3) == ["a9", "b5", "a5"]


def test_a_worker_takes_only_from_its_queues(store: Store) -> None:
    for queue in ("a", "b", "c"):
        added(store, queue, queue=queue)
    assert claimed(store, "b").id == "b"
    assert store.claim(request("b")) is None
    assert {claimed(store, "a", "c").id, claimed(store, "a", "c").id} == {"a", "c"}
    assert store.claim(request("a", "b", "c")) is None


def test_a_change_of_queues_is_heeded_at_once(store: Store) -> None:
    for queue in ("a", "b", "c", "d"):
        added(store, queue, queue=queue)
    assert claimed(store, "a", "b").id in {"a", "b"}
    assert claimed(store, "c").id == "c"
    assert claimed(store, "c", "d").id == "d"


def test_only_one_job_is_claimed_where_one_is_named(store: Store) -> None:
    added(store, "a", priority=9)
    added(store, "b")
    assert claimed(store, only="b").id == "b"
    assert store.claim(request(only="b")) is None
    assert store.claim(request(only="absent")) is None
    assert existing(store, "a").state is State.PENDING


def test_a_named_job_that_waits_for_later_is_not_claimed(store: Store) -> None:
    added(store, "a", store.now() + HOUR)
    assert store.claim(request(only="a")) is None


def test_a_named_job_that_is_due_need_not_be_promoted(store: Store) -> None:
    soon_due(store, "a")
    assert claimed(store, only="a").id == "a"


def soon_due(store: Store, *job_ids: str) -> None:
    """Add jobs that are due a moment later, and return when that has come."""
    at = store.now() + 200 * MILLISECOND
    store.insert([new_job(store, job_id, at) for job_id in job_ids])
    while store.now() < at:
        pass


def test_promotion_makes_due_jobs_claimable(store: Store) -> None:
    later_on = store.now() + HOUR
    added(store, "later", later_on)
    assert store.make_due_claimable() == 0
    assert store.next_due() == later_on
    soon_due(store, "a", "b", "c")
    due = store.next_due()
    assert due is not None
    assert due <= store.now()
    assert store.make_due_claimable(limit=2) == 2
    assert store.make_due_claimable() == 1
    assert store.make_due_claimable() == 0
    assert store.next_due() == later_on
    assert sorted(claimed_ids(store, 3)) == ["a", "b", "c"]
    assert store.claim(request()) is None


def test_promotion_is_no_change_of_the_job(store: Store) -> None:
    soon_due(store, "a")
    job = existing(store, "a")
    store.make_due_claimable()
    assert existing(store, "a") == job


def test_a_claim_whose_answer_was_lost_is_found_again(store: Store) -> None:
    added(store, "a")
    added(store, "b")
    first = claimed(store, claim_id="same")
    again = store.claim(request(claim_id="same", repeated=True))
    assert again == first
    assert claimed(store).id == "b"


def test_a_repeated_claim_that_had_taken_nothing_takes_the_next_job(store: Store) -> None:
    added(store, "a")
    assert claimed(store, claim_id="same", repeated=True).id == "a"


def test_claims_come_without_output_and_history(store: Store) -> None:
    added(store, "a", max_retries=3, backoff_base=0)
    settled(store, claimed(store), replace(FAILURE, stdout="long"))
    store.make_due_claimable()
    job = claimed(store)
    assert job.outcome is not None
    assert (job.outcome.stdout, job.outcome.stderr, job.history) == ("", "", ())
    assert len(existing(store, "a").history) == 1


def test_leases_that_end_are_found(store: Store) -> None:
    for job_id, lease in (("a", 10.0), ("b", 20.0)):
        added(store, job_id)
        claimed(store, only=job_id, lease=lease)
    added(store, "waiting")
    now = store.now()
    assert store.leases_ending(now) == []
    assert [job.id for job in store.leases_ending(later(now, 15))] == ["a"]
    both = store.leases_ending(later(now, 25))
    assert sorted(job.id for job in both) == ["a", "b"]
    assert store.commit(state_machine.expire(both[0], store.now(), 5))


def test_the_jobs_that_a_worker_holds_are_found(store: Store) -> None:
    for job_id in ("a", "b", "c"):
        added(store, job_id)
    first = claimed(store, worker="w1")
    claimed(store, worker="w2")
    last = claimed(store, worker="w1")
    settled(store, first)
    assert store.claimed_by("w1") == [last]
    assert store.claimed_by("nobody") == []


def test_a_claim_finds_what_another_has_just_added(opened: OpenStore) -> None:
    here, there = opened(), opened()
    assert here.claim(request()) is None
    added(there, "a", queue="x")
    assert claimed(here).id == "a"
    added(there, "b", queue="y", priority=-5)
    added(here, "c", queue="z")
    assert {claimed(here).id, claimed(here).id} == {"b", "c"}


def test_racing_workers_take_each_job_exactly_once(store: Store, store_url: str) -> None:
    jobs = 60 if "mongodb" not in store_url else 20
    store.insert([new_job(store, f"job{n}", queue=f"q{n % 3}") for n in range(jobs)])

    def work(number: int) -> list[str]:
        done: list[str] = []
        with closing(open_store(store_url)) as own:
            first = own.claim(request(worker=f"w{number}", claim_id=f"{number}-0"))
            held = [first] if first else []
            while held:
                done += [job.id for job in held]
                wanted = [
                    request(worker=f"w{number}", claim_id=f"{number}-{len(done)}-{n}")
                    for n in range(2)
                ]
                ends = [state_machine.finish(job, SUCCESS, own.now()) for job in held]
                applied, held = own.commit_and_claim(ends, wanted)
                assert all(applied)
        return done

    with ThreadPoolExecutor(4) as pool:
        done = [job_id for ids in pool.map(work, range(4)) for job_id in ids]
    assert sorted(done) == sorted(f"job{n}" for n in range(jobs))
    assert store.counts().of(State.COMPLETED) == jobs


def test_claims_by_name_leave_the_others_of_a_queue_to_be_claimed(store: Store) -> None:
    due = store.now() + timedelta(milliseconds=20)
    added(store, "late", due)
    added(store, "ready")
    while store.now() <= due:
        wait_readable([], 0.005)
    if store.claim(request(only="late")) is None:  # a store may want it to be promoted first
        store.make_due_claimable()
        assert claimed(store, only="late").id == "late"
    assert claimed(store).id == "ready"
    added(store, "again")
    assert claimed(store, only="again").id == "again"
    added(store, "last")
    assert claimed(store).id == "last"
    assert store.claim(request()) is None
    assert faults(store) == []
