"""One simulation from its seed: a fleet, a load, faults in between, and the figures at the end."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from queuectl.domain import state_machine
from queuectl.domain.job_fields import Spec
from queuectl.domain.resources import parse_amount
from queuectl.domain.settings import Settings
from tests.simulation.checks import Broken, Checks
from tests.simulation.fleet import Fleet, Host, Load, insisted
from tests.simulation.network import Faults, Network, Server
from tests.simulation.world import World

_HEARD_SECONDS = 1.0
"""How long it takes until every worker has heard of what was decided about a queue."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated; 0 is none.

    `crashes` and `cuts` are how many hosts crash, and are cut off, in a minute. `spread` is over
    how many seconds the jobs arrive, so many in a `piece`, of so many priorities. `limit` is that
    of the queue `limited`, to which each job goes whose number `limited` divides; `licences` are
    what every twentieth job needs one of.
    """

    hosts: int = 100
    workers: int = 1
    jobs: int = 20_000
    seconds: tuple[float, float] = (0.01, 0.05)
    queues: int = 1
    failing: float = 0.0
    limit: int = 0
    limited: int = 10
    licences: int = 0
    crashes: float = 0.0
    cuts: float = 0.0
    cut_seconds: float = 40.0
    drift: float = 0.001
    lease: float = 30.0
    spread: float = 0.0
    piece: int = 1000
    priorities: int = 1
    until: float = 7200.0
    patience: float = 0.0
    faults: Faults = field(default_factory=Faults)
    server: Callable[[], Server] = Server


@dataclass
class Figures:
    """What came out: times in seconds of virtual time."""

    seed: int
    hosts: int
    workers: int
    jobs: int
    seconds: float
    rate: float
    commands_a_job: float
    conflicts_a_claim: float
    hottest: str
    hottest_writes_a_second: float
    longest_wait: float
    recovery: float
    runs: int
    commands: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self)


def simulate(scenario: Scenario, seed: int) -> Figures:
    """Run a scenario to its end. Raises Broken, with the seed, when a promise is broken."""
    world = World(seed)
    server = scenario.server()
    network = Network(world, server, replace(scenario.faults))
    limits = {"limited": scenario.limit} if scenario.limit else {}
    capacities = (
        {"licence": parse_amount("licence", str(scenario.licences))} if scenario.licences else {}
    )
    checks = Checks(world, server.collections["jobs"], limits, capacities)
    load = Load(scenario.seconds, scenario.failing)
    settings = Settings(lease_seconds=scenario.lease, max_interruptions=1000)
    fleet = Fleet(world, network, checks, load, settings, drift=scenario.drift)
    with world.installed(), _without_collecting():
        world.spawn(lambda: _fill(fleet, scenario))
        fleet.add(scenario.hosts, scenario.workers)
        for number, act in ((scenario.crashes, _crash), (scenario.cuts, _cut)):
            if number:
                world.spawn(partial(_befall, fleet, act, number, scenario))
        try:
            world.run(lambda: checks.ended >= scenario.jobs, scenario.until)
            took = world.now
            fleet.has_ended = True
            world.run(lambda: False, world.now + 1)
            checks.at_the_end(scenario.jobs)
            if scenario.patience and checks.longest_wait > scenario.patience:
                raise Broken(f"a job waited for {checks.longest_wait:.1f} s")
        except Broken as broken:
            broken.args = (f"{broken} (seed {seed})",)
            raise
        finally:
            world.close()
    return _figures(scenario, seed, server, checks, took)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Look for no cycles meanwhile: all documents would be looked at again and again."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _fill(fleet: Fleet, scenario: Scenario) -> None:
    """Store the jobs, a piece at a time."""
    store = fleet.store()
    if scenario.limit:
        insisted(fleet.world, lambda: store.set_queue_limit("limited", limit=scenario.limit))
    if scenario.licences:
        insisted(fleet.world, lambda: store.resources.set("licence", str(scenario.licences)))
    fleet.world.sleep(_HEARD_SECONDS)
    piece = min(scenario.piece, scenario.jobs)
    for begin in range(0, scenario.jobs, piece):
        specs = [
            _spec(scenario, number) for number in range(begin, min(begin + piece, scenario.jobs))
        ]

        def insert(specs: list[Spec] = specs) -> None:
            now = store.now()
            store.insert([state_machine.enqueue(spec, None, now) for spec in specs])

        insisted(fleet.world, insert)
        fleet.world.sleep(scenario.spread * piece / scenario.jobs)


def _spec(scenario: Scenario, number: int) -> Spec:
    queue = f"queue{number % scenario.queues}"
    if scenario.limit and number % scenario.limited == 0:
        queue = "limited"
    needs = (("licence", "1"),) if scenario.licences and number % 20 == 1 else ()
    return Spec(
        id=f"job{number:07}", command="true", queue=queue, needs=needs, backoff_base=1.1,
        max_retries=2, priority=number * 7 % scenario.priorities,
    )  # fmt: skip


def _befall(
    fleet: Fleet, act: Callable[[Fleet, Host, Scenario], None], number: float, scenario: Scenario
) -> None:
    """Let something happen to a host so many times a minute."""
    chance = fleet.world.chance
    while not fleet.has_ended:
        fleet.world.sleep(chance.expovariate(number / 60))
        if not fleet.has_ended:
            act(fleet, chance.choice(fleet.hosts), scenario)


def _crash(fleet: Fleet, host: Host, scenario: Scenario) -> None:
    host.crash()
    fleet.world.spawn(lambda: _come_back(fleet, host, scenario))


def _come_back(fleet: Fleet, host: Host, scenario: Scenario) -> None:
    fleet.world.sleep(fleet.world.chance.uniform(1, 20))
    if not (fleet.has_ended or host.tasks):
        host.start(scenario.workers)


def _cut(fleet: Fleet, host: Host, scenario: Scenario) -> None:
    fleet.network.cut_off.add(host.name)
    fleet.world.spawn(lambda: _heal(fleet, host, scenario))


def _heal(fleet: Fleet, host: Host, scenario: Scenario) -> None:
    fleet.world.sleep(scenario.cut_seconds)
    fleet.network.cut_off.discard(host.name)


def _figures(
    scenario: Scenario, seed: int, server: Server, checks: Checks, seconds: float
) -> Figures:
    writes = {
        f"{place.name}/{key}" if place.name != "jobs" else "a job": number
        for place in server.collections.values()
        for key, number in place.writes.most_common(1)
    }
    hottest = max(writes, key=lambda name: writes[name])
    missed = server.collections["jobs"].missed
    return Figures(
        seed=seed,
        hosts=scenario.hosts,
        workers=scenario.hosts * scenario.workers,
        jobs=scenario.jobs,
        seconds=round(seconds, 3),
        rate=round(scenario.jobs / seconds, 1),
        commands_a_job=round(sum(server.commands.values()) / scenario.jobs, 3),
        conflicts_a_claim=round(missed / max(checks.runs, 1), 4),
        hottest=hottest,
        hottest_writes_a_second=round(writes[hottest] / seconds, 2),
        longest_wait=round(checks.longest_wait, 3),
        recovery=round(checks.recovery, 3),
        runs=checks.runs,
        commands=dict(server.commands.most_common()),
    )
