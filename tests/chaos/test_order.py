"""What was lost with its worker keeps its place: it does not go behind what came later."""

from __future__ import annotations

from typing import Any

from queuectl.domain import state_machine
from queuectl.domain.job import Job, State
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.stores.base import Store
from queuectl.system.processes import this_boot
from tests.stores.kit import added, claimed, claimed_ids, existing
from tests.worker.fleet import Fleet, eventually

DEAD = ProcessIdentity(2**22 - 1, "0.1", "")


def lost(store: Store, *names: str, **spec: Any) -> None:
    """Let jobs be in the hands of a worker of this machine that has died."""
    process = ProcessIdentity(DEAD.pid, DEAD.started, this_boot())
    now = store.now()
    store.workers.register(WorkerRecord("lost", process, "here", "/home", (), now, now))
    for name in names:
        added(store, name, **spec)
    assert claimed_ids_of("lost", store, len(names)) == list(names)


def claimed_ids_of(worker: str, store: Store, number: int) -> list[str]:
    """Claim jobs for a worker and return their ids."""
    return [claimed(store, worker=worker, lease=600).id for _ in range(number)]


def order(fleet: Fleet, *names: str) -> list[str]:
    """Return the names of jobs in the order in which their latest runs began."""
    jobs = [fleet.settled(name) for name in names]
    return [job.id for job in sorted(jobs, key=began)]


def began(job: Job) -> float:
    """Return when the latest run of a job began."""
    assert job.started_at is not None
    return job.started_at.timestamp()


def test_a_new_worker_first_takes_back_what_was_lost_here(chaos: Fleet) -> None:
    store = chaos.queue.store
    lost(store, "high", priority=10)
    lost(store, "early", "second")
    for name in ("low", "lower"):
        added(store, name, priority=-10)
    added(store, "later")
    chaos.start()
    names = ("low", "later", "second", "early", "high", "lower")
    assert order(chaos, *names) == ["high", "early", "second", "later", "low", "lower"]
    assert [chaos.job(name).interruptions for name in ("high", "early", "low")] == [1, 1, 0]


def test_a_worker_that_lives_on_runs_what_another_lost_before_what_came_later(
    chaos: Fleet,
) -> None:
    chaos.start()
    gate = chaos.root / "gate"
    busy = chaos.enqueue(f"until test -e {gate}; do sleep 0.02; done", "busy")
    chaos.running(busy)
    lost(chaos.queue.store, "lost")
    added(chaos.queue.store, "new")
    eventually(lambda: chaos.job("lost").state is State.PENDING)
    gate.touch()
    assert order(chaos, "new", "lost", "busy") == ["busy", "lost", "new"]


def test_a_job_that_is_taken_back_or_given_back_keeps_its_place(store: Store) -> None:
    for name in ("one", "two", "three"):
        added(store, name)
    first, second = claimed(store), claimed(store)
    assert store.commit(state_machine.expire(existing(store, second.id), store.now(), 5))
    assert store.commit(state_machine.release(existing(store, first.id), store.now()))
    assert claimed_ids(store, 3) == ["one", "two", "three"]
