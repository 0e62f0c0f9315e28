"""A queue that is limited, paused and resumed while a crowd claims from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.mongo import queues
from tests.stores.conftest import slow_on_mongo
from tests.stores.kit import SUCCESS, new_job, request
from tests.stores.test_races import crowd_for
from tests.worker.fleet import eventually

JOBS = 8
CLAIMS_EACH = 1


class Crowd:
    """Claimers, each a thread with a store of its own, that all begin at the same instant."""

    def __init__(self, store_url: str, size: int, stack: ExitStack) -> None:
        self._url = store_url
        self._size = size
        self._mine = threading.local()
        self._stack = stack
        self._gate = threading.Barrier(size + 1)
        self._pool = stack.enter_context(ThreadPoolExecutor(size, initializer=self._open))

    def _open(self) -> None:
        self._mine.store = open_store(self._url)

    def claim(self, meanwhile: Callable[[], None] = lambda: None) -> list[tuple[float, Job]]:
        """Let each claim a few times; return the jobs, each with the time when it was asked for.

        `meanwhile` is called when they begin.
        """
        futures = [self._pool.submit(self._ask, number) for number in range(self._size)]
        self._gate.wait()
        meanwhile()
        return [found for future in futures for found in future.result()]

    def _ask(self, number: int) -> list[tuple[float, Job]]:
        self._gate.wait()  # holds every thread, so that each takes one of these
        store: Store = self._mine.store
        wanted = [(time.monotonic(), request(worker=f"w{number}")) for _ in range(CLAIMS_EACH)]
        found = [(time.monotonic(), store.claim(asked)) for _, asked in wanted]
        return [(asked_at, job) for asked_at, job in found if job is not None]

    def close(self) -> None:
        """Let go of every store, in its own thread."""
        futures = [self._pool.submit(self._leave) for _ in range(self._size)]
        self._gate.wait()
        for future in futures:
            future.result()

    def _leave(self) -> None:
        self._gate.wait()
        self._mine.store.close()


@pytest.fixture
def crowd(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    """Claimers who hear at once what was decided, which may else take a second."""
    monkeypatch.setattr(queues, "_POLICY_SECONDS", 0.0)
    with ExitStack() as stack:
        crowd = Crowd(store_url, crowd_for(store_url), stack)
        yield crowd
        crowd.close()


@slow_on_mongo
def test_a_crowd_never_exceeds_a_limit_and_takes_nothing_from_a_paused_queue(
    store: Store, crowd: Crowd
) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(JOBS)])
    held: list[Job] = []
    taken: list[str] = []

    def claimed(limit: int) -> bool:
        """Let the crowd claim; whether it holds as many jobs as it may now."""
        held.extend(job for _, job in crowd.claim())
        assert len(held) <= limit
        return len(held) == limit

    def settle(number: int) -> None:
        for job in [held.pop() for _ in range(number)]:
            taken.append(job.id)
            assert store.commit(state_machine.finish(job, SUCCESS, store.now()))

    for limit, left in ((1, 1), (3, 0)):
        store.set_queue_limit("default", limit=limit)
        eventually(partial(claimed, limit))
        settle(len(held) - left)

    paused_at: list[float] = []

    def pause() -> None:
        store.set_queue_limit("default", paused=True)
        paused_at.append(time.monotonic())

    store.set_queue_limit("default", limit=2)
    before = crowd.claim(pause)
    assert not [job.id for asked_at, job in before if asked_at > paused_at[0]]
    held.extend(job for _, job in before)
    settle(len(held))
    assert crowd.claim() == []
    store.set_queue_limit("default", paused=False, limit=0)

    def is_empty() -> bool:
        held.extend(job for _, job in crowd.claim())
        return len(held) + len(taken) == JOBS

    eventually(is_empty)
    settle(len(held))
    assert sorted(taken) == sorted(f"job{n}" for n in range(JOBS))
