"""What the tests of stores share: jobs to add, requests to make, ways to settle."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Filter, Page
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.stores.base import Store
from queuectl.stores.exchange import ClaimRequest, HeldClaim, Renewal
from queuectl.stores.mongo import dependents
from queuectl.stores.sqlite import dependencies
from queuectl.stores.sqlite.database import Database
from queuectl.stores.sqlite.store import SqliteStore

SUCCESS = Outcome(exit_code=0, duration=0.5, stdout="fine\n")
FAILURE = Outcome(exit_code=1, error="Exit code 1", duration=0.25, stderr="no\n", stderr_cut=7)
INTERRUPTED = Outcome(signal=15, duration=0.2, interrupted=True)
EVERYTHING = Page(with_output=True, with_history=True)

_claim_numbers = count(1)


def new_job(store: Store, job_id: str, run_at: datetime | None = None, **spec: Any) -> Job:
    """Return a job to be added, due at once unless said."""
    wanted = {"command": "true", "max_retries": 1, **spec}
    return state_machine.enqueue(Spec(id=job_id, **wanted), run_at, store.now())


def added(store: Store, job_id: str, run_at: datetime | None = None, **spec: Any) -> Job:
    """Add a job and return it as the store has it."""
    assert store.insert([new_job(store, job_id, run_at, **spec)]) == frozenset()
    return existing(store, job_id)


def existing(store: Store, job_id: str) -> Job:
    """Return a job that must be there."""
    job = store.get(job_id)
    assert job is not None, f"{job_id} is not there"
    return job


def request(*queues: str, worker: str = "w1", lease: float = 30.0, **more: Any) -> ClaimRequest:
    """Return a request with a claim id of its own."""
    claim_id = more.pop("claim_id", None) or f"claim{next(_claim_numbers)}"
    return ClaimRequest(claim_id, worker, lease, queues, **more)


def claimed(store: Store, *queues: str, **more: Any) -> Job:
    """Claim the next job, which must be there."""
    job = store.claim(request(*queues, **more))
    assert job is not None, "nothing was ready"
    return job


def claimed_ids(store: Store, number: int, *queues: str) -> list[str]:
    """Claim jobs one after another and return their ids."""
    return [claimed(store, *queues).id for _ in range(number)]


def renewal(store: Store, job_id: str, claim_id: str, lease: float = 30.0) -> Renewal:
    """Renew one claim; return what became of it."""
    (answer,) = store.renew([HeldClaim(job_id, claim_id)], lease)
    return answer


def settled(store: Store, job: Job, outcome: Outcome = SUCCESS) -> Job:
    """Settle a claimed job and return it as the store has it."""
    assert store.commit(state_machine.finish(job, outcome, store.now()))
    return existing(store, job.id)


def buried(store: Store, job_id: str, **spec: Any) -> Job:
    """Return a job that has failed into the DLQ."""
    added(store, job_id, **spec)
    dead = settled(store, claimed(store, only=job_id), FAILURE)
    assert dead.state is State.DEAD
    return dead


def listed(store: Store, chosen: Filter | None = None, page: Page | None = None) -> list[str]:
    """Return the ids that a listing gives, in its order."""
    return [job.id for job in store.find(chosen or Filter(), page or Page())]


def worker_record(store: Store, worker_id: str) -> WorkerRecord:
    """Return a worker to be registered."""
    now = store.now()
    process = ProcessIdentity(4711, "12345.5", "boot-1")
    return WorkerRecord(worker_id, process, "host1", "/home/me", ("a", "b"), now, now)


def faults(store: Store) -> list[str]:
    """Return what a store finds wrong with itself, but for indexes: most tests do without."""
    return [fault for fault in store.check() if not fault.startswith("the index ")]


def clock_of(store: Store) -> Store | Database:
    """Return what says what time it is, by its `now`."""
    return store._db if isinstance(store, SqliteStore) else store


def shift_clock(monkeypatch: pytest.MonkeyPatch, store: Store, ahead: timedelta) -> None:
    """Let a store's clock go wrong for one of those who have it open."""
    clock = clock_of(store)
    right = clock.now
    monkeypatch.setattr(clock, "now", lambda: right() + ahead)


def notify_in_stretches(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let a commit tell at most so many children of a job's end; a sweep tells the others."""
    for module in (dependencies, dependents):
        monkeypatch.setattr(module, "NOTIFIED_AT_ONCE", most)
