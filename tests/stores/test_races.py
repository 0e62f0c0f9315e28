"""Claims against everything that people do to a job that waits, at the same moment.

Every change and every claim of a waiting job raises its `rev` by one, so what was accepted can be
put in order afterwards, and each claim held against what was decided before it.
"""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from queuectl.domain import job_edit, state_machine
from queuectl.domain.errors import Conflict, NothingDone
from queuectl.domain.job import Job, State
from queuectl.domain.state_machine import Transition
from queuectl.stores import open_store
from queuectl.stores.base import Store
from tests.stores.conftest import slow_on_mongo
from tests.stores.kit import new_job, request, worker_record

JOBS = 40
CHANGERS = 3
CLAIMERS, CLAIMERS_OF_A_SERVER = 100, 8
"""The small MongoDB server carries no more in a few seconds; `QUEUECTL_TEST_CLAIMERS` says else."""

_TRIES = 20
_LOOK_SECONDS = 0.05


def crowd_for(store_url: str) -> int:
    """Return how many claim from a store at once."""
    usual = CLAIMERS_OF_A_SERVER if store_url.startswith("mongodb") else CLAIMERS
    return int(os.environ.get("QUEUECTL_TEST_CLAIMERS", usual))


Decide = Callable[[Store, Job], Transition]


def edit(store: Store, job: Job) -> Transition:
    """Give a job another command."""
    spec = replace(job.spec, command=f"{job.spec.command} edited")
    return state_machine.edit(job, spec, job.run_at, store.now())


def move(store: Store, job: Job) -> Transition:
    """Put a job before the others."""
    return job_edit.move_first(job, store.first_ready(job.spec.queue), store.now())


def pause(store: Store, job: Job) -> Transition:
    """Hold a job that waits."""
    job_edit.require_waiting(job)
    return state_machine.pause(job, store.now())


def resume(store: Store, job: Job) -> Transition:
    """Let a job that waits go on."""
    job_edit.require_waiting(job)
    return state_machine.resume(job, store.now())


def cancel(store: Store, job: Job) -> Transition:
    """Cancel a job that waits."""
    job_edit.require_waiting(job)
    return state_machine.cancel(job, store.now())


def replaced(store: Store, job: Job) -> Transition:
    """Replace a job that does not run."""
    spec = replace(job.spec, command=f"{job.spec.command} replaced")
    return state_machine.replace_job(job, spec, None, store.now())


def delete(_store: Store, job: Job) -> Transition:
    """Forget a job that does not run."""
    return state_machine.delete(job)


CHANGES: tuple[Decide, ...] = (edit, edit, move, pause, resume, cancel, replaced, delete)


@dataclass
class Record:
    """What was accepted, of each job: the claims, and the changes."""

    claims: dict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    changes: dict[str, list[Transition]] = field(default_factory=lambda: defaultdict(list))


class Race:
    """Threads, each with a store of its own, that claim and change the same jobs."""

    def __init__(self, store_url: str) -> None:
        self._url = store_url
        self._claimers = crowd_for(store_url)
        self._start = threading.Barrier(self._claimers + CHANGERS)
        self._pace = threading.Semaphore(0)  # a claim for each job that is changed
        self._done: list[int] = []
        self.record = Record()

    def run(self) -> None:
        """Let all of them run to their end."""
        with ThreadPoolExecutor(self._claimers + CHANGERS) as pool:
            futures = [pool.submit(self._claim, number) for number in range(self._claimers)]
            futures += [pool.submit(self._change, number) for number in range(CHANGERS)]
            for future in futures:
                future.result()

    def _claim(self, number: int) -> None:
        store = open_store(self._url)
        try:
            self._start.wait()
            while True:
                is_over = len(self._done) == CHANGERS
                if not is_over and not self._pace.acquire(timeout=_LOOK_SECONDS):
                    continue
                job = store.claim(request(worker=f"w{number}"))
                if job is not None:
                    self.record.claims[job.id].append(job)
                elif is_over:
                    return
        finally:
            store.close()

    def _change(self, number: int) -> None:
        store, chance = open_store(self._url), random.Random(number)
        try:
            self._start.wait()
            for job_id in [f"job{n}" for n in range(JOBS)]:
                if number == 0:
                    self._pace.release()
                for decide in chance.sample(CHANGES, 2):
                    self._apply(store, job_id, decide)
        finally:
            self._done.append(number)
            store.close()

    def _apply(self, store: Store, job_id: str, decide: Decide) -> None:
        for _ in range(_TRIES):
            job = store.get(job_id)
            if job is None:
                return
            try:
                change = decide(store, job)
            except (Conflict, NothingDone):
                return
            if store.commit(change):
                self.record.changes[job_id].append(change)
                return


@slow_on_mongo
def test_no_claim_is_of_a_job_as_it_was_before_a_change_and_no_change_is_lost(
    store_url: str, store: Store
) -> None:
    store.insert([new_job(store, f"job{n}", command="first") for n in range(JOBS)])
    for number in range(crowd_for(store_url)):  # as many of them as there are change the claim
        store.workers.register(worker_record(store, f"w{number}"))
    race = Race(store_url)
    race.run()
    claims, changes = race.record.claims, race.record.changes
    assert len(claims) > 3, "nothing was claimed"
    assert sum(map(len, changes.values())) > 3, "nothing was changed"
    for number in range(JOBS):
        job_id = f"job{number}"
        check(store.get(job_id), claims[job_id], changes[job_id])


def check(left: Job | None, claims: list[Job], changes: list[Transition]) -> None:
    """Hold what was accepted of one job against each other, and against what is left of it."""
    steps = sorted([change.before.rev for change in changes] + [job.rev - 1 for job in claims])
    assert steps == list(range(1, len(steps) + 1)), "two were decided on the same job"
    in_order = sorted(changes, key=lambda change: change.before.rev)
    for claim in claims:
        before = [change for change in in_order if change.before.rev < claim.rev - 1]
        if before:
            as_decided = before[-1].after
            assert as_decided is not None, "a deleted job was claimed"
            assert as_decided.is_free, "a job was claimed that was paused or cancelled"
            assert claim.spec == as_decided.spec
            assert claim.run_at == as_decided.run_at
    last = in_order[-1].after if in_order else None
    if in_order and last is None:
        assert left is None
    elif last is not None and left is not None:
        assert left.spec == last.spec
        assert (left.state is State.PROCESSING) == bool(claims)
        assert left.paused == last.paused
