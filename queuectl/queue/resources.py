"""Named resources: what the fleet and its hosts have, who holds what, and what nobody has."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from queuectl.domain import resources as words
from queuectl.domain.allocation import Room, lacking
from queuectl.domain.errors import InvalidInput, NotFound
from queuectl.domain.frozen import frozen
from queuectl.domain.resources import GPU, GPU_MEMORY, NOTHING, Pairs, Supply
from queuectl.system.processes import is_live

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queuectl.domain.job import Job
    from queuectl.stores.base import Store
    from queuectl.stores.exchange import HeldUnits

_OF_THE_FLEET = ""
_SECONDS = 1.0


@frozen
class HolderView:
    """What one job holds of one resource: an amount, or devices, as people write them."""

    job_id: str
    worker: str
    host: str
    units: str


@frozen
class ResourceView:
    """One resource of a host, or of the fleet, whose `host` is empty: how much, and who has it.

    `capacity` is what was declared, empty where that is gone and something is still held.
    """

    name: str
    host: str
    capacity: str
    in_use: str
    holders: tuple[HolderView, ...]


class Resources:
    """The use cases of named resources."""

    def __init__(
        self,
        store: Store,
        missing_hint: str = "",
        note: Callable[[str, str], None] = lambda _act, _name: None,
    ) -> None:
        self._store = store
        self._note = note
        self._missing_hint = missing_hint
        self._looked_at = float("-inf")
        self._shortage: Callable[[Pairs], str | None] = lambda _needs: None

    def set(self, name: str, capacity: object) -> str:
        """Say how much the whole fleet has of a resource; return that as it is kept.

        What is in use stays so, also where that is more than there is now. Raises InvalidInput.
        """
        name = words.check_name(name)
        if name in (GPU, GPU_MEMORY):
            raise InvalidInput(
                f"{name} belongs to a host, which hands its devices out",
                hint="queuectl worker start --resource gpu=0,1 says which it has",
            )
        _, text = words.parse_capacity(f"{name}={capacity}")
        if not text.replace(".", "", 1).rstrip("KMGT").isdigit():
            raise InvalidInput(
                f"the fleet has amounts, not devices: {name} must be a number such as 4 or 0.5"
            )
        self._store.resources.set(name, text)
        self._note("resource set", name)
        return text

    def remove(self, name: str) -> None:
        """Forget a resource of the fleet. Raises NotFound."""
        if not self._store.resources.set(words.check_name(name), None):
            hint = self._missing_hint or "queuectl resource list shows those there are"
            raise NotFound(f"the fleet has no resource '{name}'", hint)
        self._note("resource remove", name)

    def views(self) -> list[ResourceView]:
        """Return every resource that is declared or held, those of the fleet first."""
        held = self._store.resources.held()
        places = {_OF_THE_FLEET: tuple(self._store.resources.fleet().items())}
        places |= declared(self._store)
        found = [
            _view(name, host, text, held, words.supply_of(capacities) if host else NOTHING)
            for host, capacities in places.items()
            for name, text in capacities
        ]
        known = {(view.name, view.host) for view in found}
        fleet = dict(places[_OF_THE_FLEET])
        left = {
            (name, each.holding.host)
            for each in held
            for name, _ in each.holding.units
            if (name, each.holding.host) not in known and name not in fleet
        }
        return found + [_view(name, host, "", held, NOTHING) for name, host in sorted(left)]

    def check(self, needs: Pairs) -> str | None:
        """Return what to say of needs that no live worker can meet, or None.

        Raises InvalidInput for more than the whole fleet has.
        """
        if time.monotonic() - self._looked_at > _SECONDS:
            self._fleet = {
                name: words.parse_amount(name, text)
                for name, text in self._store.resources.fleet().items()
            }
            self._shortage = shortage(self._store)
            self._looked_at = time.monotonic()
        for name, text in needs:
            if name in self._fleet and words.parse_amount(name, text) > self._fleet[name]:
                has = words.amount_text(self._fleet[name], text)
                raise InvalidInput(
                    f"{name}={text} is more than the fleet has ({has})",
                    hint=f"queuectl resource set {name} {text} says that it has more",
                )
        return self._shortage(needs)


def declared(store: Store) -> dict[str, Pairs]:
    """Return what each host has that a live worker declared resources for: the latest of them."""
    now = store.now()
    return {
        each.host: each.resources
        for each in store.workers.all()
        if each.resources and is_live(each, now)
    }


def _view(
    name: str, host: str, capacity: str, held: list[HeldUnits], supply: Supply
) -> ResourceView:
    holders = tuple(
        HolderView(each.job_id, each.worker, each.holding.host, text.strip("[]"))
        for each in held
        if host in (_OF_THE_FLEET, each.holding.host)
        for resource, text in each.holding.units
        if resource == name and not (host == _OF_THE_FLEET and text[:1] == "[")
    )
    return ResourceView(name, host, capacity, _in_use(name, capacity, holders, supply), holders)


def _in_use(name: str, capacity: str, holders: tuple[HolderView, ...], supply: Supply) -> str:
    """Return in words how much is in use of how much there is."""
    if name in supply.devices:
        taken = sum(len(each.units.split(",")) for each in holders)
        return f"{taken} of {len(supply.devices[name])}"
    if name == GPU_MEMORY:
        used = sum(sum(words.memory_held(((name, each.units),)).values()) for each in holders)
        there = sum(supply.memory.values())
        has = f" of {words.amount_text(there, 'G')}" if there else ""
        return f"{words.amount_text(used, 'G')}{has}"
    amounts = [each.units for each in holders if "," not in each.units]
    held = words.amount_text(sum(words.parse_amount(name, text) for text in amounts), capacity)
    return f"{held} of {capacity}" if capacity else held


def shortage(store: Store) -> Callable[[Pairs], str | None]:
    """Return what tells which of a job's needs no live worker can ever meet, in words."""
    supplies = {host: words.supply_of(each) for host, each in declared(store).items()}
    fleet = _amounts(store)

    def short_of(needs: Pairs) -> str | None:
        places = [NOTHING, *supplies.values()]
        least = min((lacking(needs, each, fleet) for each in places), key=len)
        if not least:
            return None
        most = "; ".join(_most(name, supplies, fleet) for name, _ in least)
        return f"no live worker has {words.needs_text(least)} ({most})"

    return short_of


def _most(name: str, supplies: Mapping[str, Supply], fleet: Mapping[str, int]) -> str:
    """Return in words the most that there is of a resource."""
    if name in fleet:
        return f"the fleet has {words.amount_text(fleet[name])}"
    found = {host: _has(name, each) for host, each in supplies.items()}
    host, most = max(found.items(), key=lambda each: each[1], default=("", 0))
    if not most:
        return f"none declares any {name}"
    unit = "G" if most >= 1000 * 2**30 else ""
    return f"{host} has {words.amount_text(most, unit)}"


def _has(name: str, supply: Supply) -> int:
    if name == GPU_MEMORY:
        return max(supply.memory.values(), default=0)
    if name in supply.devices:
        return len(supply.devices[name]) * 1000
    return supply.amounts.get(name, 0)


def _amounts(store: Store) -> dict[str, int]:
    found = store.resources.fleet().items()
    return {name: words.parse_amount(name, text) for name, text in found}


def waiting_reason(store: Store) -> Callable[[Job], str | None]:
    """Return what tells why a due job waits that needs resources; None where they are free."""
    short_of = shortage(store)
    fleet = _amounts(store)
    holdings = [each.holding for each in store.resources.held()]
    hosts = {host: words.supply_of(each) for host, each in declared(store).items()}

    def reason(job: Job) -> str | None:
        needs = job.spec.needs
        if missing := short_of(needs):
            return missing
        rooms = [
            Room(host, supply, fleet, holdings, {})
            for host, supply in (*hosts.items(), (_OF_THE_FLEET, NOTHING))
            if not lacking(needs, supply, fleet)
        ]
        if any(room.place(needs) is not None for room in rooms):
            return None
        wanting = [pair for pair in needs if rooms[0].place((pair,)) is None] or needs
        return f"waits for {words.needs_text(wanting)}"

    return reason
