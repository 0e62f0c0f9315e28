"""Clocks that disagree, pids that mean somebody else, ids that come back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, State
from queuectl.domain.settings import Settings
from queuectl.domain.times import later
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.maintenance import Maintenance
from queuectl.stores.base import Store
from queuectl.stores.exchange import ClaimRequest, Renewal
from queuectl.system import pidfile
from queuectl.system.processes import identify, this_process
from tests.stores.conftest import OpenStore, slow_on_mongo
from tests.stores.kit import SUCCESS, added, claimed, existing, new_job, renewal, shift_clock
from tests.worker.fleet import Fleet, eventually, innocent, lives, pids_in

LEASE_SECONDS = 1.5
SETTINGS = replace(Settings(), lease_seconds=LEASE_SECONDS)
FAR = ProcessIdentity(1, "1", "the-boot-of-another-host")


def registered(store: Store, worker_id: str, process: ProcessIdentity) -> None:
    now = store.now()
    store.workers.register(WorkerRecord(worker_id, process, "host", "/home", (), now, now))


def held(store: Store, worker_id: str, process: ProcessIdentity) -> Job:
    """Return a job that a worker of some process has in hand."""
    registered(store, worker_id, process)
    added(store, f"job-of-{worker_id}")
    return claimed(store, worker=worker_id, lease=LEASE_SECONDS)


@pytest.mark.parametrize("minutes", [10, -10])
def test_no_live_lease_is_stolen_by_a_host_whose_clock_is_wrong(
    store: Store, opened: OpenStore, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    job = held(store, "far", FAR)
    assert job.claim is not None
    theirs = opened()
    shift_clock(monkeypatch, theirs, timedelta(minutes=minutes))
    upkeep = Maintenance(theirs)
    ends_at = time.monotonic() + 2 * LEASE_SECONDS
    while time.monotonic() < ends_at:
        assert renewal(store, job.id, job.claim.id, LEASE_SECONDS) is Renewal.HELD
        upkeep.tick(SETTINGS)
        time.sleep(LEASE_SECONDS / 10)
    assert store.commit(state_machine.finish(existing(store, job.id), SUCCESS, store.now()))


def test_a_clock_that_steps_forward_steals_nothing_between_two_renewals(
    store: Store, opened: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = held(store, "far", FAR)
    theirs = opened()
    upkeep = Maintenance(theirs)
    upkeep.tick(SETTINGS)
    shift_clock(monkeypatch, theirs, timedelta(minutes=10))
    upkeep.tick(SETTINGS)
    upkeep.tick(SETTINGS)
    assert existing(store, job.id).claim == job.claim


def test_a_lease_that_nobody_renews_is_taken_back_after_it_was_watched(
    store: Store, opened: OpenStore
) -> None:
    begun = time.monotonic()
    job = held(store, "far", FAR)
    upkeep = Maintenance(opened())

    def taken_back() -> bool:
        upkeep.tick(SETTINGS)
        return existing(store, job.id).state is State.PENDING

    assert eventually(taken_back, 10)
    assert time.monotonic() - begun >= LEASE_SECONDS - 0.1


def test_a_renewal_between_the_look_and_the_expiry_defeats_the_expiry(
    store: Store, opened: OpenStore
) -> None:
    job = held(store, "far", FAR)
    assert job.claim is not None
    theirs = opened()
    seen = existing(theirs, job.id)
    eventually(lambda: store.now() > job.claim.lease_until if job.claim else False, 10)
    assert renewal(store, job.id, job.claim.id, LEASE_SECONDS) is Renewal.HELD
    assert not theirs.commit(state_machine.expire(seen, theirs.now(), 5))
    assert existing(store, job.id).state is State.PROCESSING


def test_a_worker_of_another_host_with_a_pid_of_ours_is_left_alone(store: Store) -> None:
    with innocent() as pid:
        ours = identify(pid)
        assert ours is not None
        elsewhere = replace(ours, started="1", boot="the-boot-of-another-host")
        here, there = held(store, "here", ours), held(store, "there", elsewhere)
        for _ in range(3):
            Maintenance(store).tick(SETTINGS)
        for job in (here, there):
            assert existing(store, job.id).claim == job.claim
        assert {record.id for record in store.workers.all()} == {"here", "there"}


def test_a_worker_whose_pid_has_a_stranger_now_is_known_to_be_gone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with innocent() as pid:
        stranger = identify(pid)
        assert stranger is not None
        job = held(store, "gone", replace(stranger, started="1"))
        Maintenance(store).tick(SETTINGS)
        assert existing(store, job.id).state is State.PENDING
        shift_clock(monkeypatch, store, timedelta(minutes=1))
        Maintenance(store).tick(SETTINGS)
        assert store.workers.all() == []


def test_a_claim_that_comes_through_after_its_worker_died_is_taken_back_too(store: Store) -> None:
    gone = replace(this_process(), started="1")
    held(store, "gone", gone)
    upkeep = Maintenance(store)
    upkeep.tick(SETTINGS)
    late = claimed(store, worker="gone", lease=LEASE_SECONDS)
    upkeep.tick(SETTINGS)
    assert existing(store, late.id).state is State.PENDING


def test_a_worker_that_is_alive_keeps_its_job_through_every_sweep(store: Store) -> None:
    job = held(store, "me", this_process())
    Maintenance(store).tick(SETTINGS)
    assert existing(store, job.id).claim == job.claim


def test_an_id_that_was_deleted_and_enqueued_again_refuses_the_old_worker(
    store: Store, opened: OpenStore
) -> None:
    old = held(store, "far", FAR)
    assert old.claim is not None
    theirs = opened()
    assert store.commit(state_machine.cancel(existing(store, old.id), store.now()))
    assert store.commit(state_machine.expire(existing(store, old.id), store.now(), 1))
    assert store.commit(state_machine.delete(existing(store, old.id)))
    assert store.insert([new_job(store, old.id)]) == frozenset()

    for _ in range(2):  # waiting, then in the hands of another worker
        before = existing(store, old.id)
        assert not theirs.commit(state_machine.finish(old, SUCCESS, theirs.now()))
        assert renewal(theirs, old.id, old.claim.id, 60) is Renewal.LOST
        assert existing(store, old.id) == before
        again = store.claim(request_of("near"))
    assert again is None
    assert existing(store, old.id).worker == "near"


def request_of(worker: str) -> ClaimRequest:
    return ClaimRequest(f"claim-of-{worker}-{os.urandom(4).hex()}", worker, 30.0)


def test_the_second_of_two_expiries_of_one_claim_is_refused(
    store: Store, opened: OpenStore
) -> None:
    job = held(store, "far", FAR)
    rivals = [opened() for _ in range(3)]
    changes = [
        state_machine.expire(existing(rival, job.id), later(rival.now(), second), 5)
        for second, rival in enumerate(rivals)
    ]
    taken = [rival.commit(change) for rival, change in zip(rivals, changes, strict=True)]
    assert taken.count(True) == 1
    after = existing(store, job.id)
    assert (after.interruptions, len(after.history)) == (1, 1)


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@contextmanager
def stranger(pid: int) -> Iterator[None]:
    """A process that has nothing to do with any worker, and a number that one had. Unharmed."""
    if not os.access(LAST_PID, os.W_OK):
        pytest.skip("pids can be chosen on Linux by root alone")
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    for _ in range(1000):  # another process may take the number first
        LAST_PID.write_text(str(pid - 1))
        found = os.posix_spawnp("sleep", ["sleep", "60"], os.environ, setsid=True)
        if found == pid:
            break
        os.kill(found, signal.SIGKILL)
        os.waitpid(found, 0)
    else:
        pytest.skip(f"pid {pid} could not be had")
    try:
        yield
        assert lives(pid), "a stranger was killed"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@slow_on_mongo
def test_strangers_with_the_pids_of_a_worker_and_its_job_are_left_alone(chaos: Fleet) -> None:
    chaos.set(lease_seconds=LEASE_SECONDS)
    (worker,) = chaos.start()
    job = chaos.running(
        chaos.enqueue("test -e again || { touch again; echo $$ >> pids; sleep 60; }")
    )
    (command,) = eventually(lambda: pids_in(chaos.root / "pids"))
    for pid in (*chaos.pids(pidfile.SUPERVISOR), worker):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lives(command))
    with stranger(worker), stranger(command):
        assert chaos.pids() == []
        assert chaos.queue.workers() == []
        assert chaos.stop() == []
        assert chaos.job(job.id).state is State.PROCESSING
        chaos.start()
        again = chaos.settled(job.id)
        assert [run.error for run in again.history] == ["worker lost", None]
        assert chaos.stop(now=True) == []
