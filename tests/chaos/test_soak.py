"""Short jobs, and a worker or supervisor killed every 100 ms for as long as they last."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter

import pytest

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.filters import Filter, Page
from queuectl.domain.job import SETTLED, State
from queuectl.worker import pidfile
from queuectl.worker.processes import send_signal
from tests.worker.fleet import Fleet

JOBS = {"sqlite": 600, "mongo": 60}
WORKERS = 8
SUPERVISORS = 2
KILL_EVERY_SECONDS = {"sqlite": 0.1, "mongo": 0.3}
"""On the small MongoDB server a worker needs half a second before it can claim at all."""

_LOOK_SECONDS = 0.1
LONGEST_SECONDS = 100
COMMAND = "exec 9>>lock{0}; flock -n 9 || echo {0} >> overlaps; echo {0} >> ran"
"""What still runs of a killed worker's job holds its lock when the job is started again."""

SEED = int(os.environ.get("QUEUECTL_SOAK_SEED", "20261122"))


class Killer:
    """Kills a random process of a fleet with SIGKILL, again and again, until it is told to end."""

    def __init__(self, fleet: Fleet, seed: int, every_seconds: float) -> None:
        self._fleet = fleet
        self._random = random.Random(seed)
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="killer")
        self.kills: Counter[str] = Counter()

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
            if entries:
                entry = self._random.choice(entries)
                if send_signal(entry.process, signal.SIGKILL):
                    self.kills[entry.role] += 1
            if self._over.wait(max(0.0, self._every_seconds - (time.monotonic() - begun))):
                return


def _keep_manned(fleet: Fleet) -> None:
    """Start supervisors where they are missing; one may be killed while it starts."""
    missing = SUPERVISORS - len(fleet.pids(pidfile.SUPERVISOR))
    for _ in range(missing):
        with contextlib.suppress(StoreUnavailable):
            fleet.start(WORKERS // SUPERVISORS)


def _has_work(fleet: Fleet) -> bool:
    counts = fleet.queue.counts()
    return sum(counts.of(state) for state in State if state not in SETTLED) > 0


@pytest.mark.timeout(LONGEST_SECONDS * 4)
def test_every_job_is_completed_once_whoever_is_killed(
    chaos: Fleet, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["store_url"]
    jobs = int(os.environ.get("QUEUECTL_SOAK_JOBS", "0")) or JOBS.get(kind, JOBS["sqlite"])
    chaos.set(max_interruptions=1_000_000)
    chaos.enqueue_all(
        {"id": f"job{n}", "command": COMMAND.format(n), "cwd": str(chaos.root)} for n in range(jobs)
    )
    begun = time.monotonic()
    with Killer(chaos, SEED, KILL_EVERY_SECONDS.get(kind, 0.1)) as killer:
        while _has_work(chaos):
            assert time.monotonic() - begun < LONGEST_SECONDS * max(1, jobs / JOBS["sqlite"])
            _keep_manned(chaos)
            time.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - begun

    found = list(chaos.queue.find(Filter(), Page(with_history=True)))
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
    assert extra_runs <= kills
    assert ran.total() - jobs <= extra_runs
    figures = {
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "kills": dict(killer.kills),
        "runs cut short": extra_runs,
        "commands run twice": ran.total() - jobs,
    }
    print(f"\n{kind}: {figures}")
