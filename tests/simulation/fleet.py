"""Hosts, their workers, and what the workers do: claim, run, renew, settle, and take back.

A worker does by the store's methods what `queuectl.worker` does by them, in the same order: several
short jobs are claimed together with the ends of those before, claims are renewed in thirds of
a lease, and a run whose lease was not renewed in time by the worker's own steady clock is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from queuectl.domain import state_machine
from queuectl.domain.errors import NotFound, StoreError
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, Outcome
from queuectl.domain.settings import Settings
from queuectl.domain.state_machine import Transition
from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord
from queuectl.maintenance.rescuer import Rescuer
from queuectl.stores.exchange import ClaimRequest, HeldClaim, Renewal
from queuectl.stores.mongo.store import MongoStore
from tests.simulation.checks import Checks
from tests.simulation.network import Network, SimulatedLink
from tests.simulation.world import Task, World

T = TypeVar("T")

_SHORT_SECONDS = 0.1
"""Jobs that are over sooner are claimed several at a time."""


@dataclass
class Load:
    """What the workers run: how long jobs take, and how many of a hundred fail a run."""

    seconds: tuple[float, float] = (0.01, 0.05)
    failing: float = 0.0


class Host:
    """One machine: its clock, its workers, and whether it is up."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.fleet, self.name = fleet, name
        chance = fleet.world.chance
        self.rate = 1 + chance.uniform(-fleet.drift, fleet.drift)
        self.ahead = chance.uniform(0, 100_000)
        self.tasks: list[Task] = []
        self.starts = 0

    def start(self, workers: int) -> None:
        """Start workers, and the upkeep that one of them does."""
        self.starts += 1
        for number in range(workers):
            name = f"{self.name}-{self.starts}-{number}"
            worker = Worker(self, name)
            self._spawn(worker.work)
            self._spawn(worker.beat)

    def crash(self) -> None:
        """End all that goes on here, in the middle of whatever it does."""
        for task in self.tasks:
            self.fleet.world.kill(task)
        self.tasks = []
        self.fleet.checks.host_died(self.name)

    def _spawn(self, function: Callable[[], None]) -> None:
        task = self.fleet.world.spawn(function, rate=self.rate, ahead=self.ahead)
        task.host = self.name
        self.tasks.append(task)


class Fleet:
    """All hosts, what they run, and who looks at them."""

    def __init__(
        self, world: World, network: Network, checks: Checks, load: Load, settings: Settings,
        *, drift: float = 0.001,
    ) -> None:  # fmt: skip
        self.world, self.network, self.checks = world, network, checks
        self.load, self.settings, self.drift = load, settings, drift
        self.hosts: list[Host] = []
        self.has_ended = False

    def store(self) -> MongoStore:
        """Return a store of the current task's own."""
        return MongoStore(SimulatedLink(self.network))

    def add(self, hosts: int, workers: int) -> None:
        """Start hosts with so many workers each."""
        for _ in range(hosts):
            host = Host(self, f"host{len(self.hosts):05}")
            self.hosts.append(host)
            host.start(workers)


class Worker:
    """One worker with one slot: `work` claims and runs, `beat` renews and does the upkeep."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name = host, name
        self.fleet = host.fleet
        self.world = host.fleet.world
        self.held: dict[str, tuple[Job, float]] = {}
        """What is claimed, by claim, and until when by the own clock."""

        self.lost: set[str] = set()
        self._claims = 0
        self._repeated: list[ClaimRequest] = []

    # claiming and running

    def work(self) -> None:
        """Claim, run and settle until the fleet has ended."""
        store = self.fleet.store()
        insisted(self.world, lambda: store.workers.register(self._record(store)))
        ended: list[Transition] = []
        number = 1
        while not self.fleet.has_ended:
            asked_at = self.world.monotonic()
            requests = self._requests(number)
            try:
                applied, jobs = store.commit_and_claim(ended, requests)
            except StoreError:
                # whether it was applied is not known: it is sent again, and the claims asked for
                self._repeated = list(requests)
                self.world.sleep(self.world.chance.uniform(0.1, 0.5))
                continue
            self._repeated = []
            for change, is_applied in zip(ended, applied, strict=True):
                self._settled(change, is_applied=is_applied)
            deadline = asked_at + self.fleet.settings.lease_seconds
            for job in jobs:
                self.held[job.claim_id] = job, deadline
            if not jobs:
                number, ended = 1, []
                self.world.sleep(self.world.chance.uniform(0.05, 0.5))
                continue
            ended = self._run_all(store, jobs)
            number = 32 if self.fleet.load.seconds[1] < _SHORT_SECONDS else 1

    def _requests(self, number: int) -> list[ClaimRequest]:
        if self._repeated:
            return [replace(each, repeated=True) for each in self._repeated]
        requests = []
        for _ in range(number):
            self._claims += 1
            claim_id = f"{self.name}-{self._claims}"
            lease = self.fleet.settings.lease_seconds
            requests.append(ClaimRequest(claim_id, self.name, lease))
        return requests

    def _run_all(self, store: MongoStore, jobs: Sequence[Job]) -> list[Transition]:
        """Run jobs one after the other; return how they ended."""
        ended = []
        for job in jobs:
            outcome = self._run(job)
            if outcome is not None:
                ended.append(state_machine.finish(job, outcome, insisted(self.world, store.now)))
            else:
                self.held.pop(job.claim_id, None)
        return ended

    def _run(self, job: Job) -> Outcome | None:
        """Run a job for as long as its claim holds; None: it was lost, and nothing is settled."""
        checks, chance, load = self.fleet.checks, self.world.chance, self.fleet.load
        if not self._holds(job):
            return None
        checks.began(job, self.host.name)
        left = chance.uniform(*load.seconds)
        while left > 0:
            step = min(left, 0.25)
            self.world.sleep(step)
            left -= step
            if not self._holds(job):
                checks.stopped(job)
                return None
        checks.stopped(job)
        has_failed = chance.random() * 100 < load.failing
        return Outcome(exit_code=int(has_failed), error="Exit code 1" if has_failed else None)

    def _holds(self, job: Job) -> bool:
        found = self.held.get(job.claim_id)
        if found is None or job.claim_id in self.lost:
            return False
        return self.world.monotonic() < found[1]

    def _settled(self, change: Transition, *, is_applied: bool) -> None:
        self.held.pop(change.before.claim_id, None)
        self.fleet.checks.settled(change, is_applied=is_applied)

    # heartbeat, renewal and upkeep

    def beat(self) -> None:
        """Renew what is held and look after what others have lost, again and again."""
        store = self.fleet.store()
        rescuer = Rescuer(store)
        settings = self.fleet.settings
        pause = min(settings.lease_seconds / 3, 5.0)
        self.world.sleep(self.world.chance.uniform(0, pause))
        while not self.fleet.has_ended:
            try:
                self._renew(store)
                store.workers.heartbeat(self.name, 1)
                store.make_due_claimable()
                rescuer.expire(settings)
                store.repair() if store.try_acquire_turn("repair", 10.0) else None
            except NotFound:
                insisted(self.world, lambda: store.workers.register(self._record(store)))
            except StoreError:
                pass
            self.world.sleep(pause * self.world.chance.uniform(0.8, 1.0))

    def _renew(self, store: MongoStore) -> None:
        held = [HeldClaim(job.id, claim_id) for claim_id, (job, _) in self.held.items()]
        if not held:
            return
        asked_at, lease = self.world.monotonic(), self.fleet.settings.lease_seconds
        for claim, renewal in zip(held, store.renew(held, lease), strict=True):
            if renewal is Renewal.LOST:
                self.lost.add(claim.claim_id)
            elif claim.claim_id in self.held:
                self.held[claim.claim_id] = self.held[claim.claim_id][0], asked_at + lease

    def _record(self, store: MongoStore) -> WorkerRecord:
        now = insisted(self.world, store.now)
        process = ProcessIdentity(1, "", "")
        return WorkerRecord(self.name, process, self.host.name, "/home", (), now, now)


def insisted(world: World, act: Callable[[], T]) -> T:
    """Return what a store answers, as soon as it can be asked."""
    while True:
        try:
            return act()
        except StoreError:
            world.sleep(0.5)
