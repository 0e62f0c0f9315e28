"""Resources in the stores: taken with the claim, never exceeded, given back by whatever ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.frozen import replace
from queuectl.domain.job import Holding, Job, Outcome, State
from queuectl.domain.query import Filter, Order, Page
from queuectl.domain.resources import parse_capacities
from queuectl.domain.state_machine import Transition
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.stores.base import Store
from queuectl.stores.exchange import ClaimRequest, Offer
from queuectl.stores.mongo import needs as ledger
from queuectl.stores.mongo.store import MongoStore
from tests.stores.kit import FAILURE, SUCCESS, added, existing, new_job, request

GPU, BOX = "gpu", "box"
DECLARED = ("gpu=0-3", "memory=60G", "gpu-memory=24G")


def declare(store: Store, *words: str, host: str = BOX, **more: Any) -> None:
    """Register a worker that says what its host has."""
    now = store.now()
    process = ProcessIdentity(1, "then", "boot")
    queues = more.pop("queues", ())
    name = more.pop("name", f"{host}-worker")
    record = WorkerRecord(name, process, host, "/home", queues, now, now)
    store.workers.register(replace(record, resources=parse_capacities(words)))


@pytest.fixture
def box(store: Store) -> Store:
    """A store with a host that has devices, and a fleet that has licences."""
    declare(store, *DECLARED)
    store.resources.set("licence", "2")
    return store


def ask(*queues: str, host: str = BOX, patience: float = 60.0, **more: Any) -> ClaimRequest:
    offer = Offer(host, tuple(more.pop("foreign", ())), patience)
    return request(*queues, offer=offer, **more)


def take(store: Store, *queues: str, **more: Any) -> str | None:
    """Claim the next job; return its id."""
    job = store.claim(ask(*queues, **more))
    return job.id if job else None


def taken(store: Store, *queues: str, **more: Any) -> Job:
    job = store.claim(ask(*queues, **more))
    assert job is not None
    return job


def units(job: Job) -> dict[str, str]:
    """Return what a job holds."""
    assert job.claim
    assert job.claim.holding
    return dict(job.claim.holding.units)


def held(store: Store) -> dict[str, dict[str, str]]:
    return {each.job_id: dict(each.holding.units) for each in store.resources.held()}


def need(store: Store, job_id: str, **more: Any) -> Job:
    """Add a job with needs: `gpu_memory` is the resource gpu-memory."""
    known = {"queue", "priority", "slots", "max_retries", "run_at", "after"}
    fields = {name: value for name, value in more.items() if name in known}
    wanted = {n.replace("_", "-"): str(v) for n, v in more.items() if n not in known}
    return added(store, job_id, fields.pop("run_at", None), needs=tuple(sorted(wanted.items())),
                 **fields)  # fmt: skip


def test_a_job_holds_what_it_needs_as_long_as_it_runs(box: Store) -> None:
    need(box, "a", gpu=2, licence=1, memory="12G")
    job = taken(box)
    assert job.claim
    assert job.claim.holding == Holding(
        BOX, (("gpu", "[0,1]"), ("licence", "1"), ("memory", "12G"))
    )
    assert existing(box, "a").claim == job.claim
    assert held(box) == {"a": units(job)}
    assert [each.worker for each in box.resources.held()] == ["w1"]
    assert box.commit(state_machine.finish(job, SUCCESS, box.now()))
    assert held(box) == {}


def _lost(job: Job, store: Store) -> Transition:
    return state_machine.expire(job, store.now(), 5)


@pytest.mark.parametrize(
    "end",
    [
        lambda job, store: state_machine.finish(job, SUCCESS, store.now()),
        lambda job, store: state_machine.finish(job, FAILURE, store.now()),
        lambda job, store: state_machine.finish(job, Outcome(interrupted=True), store.now()),
        lambda job, store: state_machine.put_back(job, Outcome(postponed=60.0), store.now()),
        _lost,
    ],
    ids=["success", "failure", "interruption", "release", "loss"],
)
def test_whatever_ends_a_claim_gives_back_what_it_held(box: Store, end: Any) -> None:
    need(box, "a", gpu=4, priority=1)
    need(box, "b", gpu=4)
    job = taken(box)
    assert (job.id, take(box)) == ("a", None)
    assert box.commit(end(job, box))
    box.commit(state_machine.cancel(existing(box, "a"), box.now())) if existing(
        box, "a"
    ).state is State.PENDING else None
    assert take(box) == "b"


def test_nothing_is_held_twice_nor_exceeded(box: Store) -> None:
    for number in range(6):
        need(box, f"a{number}", gpu=1, licence="0.4")
    given = [units(taken(box))["gpu"] for _ in range(4)]
    assert sorted(given) == ["[0]", "[1]", "[2]", "[3]"]
    assert take(box) is None


def test_amounts_of_the_fleet_hold_over_all_hosts(box: Store) -> None:
    declare(box, "memory=1G", host="other")
    for number in range(3):
        need(box, f"a{number}", licence=1)
    assert take(box, host="other") == "a0"
    assert take(box) == "a1"
    assert take(box, host="other") is None


def test_each_host_hands_out_its_own_devices(box: Store) -> None:
    declare(box, "gpu=0", host="other")
    need(box, "a", gpu=1)
    need(box, "b", gpu=1)
    assert [units(taken(box, host=host))["gpu"] for host in (BOX, "other")] == ["[0]", "[0]"]


def test_who_declared_nothing_takes_no_job_that_needs_something_of_a_host(box: Store) -> None:
    need(box, "a", gpu=1)
    need(box, "b", licence=1)
    added(box, "c")
    assert [take(box, host="") for _ in range(3)] == ["b", "c", None]
    assert take(box, host="elsewhere") is None


def test_what_does_not_fit_does_not_block_what_does(box: Store) -> None:
    need(box, "a", gpu=3)
    need(box, "b", gpu=3)
    need(box, "c", gpu=1)
    added(box, "d")
    assert [take(box) for _ in range(4)] == ["a", "c", "d", None]


def test_a_big_job_is_not_starved_by_small_ones_behind_it(box: Store) -> None:
    need(box, "small", gpu=1)
    first = taken(box)
    need(box, "big", gpu=4)
    for number in range(9):
        need(box, f"small{number}", gpu=1)
    patient = {"patience": 3600.0}
    assert take(box, **patient) == "small0"
    assert take(box, patience=0) is None
    added(box, "plain")
    assert take(box, patience=0) == "plain"
    need(box, "ahead", gpu=1, priority=9)
    ahead = taken(box, patience=0)
    assert ahead.id == "ahead"
    for job in (first, existing(box, "small0"), ahead):
        assert box.commit(state_machine.finish(job, SUCCESS, box.now()))
    assert take(box, patience=0) == "big"
    assert take(box, patience=0) is None


def test_a_big_job_of_another_queue_is_not_starved_while_a_worker_serves_that(
    box: Store,
) -> None:
    declare(box, "gpu=0-3", name="box-b", queues=("big",))
    need(box, "small", queue="little", gpu=1)
    first = taken(box, "little", patience=0)
    need(box, "big", queue="big", gpu=4)
    need(box, "small1", queue="little", gpu=1)
    assert take(box, "little", patience=0) is None
    assert box.commit(state_machine.finish(first, SUCCESS, box.now()))
    assert take(box, "little", patience=60) == "small1"
    for name in ("box-b", "box-worker"):
        box.workers.unregister(name)
    declare(box, "gpu=0-3", queues=("little",))
    need(box, "small2", queue="little", gpu=1)
    assert take(box, "little", patience=0) == "small2"


def test_a_big_suspect_is_not_starved(box: Store) -> None:
    need(box, "big", gpu=4)
    lost = taken(box, alone=False)
    assert box.commit(state_machine.expire(lost, box.now(), 5))
    need(box, "first", gpu=1, priority=1)
    first = taken(box, alone=False)
    assert first.id == "first"
    need(box, "small", gpu=1)
    assert take(box, alone=False, patience=0) is None
    assert box.commit(state_machine.finish(first, SUCCESS, box.now()))
    assert taken(box, suspects=True).id == "big"


def test_priorities_and_arrival_decide_among_those_that_fit(box: Store) -> None:
    need(box, "a", gpu=1)
    added(box, "b")
    need(box, "c", memory="1G", priority=1)
    need(box, "d", gpu=1)
    assert [take(box) for _ in range(4)] == ["c", "a", "b", "d"]


def test_many_requests_at_once_never_exceed_what_there_is(box: Store) -> None:
    for number in range(8):
        need(box, f"a{number}", gpu=1, licence=1)
    asking = [ask(alone=False) for _ in range(8)]
    jobs: list[Job] = []
    while claimed := box.commit_and_claim([], asking[len(jobs) :])[1]:
        jobs += claimed
    assert [units(job)["gpu"] for job in jobs] == ["[0]", "[1]"]
    end = state_machine.finish(jobs[0], SUCCESS, box.now())
    applied, claimed = box.commit_and_claim([end], [ask(alone=False), ask(alone=False)])
    assert (applied, [job.id for job in claimed]) == ([True], ["a2"])
    assert sorted(held(box)) == ["a1", "a2"]


def test_a_capacity_below_what_is_in_use_kills_nothing_and_lets_nobody_in(box: Store) -> None:
    need(box, "a", licence=2)
    need(box, "b", licence=1)
    job = taken(box)
    box.resources.set("licence", "1")
    assert held(box) == {"a": {"licence": "2"}}
    assert take(box) is None
    assert box.commit(state_machine.finish(job, SUCCESS, box.now()))
    assert take(box) == "b"


def test_the_workers_of_a_host_go_by_what_the_latest_of_them_declared(box: Store) -> None:
    need(box, "a", gpu=3)
    need(box, "b", gpu=1)
    declare(box, "gpu=2,3", name="box-later")
    assert take(box) == "b"
    assert take(box) is None


def test_a_resource_of_the_fleet_is_set_changed_and_forgotten(store: Store) -> None:
    assert store.resources.fleet() == {}
    assert not store.resources.set("licence", "4")
    assert store.resources.set("licence", "5")
    assert store.resources.fleet() == {"licence": "5"}
    assert store.resources.set("licence", None)
    assert not store.resources.set("licence", None)
    assert store.resources.fleet() == {}


def test_several_jobs_share_a_gpu_and_what_others_use_is_respected(box: Store) -> None:
    for number in range(4):
        need(box, f"a{number}", gpu_memory="10G")
    foreign = [(str(device), 20 * 2**30 * 1000) for device in (0, 1)]
    given = [units(taken(box, foreign=foreign))["gpu-memory"] for _ in range(4)]
    assert sorted(given) == ["2:10G", "2:10G", "3:10G", "3:10G"]
    need(box, "b", gpu=2)
    assert units(taken(box, foreign=foreign))["gpu"] == "[0,1]"


def test_the_next_run_of_a_job_gets_other_devices(box: Store) -> None:
    need(box, "a", gpu=2, max_retries=9)
    for devices in ("[0,1]", "[2,3]", "[0,1]"):
        job = taken(box)
        assert units(job)["gpu"] == devices
        assert box.commit(state_machine.release(job, box.now()))


def test_a_claim_whose_answer_was_lost_is_found_with_what_it_holds(box: Store) -> None:
    need(box, "a", gpu=1)
    asked = ask()
    assert box.claim(asked)
    again = box.claim(replace(asked, repeated=True))
    assert again
    assert (again.id, units(again)) == ("a", {"gpu": "[0]"})


def test_queue_limits_and_paused_queues_hold_for_jobs_with_needs(box: Store) -> None:
    box.set_queue_limit("narrow", limit=1)
    box.set_queue_limit("shut", paused=True)
    need(box, "a", queue="narrow", gpu=1)
    need(box, "b", queue="narrow", gpu=1)
    need(box, "c", queue="shut", gpu=1)
    need(box, "d", gpu=1)
    assert [take(box) for _ in range(3)] == ["a", "d", None]
    assert take(box, "shut") is None


def test_a_named_job_is_taken_with_what_it_needs_or_not_at_all(box: Store) -> None:
    need(box, "a", gpu=3)
    need(box, "b", gpu=2)
    assert units(taken(box, only="a"))["gpu"] == "[0,1,2]"
    assert take(box, only="b") is None


def test_a_suspect_with_needs_runs_alone_and_with_what_it_needs(box: Store) -> None:
    need(box, "a", gpu=3)
    lost = taken(box, alone=False)
    assert box.commit(state_machine.expire(lost, box.now(), 5))
    assert existing(box, "a").suspect
    need(box, "b", gpu=3)
    assert box.ready_suspects((), 5, Offer(BOX)) == 1
    assert box.ready_suspects((), 5) == 0
    other = taken(box, alone=False)
    assert (other.id, box.ready_suspects((), 5, Offer(BOX))) == ("b", 0)
    assert take(box, suspects=True) is None
    assert box.commit(state_machine.finish(other, SUCCESS, box.now()))
    assert sorted(units(taken(box, suspects=True))) == ["gpu"]


def test_jobs_with_needs_become_claimable_in_every_way_that_others_do(box: Store) -> None:
    soon = box.now() + timedelta(milliseconds=5)
    need(box, "later", gpu=1, run_at=soon)
    added(box, "parent")
    need(box, "child", gpu=1, after=("parent",))
    box.insert([new_job(box, "atomic", needs=(("gpu", "1"),)), new_job(box, "plain")], atomic=True)
    assert box.commit(state_machine.finish(taken(box, only="parent"), SUCCESS, box.now()))
    while box.now() <= soon:
        pass
    box.make_due_claimable()
    box.notify_children()
    assert {take(box) for _ in range(5)} == {"later", "child", "atomic", "plain", None}


def test_needs_can_be_given_and_taken_from_a_job_that_waits(box: Store) -> None:
    need(box, "a", gpu=9)
    added(box, "b")
    for job_id, wanted in (("a", ()), ("b", (("gpu", "9"),))):
        job = existing(box, job_id)
        spec = replace(job.spec, needs=wanted)
        assert box.commit(state_machine.edit(job, spec, job.run_at, box.now()))
    assert [take(box) for _ in range(2)] == ["a", None]


def test_jobs_with_needs_are_among_those_that_wait(box: Store) -> None:
    first = need(box, "a", gpu=9)
    added(box, "b")
    listed = box.find(Filter(frozenset({State.PENDING})), Page(order=Order.TURN))
    assert [job.id for job in listed] == ["a", "b"]
    assert box.oldest_due() == {"default": first.run_at}


def test_a_claim_looks_at_one_job_of_each_kind_however_many_wait(box: Store) -> None:
    wanted = [new_job(box, f"a{number}", needs=(("gpu", "4"),)) for number in range(300)]
    box.insert(wanted)
    assert take(box) == "a0"
    need(box, "z", licence=1)
    assert take(box) == "z"


def test_what_goes_first_of_many_kinds_is_found_wherever_it_stands(box: Store) -> None:
    box.set_queue_limit("shut", paused=True)
    box.set_queue_limit("narrow", limit=1)
    need(box, "n0", queue="narrow", memory="1G")
    need(box, "n1", queue="narrow", memory="2G")
    box.insert([new_job(box, f"a{each}", needs=(("gpu", "5"),)) for each in range(40)])
    for number in range(6):
        need(box, f"shut{number}", queue="shut", memory=f"{number + 3}G")
        need(box, f"b{number}", memory=f"{number + 3}G")
    need(box, "first", priority=9, licence=1)
    found = [take(box) for _ in range(9)]
    assert found == ["first", "n0", *(f"b{number}" for number in range(6)), None]


# MongoDB: the ledger


def test_a_claim_asks_as_often_however_many_kinds_wait(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        need(mongo, f"a{number}", memory=f"{61 + number}G")
    need(mongo, "z", gpu=1)
    monkeypatch.setattr(ledger, "_first", None)  # which looks at one kind
    assert take(mongo) == "z"


@pytest.fixture
def mongo(request: pytest.FixtureRequest) -> Iterator[MongoStore]:
    """A store on MongoDB with a host that has devices."""
    with closing(MongoStore.open(request.getfixturevalue("mongo_url"))) as store:
        declare(store, *DECLARED)
        yield store


def test_of_two_that_saw_the_same_ledger_one_writes_it(mongo: MongoStore) -> None:
    first, second = ledger.Ledger(mongo.link), ledger.Ledger(mongo.link)
    holding, now = Holding(BOX, (("gpu", "[0]"),)), mongo.now()
    assert first.enter("claim-a", holding, now)
    assert not second.enter("claim-b", holding, now)


def test_an_entry_stands_until_its_claim_is_made_and_goes_with_it(mongo: MongoStore) -> None:
    holding, now = Holding(BOX, (("gpu", "[0,1,2,3]"),)), mongo.now()
    assert ledger.Ledger(mongo.link).enter("about-to", holding, now)
    need(mongo, "a", gpu=1)
    assert take(mongo) is None
    ledger.withdraw(mongo.link, "about-to")
    job = taken(mongo)
    assert [each["claim"] for each in ledger.Ledger(mongo.link).holders] == [job.claim_id]
    assert mongo.commit(state_machine.finish(job, SUCCESS, mongo.now()))
    assert ledger.Ledger(mongo.link).holders == []


def test_a_claim_that_was_slower_than_the_ledger_waits_gives_its_job_back(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(mongo, "a", gpu=4)
    take_one = mongo._claims.needy._take_one

    def slowly(*args: Any) -> Job | None:
        monkeypatch.setattr(ledger, "UNCONFIRMED_SECONDS", -1.0)
        other = ledger.Ledger(mongo.link)
        assert other.holders == []
        assert other.enter("faster", Holding(BOX, (("gpu", "[0,1,2,3]"),)), mongo.now())
        monkeypatch.setattr(ledger, "UNCONFIRMED_SECONDS", 30.0)
        return take_one(*args)

    monkeypatch.setattr(mongo._claims.needy, "_take_one", slowly)
    assert take(mongo) is None
    job = existing(mongo, "a")
    assert (job.state, job.attempts, job.claim) == (State.PENDING, 0, None)
