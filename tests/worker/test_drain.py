"""A drained host, on every store: its workers take nothing, finish what they have, and go on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.job import State
from queuectl.worker.options import WorkerOptions
from tests.worker.fleet import Fleet, eventually, fleet_in

HERE = socket.gethostname()
HELD = "touch begun; while [ ! -e gate ]; do sleep 0.05; done"


@pytest.fixture
def host(tmp_path: Path, store_url: str) -> Iterator[Fleet]:
    """A home on each kind of store in turn, without workers yet."""
    with fleet_in(tmp_path, store_url) as fleet:
        yield fleet


def has_heard(fleet: Fleet, *, is_drained: bool = True) -> bool:
    """Whether every worker has said that it takes no jobs, or takes them again."""
    workers = fleet.queue.workers()
    return bool(workers) and all(each.record.is_drained is is_drained for each in workers)


def test_a_drained_host_finishes_what_it_has_and_takes_no_more(host: Fleet) -> None:
    host.start()
    job = host.running(host.enqueue(HELD))
    host.queue.hosts.drain(HERE)
    eventually(lambda: has_heard(host))
    waiting = host.enqueue("true")
    (host.root / "gate").touch()
    assert host.settled(job.id).state is State.COMPLETED
    assert host.job(waiting).state is State.PENDING
    (view,) = host.queue.hosts.views(host.queue.workers())
    assert (view.state, len(view.workers)) == ("drained", 1)
    assert view.versions != ("older",)
    host.queue.hosts.resume(HERE)
    assert host.settled(waiting).state is State.COMPLETED


def test_a_worker_that_starts_on_a_drained_host_takes_nothing(host: Fleet) -> None:
    host.queue.hosts.drain(HERE)
    waiting = host.enqueue("true")
    host.start()
    eventually(lambda: has_heard(host))
    assert host.job(waiting).state is State.PENDING
    host.queue.hosts.resume(HERE)
    assert host.settled(waiting).state is State.COMPLETED
    eventually(lambda: has_heard(host, is_drained=False))


def test_workers_that_are_to_drain_the_queue_leave_a_drained_host(host: Fleet) -> None:
    assert WorkerOptions(drain=True).passing
    host.queue.hosts.drain(HERE)
    waiting = host.enqueue("true")
    host.start(drain=True)
    eventually(lambda: not host.queue.workers())
    assert host.job(waiting).state is State.PENDING
