"""Jobs of mixed needs while workers are killed: what each holds is counted from outside.

A run is seeded: `QUEUECTL_RESOURCES_SEED`; `QUEUECTL_RESOURCES_JOBS=200` makes it longer.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import State
from queuectl.system import pidfile
from queuectl.system.processes import send_signal
from tests.stores.conftest import slow_on_mongo
from tests.worker.fleet import Fleet, eventually

JOBS = int(os.environ.get("QUEUECTL_RESOURCES_JOBS", "0"))
SHORT = {"sqlite": 40, "mongo": 30}
SEED = int(os.environ.get("QUEUECTL_RESOURCES_SEED", "20261130"))
WORKERS, SLOTS = 2, 4
GPUS, MEMORY, LICENCES, SHARED = 4, 60, 3, 24
DECLARED = ("gpu=0-3", f"memory={MEMORY}G", f"gpu-memory={SHARED}G")
KILL_EVERY_SECONDS = {"sqlite": 0.7, "mongo": 1.0}
LONGEST_SECONDS = 90 + JOBS

COUNTED = """import fcntl, os, sys, time
locks = []
def held(name, amount, most):
    check = open(f"check-{name}", "a")
    fcntl.flock(check, fcntl.LOCK_EX)
    os.makedirs(f"held-{name}", exist_ok=True)
    mine = open(f"held-{name}/{os.environ['QUEUECTL_RUN_ID']}-{amount}", "a")
    fcntl.flock(mine, fcntl.LOCK_EX)
    locks.append(mine)
    total = amount
    for each in os.listdir(f"held-{name}"):
        with open(f"held-{name}/{each}", "a") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(other.name)
            except BlockingIOError:
                total += int(each.rpartition("-")[2]) if other.name != mine.name else 0
    if total > most:
        print(os.environ["QUEUECTL_JOB_ID"], name, total, file=open("exceeded", "a"))
    check.close()
def gpus(size, most):
    devices = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    assert devices == os.environ["HIP_VISIBLE_DEVICES"].split(",")
    assert len(set(devices)) == len(devices)
    for device in devices:
        held(f"gpu{device}", size, most)
    return len(devices)
"""
"""What a job does: a lock that ends with its run says what is held, whatever ends that."""


def _command(needs: dict[str, str]) -> list[str]:
    """Return what notes what it holds, and that it ran."""
    lines = [COUNTED]
    if "memory" in needs:
        lines.append(f"held('memory', {needs['memory'][:-1]}, {MEMORY})")
    if "licence" in needs:
        lines.append(f"held('licence', {needs['licence']}, {LICENCES})")
    if "gpu" in needs:
        lines.append(f"assert gpus({SHARED}, {SHARED}) == {needs['gpu']}")
    elif "gpu-memory" in needs:
        lines.append(f"assert gpus({needs['gpu-memory'][:-1]}, {SHARED}) == 1")
    lines.append("time.sleep(0.05); print(os.environ['QUEUECTL_JOB_ID'], file=open('ran', 'a'))")
    return [sys.executable, "-S", "-c", "\n".join(lines)]


def _needs(chance: random.Random) -> dict[str, str]:
    some = [
        {"gpu": str(chance.choice((1, 1, 2)))},
        {"gpu-memory": f"{chance.choice((6, 10, 14))}G"},
        {"memory": f"{chance.choice((5, 20, 40))}G"},
        {"licence": str(chance.choice((1, 2)))},
        {"licence": "1", "memory": "12G"},
        {"gpu": "1", "licence": "1"},
        {"gpu": str(GPUS), "memory": f"{MEMORY}G"},
    ]
    return chance.choice(some)


@contextmanager
def _killing(fleet: Fleet, chance: random.Random, every: float) -> Iterator[list[str]]:
    """Kill a worker every so many seconds if all are there, until told to stop."""
    over, killed = threading.Event(), list[str]()

    def go_on() -> None:
        while not over.wait(every):
            entries = pidfile.living(fleet.home)
            workers = [each for each in entries if each.role == pidfile.WORKER]
            if len(workers) == WORKERS:
                entry = chance.choice(workers)
                if send_signal(entry.process, signal.SIGKILL):
                    killed.append(entry.role)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@slow_on_mongo
def test_no_device_is_held_twice_and_nothing_exceeded_while_workers_are_killed(
    chaos: Fleet,
) -> None:
    chance = random.Random(SEED)
    kind = "mongo" if "mongodb" in chaos.queue.address else "sqlite"
    number = JOBS or SHORT[kind]
    chaos.set(lease_seconds=3, max_interruptions=1000, needs_patience_seconds=0.5)
    chaos.queue.resources.set("licence", LICENCES)
    chaos.start(WORKERS, concurrency=SLOTS, resources=DECLARED)
    wanted = [_needs(chance) for _ in range(number)]
    ids = chaos.enqueue_all(
        {"command": _command(needs), "needs": needs, "cwd": str(chaos.root), "max_retries": 1,
         "priority": chance.choice((0, 0, 5))}
        for needs in wanted
    )  # fmt: skip
    with _killing(chaos, chance, KILL_EVERY_SECONDS[kind]) as killed:

        def is_over() -> bool:
            with contextlib.suppress(StoreUnavailable):
                counts = chaos.queue.counts()
                return counts.of(State.PENDING) + counts.of(State.PROCESSING) == 0
            return False

        eventually(is_over, LONGEST_SECONDS)
    exceeded = chaos.root / "exceeded"
    assert not exceeded.exists(), exceeded.read_text()
    jobs = [chaos.job(job_id) for job_id in ids]
    assert {job.state for job in jobs} == {State.COMPLETED}
    assert set((chaos.root / "ran").read_text().split()) == set(ids)
    assert killed
    eventually(lambda: not any(view.holders for view in chaos.queue.resources.views()))
    assert chaos.settled(chaos.enqueue("true", needs={"gpu": str(GPUS), "licence": str(LICENCES)}))
