"""Settings, the registry of workers, turns at chores, and waiting for work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from queuectl.domain.errors import NotFound
from queuectl.domain.host import HostRecord, HostReport, Loss
from queuectl.domain.worker_record import StopRequest
from queuectl.stores import open_store
from queuectl.stores.base import Store
from tests.stores.conftest import OpenStore
from tests.stores.kit import added, claimed, request, worker_record


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe, as a worker's wake-up descriptor."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_settings_are_stored_as_they_are(store: Store) -> None:
    assert store.settings.all() == {}
    values: dict[str, object] = {"a": 3, "b": 1.5, "c": True, "d": "$text", "e.f": 2.0}
    for key, value in values.items():
        store.settings.set(key, value)
    kept = store.settings.all()
    assert kept == values
    assert {key: type(value) for key, value in kept.items() if key != "a"} == {
        key: type(value) for key, value in values.items() if key != "a"
    }


def test_a_setting_is_changed_and_removed(opened: OpenStore) -> None:
    here, there = opened(), opened()
    here.settings.set("a", 1)
    here.settings.set("a", 2)
    assert there.settings.all() == {"a": 2}
    there.settings.set("a", None)
    there.settings.set("a", None)
    assert here.settings.all() == {}


def test_a_registered_worker_comes_back_as_it_was(store: Store) -> None:
    worker = worker_record(store, "w1")
    stale = replace(worker, heartbeat_at=worker.heartbeat_at - timedelta(hours=1))
    store.workers.register(stale)
    (kept,) = store.workers.all()
    assert kept.heartbeat_at >= worker.heartbeat_at
    assert replace(kept, heartbeat_at=worker.heartbeat_at) == worker


def test_workers_are_listed_the_earliest_first(store: Store) -> None:
    first = worker_record(store, "w9")
    second = worker_record(store, "w1")
    store.workers.register(replace(second, started_at=first.started_at + timedelta(seconds=1)))
    store.workers.register(first)
    assert [worker.id for worker in store.workers.all()] == ["w9", "w1"]


def test_a_heartbeat_moves_the_time(store: Store) -> None:
    store.workers.register(worker_record(store, "w1"))
    before = store.workers.all()[0].heartbeat_at
    while store.now() <= before:
        pass
    assert store.workers.heartbeat("w1", 1) is None
    assert store.workers.all()[0].heartbeat_at > before


def test_a_heartbeat_says_how_many_slots_the_worker_has_now(store: Store) -> None:
    store.workers.register(replace(worker_record(store, "w1"), slots=3))
    assert store.workers.all()[0].slots == 3
    store.workers.heartbeat("w1", 16)
    assert store.workers.all()[0].slots == 16


def test_a_heartbeat_says_how_the_host_is(store: Store) -> None:
    report = HostReport("0.1.0", processors=8, load=1.5, clock_offset=-0.25, is_drained=True)
    store.workers.register(replace(worker_record(store, "w1"), report=report))
    assert store.workers.all()[0].report == report
    store.workers.heartbeat("w1", 1, replace(report, load=None))
    assert store.workers.all()[0].report == replace(report, load=None)
    store.workers.heartbeat("w1", 1)
    assert store.workers.all()[0].report is None


def test_what_is_kept_of_a_host_comes_back_as_it_was(store: Store) -> None:
    now = store.now()
    losses = (Loss("a", "build7-1-x", now, "why"),)
    record = HostRecord("build7", 0, now, now, now, losses, unknown='{"newer": 1}')
    assert store.hosts.save(record)
    assert not store.hosts.save(record), "it is there"
    assert store.hosts.get("build7") == record
    assert store.hosts.all() == [record]
    after = record.changed(drained_at=None)
    assert store.hosts.save(after, record)
    assert not store.hosts.save(after, record), "it is not as it was read"
    assert store.hosts.get("build7") == after
    assert store.hosts.remove("build7")
    assert store.hosts.get("build7") is None


def test_a_worker_that_was_removed_hears_of_it(store: Store) -> None:
    with pytest.raises(NotFound):
        store.workers.heartbeat("w1", 1)
    store.workers.register(worker_record(store, "w1"))
    store.workers.unregister("w1")
    store.workers.unregister("w1")
    assert store.workers.all() == []
    with pytest.raises(NotFound):
        store.workers.heartbeat("w1", 1)


def test_a_request_to_stop_is_found_with_the_next_heartbeat(store: Store) -> None:
    for worker_id in ("w1", "w2"):
        store.workers.register(worker_record(store, worker_id))
    store.workers.ask_to_stop(["w1", "absent"], StopRequest.GRACEFUL)
    assert store.workers.heartbeat("w1", 1) is StopRequest.GRACEFUL
    assert store.workers.heartbeat("w2", 1) is None
    store.workers.ask_to_stop(["w1"], StopRequest.NOW)
    assert store.workers.heartbeat("w1", 1) is StopRequest.NOW
    store.workers.ask_to_stop([], StopRequest.NOW)


def test_a_turn_is_taken_once_by_the_whole_fleet(opened: OpenStore) -> None:
    here, there = opened(), opened()
    assert here.try_acquire_turn("sweep", 60)
    assert not there.try_acquire_turn("sweep", 60)
    assert not here.try_acquire_turn("sweep", 60)
    assert there.try_acquire_turn("other", 60)


def test_a_turn_comes_back_when_its_time_has_passed(store: Store) -> None:
    assert store.try_acquire_turn("sweep", 0.02)
    due = store.now() + timedelta(seconds=0.03)
    while store.now() < due:
        pass
    assert store.try_acquire_turn("sweep", 60)


def test_waiting_ends_when_time_is_up(store: Store, pipe: tuple[int, int]) -> None:
    store.claim(request())
    begun = time.monotonic()
    store.wait_for_work(0.1, pipe[0])
    assert time.monotonic() - begun < 30


def test_waiting_ends_when_work_came_before_it(opened: OpenStore, pipe: tuple[int, int]) -> None:
    here = opened()
    here.claim(request())
    added(opened(), "a")
    begun = time.monotonic()
    here.wait_for_work(60, pipe[0])
    assert time.monotonic() - begun < 30


def test_waiting_ends_when_woken_and_leaves_the_byte(store: Store, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    store.claim(request())
    os.write(writer, b"x")
    begun = time.monotonic()
    store.wait_for_work(60, reader)
    assert time.monotonic() - begun < 30
    assert os.read(reader, 2) == b"x"


def test_waiting_ends_when_another_adds_a_job(
    store: Store, store_url: str, pipe: tuple[int, int]
) -> None:
    def add_elsewhere() -> None:
        with closing(open_store(store_url)) as other:
            added(other, "a")

    thread = threading.Thread(target=add_elsewhere)
    thread.start()
    begun = time.monotonic()
    while (job := store.claim(request())) is None and time.monotonic() - begun < 60:
        store.wait_for_work(60, pipe[0])
    thread.join()
    assert job is not None
    assert time.monotonic() - begun < 30


def test_the_address_names_the_store(store: Store, store_url: str) -> None:
    assert store_url.rpartition("/")[2].partition("?")[0] in store.address


def test_a_store_goes_on_after_an_idle_claim(store: Store) -> None:
    assert store.claim(request()) is None
    added(store, "a")
    assert claimed(store).id == "a"
