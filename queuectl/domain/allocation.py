"""Who gets what of the named resources: one claim is decided here, for either store.

Waiting jobs are looked at in their order. One that does not fit lets those behind it pass, but once
it has been passed over for long enough what it needs is kept free for it, of all that is behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.domain.job import Holding
from queuectl.domain.resources import (
    GPU,
    GPU_MEMORY,
    Pairs,
    Supply,
    amount_needed,
    devices_held,
    devices_text,
    memory_held,
    number,
    parse_amount,
)


@frozen
class Candidate:
    """A job that waits for resources, as the first of those of its queue that need the same.

    `place` is where it stands among all jobs. `is_mine` says that whoever asks may have it; else it
    is for another worker that there is. It was passed over first at `passed_at`. `turn` counts its
    runs so far: each gets other devices than the one before where there are others. `key` is the
    store's own.
    """

    key: Any
    needs: Pairs
    place: tuple[float, ...]
    is_mine: bool = True
    passed_at: datetime | None = None
    turn: int = 0


@frozen
class Choice:
    """The job that goes next, what it holds then, and who is passed over for the first time."""

    candidate: Candidate
    holding: Holding
    passed: tuple[Candidate, ...]


class Room:
    """What is free on one host, and of the fleet, while a claim is decided.

    `host` is empty for a worker that declared nothing: it has a share in what the fleet has alone.
    `foreign` is how much of each GPU's memory processes use that are not ours.
    """

    def __init__(
        self,
        host: str,
        supply: Supply,
        fleet: Mapping[str, int],
        held: Iterable[Holding],
        foreign: Mapping[str, int],
    ) -> None:
        self._host = host
        self._supply = supply
        self._fleet = fleet
        self._of_host = dict(supply.amounts)
        self._of_fleet = dict(fleet)
        self._taken: dict[str, set[str]] = {name: set() for name in supply.devices}
        self._memory = {
            device: size - foreign.get(device, 0) for device, size in supply.memory.items()
        }
        self._shared: set[str] = set()
        for each in held:
            self._note(each)

    def _note(self, holding: Holding) -> None:
        """Take what a run holds away from what is free."""
        is_here = bool(self._host) and holding.host == self._host
        for name, text in holding.units:
            if devices := devices_held(holding.units, name):
                if is_here:
                    self._taken.setdefault(name, set()).update(devices)
            elif name != GPU_MEMORY:
                places = (self._of_fleet, self._of_host if is_here else {})
                for place in places:
                    if name in place:
                        place[name] -= parse_amount(name, text)
        if is_here:
            for device, size in memory_held(holding.units).items():
                self._shared.add(device)
                self._memory[device] = self._memory.get(device, 0) - size

    def place(self, needs: Pairs, turn: int = 0) -> Pairs | None:
        """Return what a job would hold that started now; None where it does not fit.

        It gets the next devices in turn.
        """
        units: dict[str, str] = {}
        for name, text in needs:
            if name == GPU_MEMORY:
                continue
            amount = parse_amount(name, text)
            if name in self._supply.devices:
                wanted, free = number(amount), self._free_devices(name, needs)
                if len(free) < wanted:
                    return None
                units[name] = devices_text(_in_turn(free, self._supply.devices[name], turn, wanted))
            elif self._has(name, amount):
                units[name] = text
            else:
                return None
        if amount_needed(needs, GPU_MEMORY) and GPU not in units:
            device = self._shared_device(amount_needed(needs, GPU_MEMORY), turn)
            if device is None:
                return None
            units[GPU_MEMORY] = f"{device}:{dict(needs)[GPU_MEMORY]}"
        return tuple(sorted(units.items()))

    def _has(self, name: str, amount: int) -> bool:
        """Whether so much is free, in each place that has a capacity; it needs one at least."""
        frees = [each[name] for each in (self._of_host, self._of_fleet) if name in each]
        return bool(frees) and min(frees) >= amount

    def _free_devices(self, name: str, needs: Pairs) -> list[str]:
        """Return the devices that nobody uses; GPUs with as much memory as is needed."""
        free = [each for each in self._supply.devices[name] if each not in self._taken[name]]
        if name != GPU:
            return free
        least = amount_needed(needs, GPU_MEMORY)
        free = [each for each in free if each not in self._shared]
        return [each for each in free if not least or self._memory.get(each, 0) >= least]

    def _shared_device(self, size: int, turn: int) -> str | None:
        """Return a GPU with so much memory left: that with the least, so that jobs are packed."""
        taken = self._taken.get(GPU, set())
        fitting = [
            device
            for device, free in self._memory.items()
            if free >= size and device not in taken and device in self._supply.memory
        ]
        if not fitting:
            return None
        packed = sorted(fitting, key=lambda each: self._memory[each])
        return packed[turn % len(packed)]

    def keep_free(self, needs: Pairs) -> None:
        """Keep what a job needs for it: whoever is asked about later does not get it."""
        for name, text in needs:
            if name == GPU_MEMORY:
                continue
            amount = parse_amount(name, text)
            for place in (self._of_host, self._of_fleet):
                if name in place:
                    place[name] -= amount
            if name in self._supply.devices:
                free = self._free_devices(name, needs)
                busy = [each for each in self._supply.devices[name] if each not in free]
                self._taken[name].update([*free, *busy][: number(amount)])
        if amount_needed(needs, GPU_MEMORY) and not amount_needed(needs, GPU):
            whole = self._taken.setdefault(GPU, set())
            left = {each: free for each, free in self._memory.items() if each not in whole}
            if left:
                whole.add(max(left, key=lambda each: left[each]))

    def holding(self, units: Pairs) -> Holding:
        """Return what a run holds that is given these units."""
        is_here = any(
            name == GPU_MEMORY or name in self._supply.amounts or name in self._supply.devices
            for name, _ in units
        )
        return Holding(self._host if is_here else "", units)

    def could(self, needs: Pairs) -> bool:
        """Whether a job would fit if nothing was in use."""
        return not lacking(needs, self._supply, self._fleet)


def _in_turn(
    free: Sequence[str], devices: Sequence[str], turn: int, wanted: int
) -> tuple[str, ...]:
    """Return as many free devices as are wanted, from another place with each turn."""
    start = turn * wanted % len(devices) if devices else 0
    order = [*devices[start:], *devices[:start]]
    chosen = [each for each in order if each in free][:wanted]
    return tuple(sorted(chosen, key=devices.index))


def lacking(needs: Pairs, supply: Supply, fleet: Mapping[str, int]) -> Pairs:
    """Return those of the needs that a host and the fleet could never meet, however idle."""
    return tuple(
        (name, text)
        for name, text in needs
        if not _could_meet(name, parse_amount(name, text), needs, supply, fleet)
    )


def _could_meet(
    name: str, amount: int, needs: Pairs, supply: Supply, fleet: Mapping[str, int]
) -> bool:
    if name == GPU_MEMORY:
        return any(size >= amount for size in supply.memory.values())
    if name in supply.devices:
        least = amount_needed(needs, GPU_MEMORY) if name == GPU else 0
        fit = [
            each
            for each in supply.devices[name]
            if not least or supply.memory.get(each, 0) >= least
        ]
        return len(fit) >= number(amount)
    capacities = [each[name] for each in (supply.amounts, fleet) if name in each]
    return bool(capacities) and min(capacities) >= amount


def choose(
    waiting: Iterable[Candidate], room: Room, now: datetime, patience: float
) -> Choice | None:
    """Return which of the jobs that wait goes next, or None where none fits.

    They come in their order. What is needed by one that was passed over for `patience` seconds is
    kept from all behind it.
    """
    passed: list[Candidate] = []
    for each in waiting:
        if not room.could(each.needs):
            continue
        units = room.place(each.needs, each.turn)
        if units is not None and each.is_mine:
            return Choice(each, room.holding(units), tuple(passed))
        if units is None and each.passed_at is None:
            passed.append(each)
        since = each.passed_at or (now if units is None else None)
        if since is not None and now - since >= timedelta(seconds=patience):
            room.keep_free(each.needs)
    return None
