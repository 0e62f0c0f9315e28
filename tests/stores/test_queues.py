"""Queues that are paused or limited, on every store."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, State
from queuectl.domain.queue_limits import QueueLimit
from queuectl.stores import open_store
from queuectl.stores.base import Store
from tests.stores.conftest import OpenStore
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    claimed,
    claimed_ids,
    existing,
    new_job,
    request,
    settled,
)


def fresh_claim(store: Store, *queues: str) -> str | None:
    """Claim as a worker does that looked at the queues just now; return the job's id."""
    job = store.claim(request(*queues))
    return job.id if job else None


def test_nothing_is_known_of_a_queue_about_which_nothing_was_decided(store: Store) -> None:
    added(store, "a")
    assert store.queue_limits() == {}


def test_a_paused_queue_is_not_claimed_from_until_it_is_resumed(opened: OpenStore) -> None:
    boss, worker = opened(), opened()
    added(boss, "a", queue="gpu")
    boss.set_queue_limit("gpu", paused=True)
    assert fresh_claim(worker) is None
    assert fresh_claim(worker, "gpu") is None
    assert boss.queue_limits() == {"gpu": QueueLimit(paused=True)}
    boss.set_queue_limit("gpu", paused=False)
    assert boss.queue_limits() == {}
    assert fresh_claim(opened()) == "a"


def test_a_queue_can_be_paused_before_it_has_a_job(store: Store) -> None:
    store.set_queue_limit("gpu", paused=True)
    added(store, "shut", queue="gpu")
    added(store, "open")
    assert claimed_ids(store, 1) == ["open"]
    assert fresh_claim(store) is None


def test_a_paused_queue_of_higher_priority_holds_up_nobody(store: Store) -> None:
    store.set_queue_limit("gpu", paused=True)
    added(store, "urgent", queue="gpu", priority=10)
    added(store, "calm")
    assert claimed_ids(store, 1) == ["calm"]


def test_one_job_asked_for_by_name_waits_for_its_queue_too(opened: OpenStore) -> None:
    store = opened()
    added(store, "a", queue="gpu")
    store.set_queue_limit("gpu", paused=True)
    assert store.claim(request(only="a")) is None
    store.set_queue_limit("gpu", paused=False, limit=1)
    assert claimed(opened(), only="a").id == "a"
    added(store, "b", queue="gpu")
    assert opened().claim(request(only="b")) is None


def test_a_limit_holds_for_the_fleet_and_a_finished_run_makes_room(opened: OpenStore) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=2)
    store.insert([new_job(store, f"g{n}", queue="gpu") for n in range(4)])
    first = claimed(store)
    assert fresh_claim(opened()) == "g1"
    assert fresh_claim(opened()) is None
    assert store.queue_limits() == {"gpu": QueueLimit(limit=2, used=2)}
    settled(store, first)
    assert fresh_claim(opened()) == "g2"
    assert fresh_claim(opened()) is None


def test_a_worker_that_settles_claims_the_next_of_a_limited_queue_with_that(store: Store) -> None:
    store.set_queue_limit("gpu", limit=1)
    store.insert([new_job(store, f"g{n}", queue="gpu") for n in range(3)])
    job = claimed(store)
    for following in ("g1", "g2"):
        change = state_machine.finish(job, SUCCESS, store.now())
        applied, (job,) = store.commit_and_claim([change], [request()])
        assert applied == [True]
        assert job.id == following


def test_a_full_queue_holds_up_no_other(store: Store) -> None:
    store.set_queue_limit("gpu", limit=1)
    store.insert([new_job(store, f"g{n}", queue="gpu", priority=5) for n in range(3)])
    added(store, "cpu")
    assert claimed_ids(store, 2) == ["g0", "cpu"]


def test_a_limit_is_changed_while_jobs_run(opened: OpenStore) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=3)
    store.insert([new_job(store, f"g{n}", queue="gpu") for n in range(5)])
    running = [claimed(store) for _ in range(3)]
    store.set_queue_limit("gpu", limit=1)
    settled(store, running[0])
    settled(store, running[1])
    assert fresh_claim(opened()) is None, "one still runs, and that is the limit"
    settled(store, running[2])
    assert fresh_claim(opened()) == "g3"
    store.set_queue_limit("gpu", limit=0)
    assert fresh_claim(opened()) == "g4"


def test_what_ran_before_a_limit_was_set_counts(opened: OpenStore) -> None:
    store = opened()
    store.insert([new_job(store, f"g{n}", queue="gpu") for n in range(3)])
    claimed(store)
    store.set_queue_limit("gpu", limit=1)
    assert fresh_claim(opened()) is None


def test_a_job_takes_as_many_slots_as_it_says(opened: OpenStore) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=4)
    small = claimed_after(store, new_job(store, "small", queue="gpu"))
    store.insert([new_job(store, "wide", queue="gpu", slots=4)])
    assert fresh_claim(opened()) is None
    settled(store, small)
    assert fresh_claim(opened()) == "wide"
    assert store.queue_limits()["gpu"].used == 4


def claimed_after(store: Store, job: Job) -> Job:
    """Add a job and claim it."""
    store.insert([job])
    return claimed(store, only=job.id)


def test_a_job_that_waits_for_slots_is_not_overtaken_in_its_queue(opened: OpenStore) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=2)
    small = claimed_after(store, new_job(store, "small", queue="gpu"))
    store.insert(
        [new_job(store, "wide", queue="gpu", slots=2), new_job(store, "late", queue="gpu")]
    )
    assert fresh_claim(opened()) is None
    urgent = new_job(store, "urgent", queue="gpu", priority=1)
    store.insert([urgent])
    assert fresh_claim(opened()) == "urgent", "a higher one goes first, and fits"
    settled(store, small)
    assert fresh_claim(opened()) is None, "urgent still runs"
    settled(store, existing(store, "urgent"))
    assert fresh_claim(opened()) == "wide"


def test_a_job_that_waits_for_slots_is_not_overtaken_by_a_lower_priority_either(
    opened: OpenStore,
) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=2)
    running = added(store, "running", queue="gpu", priority=9)
    assert claimed(store).id == running.id
    added(store, "large", queue="gpu", priority=5, slots=2)
    added(store, "small", queue="gpu")
    several = [request() for _ in range(8)]
    assert opened().commit_and_claim([], several) == ([], [])
    settled(store, existing(store, "running"))
    _, (job,) = opened().commit_and_claim([], several)
    assert job.id == "large"


def test_a_cancelled_head_lets_the_next_one_start(opened: OpenStore) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=2)
    claimed_after(store, new_job(store, "small", queue="gpu"))
    store.insert(
        [new_job(store, "wide", queue="gpu", slots=2), new_job(store, "late", queue="gpu")]
    )
    assert fresh_claim(opened()) is None
    assert store.commit(state_machine.cancel(existing(store, "wide"), store.now()))
    assert fresh_claim(opened()) == "late"


@pytest.mark.parametrize("ending", ["expire", "release", "fail", "bury", "cancel"])
def test_every_end_of_a_run_gives_its_slots_back(opened: OpenStore, ending: str) -> None:
    store = opened()
    store.set_queue_limit("gpu", limit=1)
    job = claimed_after(store, new_job(store, "g", queue="gpu", max_retries=3))
    if ending == "cancel":
        store.commit(state_machine.cancel(job, store.now()))
        job = existing(store, "g")
    now = store.now()
    changes = {
        "expire": lambda: state_machine.expire(job, now, 5),
        "release": lambda: state_machine.release(job, now),
        "fail": lambda: state_machine.finish(job, FAILURE, now),
        "bury": lambda: state_machine.expire(job, now, 1),
        "cancel": lambda: state_machine.release(job, now),
    }
    assert store.commit(changes[ending]())
    assert store.queue_limits()["gpu"].used == 0
    added(store, "next", queue="gpu", priority=9)
    assert fresh_claim(opened(), "gpu") == "next"


def test_a_limit_is_never_exceeded_by_racing_workers(store_url: str) -> None:
    with closing(open_store(store_url)) as store:
        store.set_queue_limit("gpu", limit=3)
        store.insert([new_job(store, f"g{n}", queue="gpu", slots=1 + n % 2) for n in range(16)])
    lock = threading.Lock()
    in_use: list[int] = []
    seen: list[int] = []
    lost: list[str] = []

    def work() -> None:
        with closing(open_store(store_url)) as store:
            while store.counts().of(State.COMPLETED) < 16:
                job = store.claim(request())
                if job is None:
                    continue
                with lock:
                    in_use.append(job.spec.slots)
                    seen.append(sum(in_use))
                time.sleep(0.005)  # others may claim while this one runs
                with lock:
                    in_use.remove(job.spec.slots)
                if not store.commit(state_machine.finish(job, SUCCESS, store.now())):
                    lost.append(job.id)

    racers = [threading.Thread(target=work) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert (len(seen), max(seen) <= 3, lost) == (16, True, [])
