"""Several short jobs at once on MongoDB: how few commands that takes, and what it may not take."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import State
from queuectl.domain.state_machine import Transition
from queuectl.queue.events import process_events
from queuectl.stores.mongo import crowd
from queuectl.stores.mongo.crowd import CROWD
from queuectl.stores.mongo.store import MongoStore
from tests.stores.faults import Commands
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    claimed,
    existing,
    new_job,
    request,
    settled,
    worker_record,
)

SEVERAL = 12


@pytest.fixture
def store(watched_store: MongoStore) -> MongoStore:
    """An empty store whose commands are noted."""
    return watched_store


def several(store: MongoStore, worker: str = "w1", number: int = SEVERAL) -> list[str]:
    """Claim so many jobs at once; return their ids."""
    _, jobs = store.commit_and_claim([], [request(worker=worker) for _ in range(number)])
    return [job.id for job in jobs]


def test_several_jobs_are_settled_and_the_next_claimed_by_four_commands(
    store: MongoStore, commands: Commands
) -> None:
    store.insert([new_job(store, f"job{n:02}") for n in range(3 * SEVERAL)])
    asked = [[request() for _ in range(SEVERAL)] for _ in range(2)]
    _, jobs = store.commit_and_claim([], asked[0])
    changes = [state_machine.finish(job, SUCCESS, store.now()) for job in jobs]
    commands.entries.clear()
    applied, following = store.commit_and_claim(changes, asked[1])
    assert all(applied)
    assert [job.id for job in following] == [f"job{n:02}" for n in range(SEVERAL, 2 * SEVERAL)]
    of_jobs = [name for name, command in commands.entries if "jobs" in command.values()]
    # the queues, and who else works, are looked at each second or so
    assert [name for name in of_jobs if name != "find"] == ["update", "update"]
    assert of_jobs[-3:] == ["find", "update", "find"]
    assert len(commands.entries) <= 4 + 6
    assert [job.claim_id for job in following] == [each.claim_id for each in asked[1]]


def test_a_drain_by_handfuls_costs_a_third_of_a_command_a_job_at_most_with_its_figures(
    store: MongoStore, commands: Commands
) -> None:
    for worker in ("w0", "w1"):
        store.workers.register(worker_record(store, worker))
    number = 20 * SEVERAL
    store.insert([new_job(store, f"job{n}") for n in range(number)])
    changes: list[Transition] = []
    ended = 0
    commands.entries.clear()
    while True:
        asked = [request(worker="w0") for _ in range(2 * SEVERAL)]
        applied, jobs = store.commit_and_claim(changes, asked)
        ended += sum(applied)
        if not jobs:
            break
        changes = [state_machine.finish(job, SUCCESS, store.now()) for job in jobs]
    while process_events(store):
        pass
    assert ended == number
    assert not store.stats.has_pending()
    written = sum(len(command.get("updates", ())) for _, command in commands.entries)
    assert written <= 2.3 * number, "a claim and an end each, and little more for the figures"
    # looks that come with the seconds are no part of it: a slow machine has more of them
    of_time = [command for name, command in commands.entries if name == "find"
               and (command.get("limit") == 1 or "workers" in str(command["find"]))]  # fmt: skip
    assert len(commands.entries) - len(of_time) <= 0.3 * number


def test_once_others_were_faster_workers_keep_to_their_shares(
    store: MongoStore, opened_mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "FLEET_SECONDS", 600.0)
    for worker in ("w0", "w1"):
        store.workers.register(worker_record(store, worker))
    store.insert([new_job(store, f"job{n:03}") for n in range(10 * SEVERAL)])
    seen = store._claims._next_seen

    def beaten(*args: Any, **options: Any) -> Any:
        found = seen(*args, **options)
        if not options["afresh"]:
            several(opened_mongo, "w1")
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(store._claims, "_next_seen", beaten)
        taken = several(store, "w0")
    taken += several(store, "w0")
    assert len(taken) > SEVERAL
    assert len({existing(store, job_id).seq % 2 for job_id in taken}) == 1


def test_what_was_changed_since_it_was_seen_is_not_taken(
    store: MongoStore, opened_mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "PAGE_SECONDS", 60.0)
    for number in range(CROWD + 1):
        store.workers.register(worker_record(store, f"w{number}"))
    store.insert([new_job(store, f"job{n}") for n in range(10 * (CROWD + 1))])
    first = several(store, "w0", 2)
    waiting = [job for job in _own_share(store, "w0") if job not in first]
    assert len(waiting) > 4
    now = store.now()
    paused, cancelled, *_ = waiting
    for job_id, change in ((paused, state_machine.pause), (cancelled, state_machine.cancel)):
        assert opened_mongo.commit(change(existing(store, job_id), now))
    found = several(store, "w0", len(waiting))
    assert not {paused, cancelled}.intersection(found)
    assert existing(store, cancelled).state is State.CANCELLED
    assert existing(store, paused).state is State.PENDING


def _own_share(store: MongoStore, worker: str) -> list[str]:
    """Return the jobs that are a worker's share, as those of which it has read a page are."""
    share = int(worker.removeprefix("w"))
    found = store.link.jobs.find({}, {"seq": True}).sort("seq", 1)
    return [each["_id"] for each in found if each["seq"] % (CROWD + 1) == share]


def test_workers_that_ask_at_once_share_the_first_jobs_out(
    store: MongoStore, opened_mongo: MongoStore
) -> None:
    for worker in ("w0", "w1"):
        store.workers.register(worker_record(store, worker))
    store.insert([new_job(store, f"job{n:02}") for n in range(4 * SEVERAL)])
    first, second = several(store, "w0"), several(opened_mongo, "w1")
    assert sorted(first + second) == [f"job{n:02}" for n in range(2 * SEVERAL)]
    rest: list[str] = []
    while found := several(store, "w0"):  # alone it takes what would be the other's
        rest += found
    assert sorted(first + second + rest) == [f"job{n:02}" for n in range(4 * SEVERAL)]


def test_a_higher_priority_goes_first_though_others_have_it_for_their_share(
    store: MongoStore,
) -> None:
    for worker in ("w0", "w1"):
        store.workers.register(worker_record(store, worker))
    store.insert([new_job(store, f"job{n}", priority=n) for n in range(6)])
    assert several(store, "w0", 3) == ["job5", "job4", "job3"]
    assert several(store, "w0", 6) == ["job2", "job1", "job0"]


def test_a_queue_with_a_limit_and_one_without_take_turns(store: MongoStore) -> None:
    store.set_queue_limit("b", limit=1)
    store.insert([new_job(store, f"{queue}{n}", queue=queue) for n in range(4) for queue in "ab"])
    order = []
    while found := several(store, number=2):
        order.append(found)
    flat = [job_id for found in order for job_id in found]
    assert sorted(flat) == ["a0", "a1", "a2", "a3", "b0"]
    assert ["b0"] in order
    assert flat.index("b0") <= 2


@pytest.mark.parametrize("end", [SUCCESS, FAILURE], ids=["success", "failure"])
def test_an_end_among_others_that_lost_its_claim_changes_nothing(
    store: MongoStore, end: Any
) -> None:
    store.insert([new_job(store, name, max_retries=3, backoff_base=0.0) for name in "abc"])
    ended = [claimed(store) for _ in range(3)]
    assert store.commit(state_machine.expire(ended[1], store.now(), 5))
    again = claimed(store, worker="w2")
    changes = [state_machine.finish(job, end, store.now()) for job in ended]
    applied, _ = store.commit_and_claim(changes, [])
    assert applied == [True, False, True]
    assert existing(store, "b").is_claimed_by(again.claim_id)
    settled(store, again, SUCCESS)
    assert existing(store, "b").state is State.COMPLETED
