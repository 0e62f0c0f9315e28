"""Short jobs, and a worker or supervisor killed every 100 ms for as long as they last.

A run is seeded: `QUEUECTL_SOAK_SEED`. `QUEUECTL_SOAK_JOBS=3000` makes it as long as one wants.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import pytest

from queuectl.domain.errors import Conflict, StoreUnavailable
from queuectl.domain.job import SETTLED, State
from queuectl.domain.query import Filter, Page
from queuectl.system import pidfile
from queuectl.system.processes import send_signal
from queuectl.system.run_processes import children_of
from tests.stores.conftest import slow_on_mongo
from tests.worker.fleet import Fleet

T = TypeVar("T")

JOBS = int(os.environ.get("QUEUECTL_SOAK_JOBS", "0"))
SHORT = {"sqlite": 300, "mongo": 25}
"""How many jobs there are unless the environment says it."""

BACKLOG = {"mongo": 100}
"""How many jobs wait at once at the most: the small MongoDB server is slow with more."""

WORKERS = {1: 8, 16: 4}
"""How many workers there are, by the slots of each."""

SUPERVISORS = 2
KILL_EVERY_SECONDS = 0.1
FEWEST = 5
"""Of a fleet that has fewer processes left, none is killed until others have come up: on a busy
machine a worker needs so long to start that nothing else would be tested."""

BETWEEN = 1
"""How many runs of a worker may be lost beyond those it has as children: the one that is about to
be started, or was reaped just now and is not noted yet. All others that had ended are committed,
and what had not begun is given back as if it had never been claimed."""

LOOK_SECONDS = 0.1
LONGEST_SECONDS = 100 + 2 * JOBS
COMMAND = "exec 9>>lock{0}; flock -n 9 || echo {0} >> overlaps; echo {0} >> ran"
"""What still runs of a killed worker's job holds its lock when the job is started again."""

SEED = int(os.environ.get("QUEUECTL_SOAK_SEED", "20261122"))


class Killer:
    """Kills a random process of a fleet with SIGKILL, again and again, until it is told to end."""

    def __init__(self, fleet: Fleet, seed: int, fewest: int) -> None:
        self._fleet = fleet
        self._fewest = fewest
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="killer")
        self.kills: Counter[str] = Counter()
        self.in_hand: dict[str, int] = {}
        """How many runs each worker that was killed had in hand, by its id."""

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while True:
            begun = time.monotonic()
            entries = pidfile.living(self._fleet.home)
            if len(entries) >= self._fewest:
                entry = self._random.choice(entries)
                send_signal(entry.process, signal.SIGSTOP)  # what is counted stays so
                in_hand = len(children_of(entry.process.pid))
                if send_signal(entry.process, signal.SIGKILL):
                    self.kills[entry.role] += 1
                    if entry.role == pidfile.WORKER:
                        self.in_hand[entry.worker_id] = in_hand
            if self._over.wait(max(0.0, KILL_EVERY_SECONDS - (time.monotonic() - begun))):
                return


def _keep_manned(fleet: Fleet, workers: int) -> None:
    """Start supervisors where they are missing; one may be killed while it starts."""
    missing = SUPERVISORS - len(fleet.pids(pidfile.SUPERVISOR))
    for _ in range(missing):
        with contextlib.suppress(StoreUnavailable):
            fleet.start(workers // SUPERVISORS)


def _insist(ask: Callable[[], T]) -> T:
    """Ask a store once more that a busy machine keeps from answering in time."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            return ask()


def _enqueue(fleet: Fleet, wanted: Iterable[dict[str, object]]) -> None:
    """Enqueue some jobs; those that are there already were stored without an answer."""
    requests = [_insist(partial(fleet.queue.request, fields)) for fields in wanted]
    results = _insist(partial(fleet.queue.enqueue, requests))
    assert all(isinstance(result.error, Conflict) for result in results if result.error)


def _unsettled(fleet: Fleet) -> int:
    counts = _insist(fleet.queue.counts)
    return sum(counts.of(state) for state in State if state not in SETTLED)


@pytest.mark.timeout(LONGEST_SECONDS + 60)
@slow_on_mongo
@pytest.mark.parametrize("slots", sorted(WORKERS))
def test_every_job_is_completed_once_whoever_is_killed(
    chaos: Fleet, request: pytest.FixtureRequest, slots: int
) -> None:
    kind = request.node.callspec.params["store_url"]
    jobs = JOBS or SHORT.get(kind, SHORT["sqlite"])
    backlog = BACKLOG.get(kind, jobs)
    chaos.set(max_interruptions=1_000_000, concurrency=slots)
    wanted: list[dict[str, object]] = [
        {"id": f"job{n}", "command": COMMAND.format(n), "cwd": str(chaos.root)} for n in range(jobs)
    ]
    begun = time.monotonic()
    with Killer(chaos, SEED, FEWEST) as killer:
        while True:
            asked_at = time.monotonic()
            unsettled = _unsettled(chaos)
            took = time.monotonic() - asked_at
            if not (unsettled or wanted):
                break
            assert asked_at - begun < LONGEST_SECONDS
            room = max(0, backlog - unsettled)
            _enqueue(chaos, wanted[:room])
            del wanted[:room]
            _keep_manned(chaos, WORKERS[slots])
            time.sleep(max(LOOK_SECONDS, 4 * took))  # a server that counts does nothing else
    seconds = time.monotonic() - begun

    found = _insist(lambda: list(chaos.queue.find(Filter(), Page(with_history=True))))
    assert {job.state for job in found} == {State.COMPLETED}
    assert len(found) == jobs
    for job in found:
        assert [run.exit_code for run in job.history].count(0) == 1
        assert job.history[-1].exit_code == 0
    ran = Counter((chaos.root / "ran").read_text().split())
    assert set(ran) == {str(n) for n in range(jobs)}
    assert not (chaos.root / "overlaps").exists()
    kills = sum(killer.kills.values())
    extra_runs = sum(len(job.history) - 1 for job in found)
    lost = Counter(run.worker for job in found for run in job.history[:-1])
    for worker, runs in lost.items():
        assert runs <= min(slots, killer.in_hand[worker] + BETWEEN)
    assert ran.total() - jobs <= extra_runs
    figures = {
        "jobs": jobs,
        "slots": slots,
        "seconds": round(seconds, 1),
        "kills": dict(killer.kills),
        "milliseconds between kills": round(seconds / max(1, kills) * 1000),
        "runs cut short": extra_runs,
        "commands run twice": ran.total() - jobs,
    }
    print(f"\n{kind}: {figures}")
