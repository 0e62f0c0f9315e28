"""What a worker offers of its host to jobs that need resources, as things stand there."""

from __future__ import annotations

from functools import cache

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.domain.resources import (
    GPU,
    GPU_MEMORY,
    Pairs,
    amount_text,
    parse_capacities,
    supply_of,
)
from queuectl.domain.settings import Settings
from queuectl.domain.worker_record import WorkerRecord
from queuectl.stores.exchange import NO_OFFER, Offer
from queuectl.system.gpu_driver import GpuDriver, open_driver
from queuectl.system.polling import Pace
from queuectl.worker.options import WorkerOptions

_DRIVER_SECONDS = 0.5
_WHOLE = 1000
_MIB = 2**20

_driver = cache(open_driver)


class Offers:
    """What one worker offers. The driver of GPUs is asked twice a second at most.

    `host_offer` is the offer but for what others use at the moment. A worker that was started for
    one job takes part in what other workers of its host have declared.
    """

    def __init__(self, record: WorkerRecord, *, is_for_one: bool) -> None:
        takes_part = bool(record.resources) or is_for_one
        self.host_offer = Offer(record.host) if takes_part else NO_OFFER
        self._gpus = tuple(supply_of(record.resources).memory)
        self._pace = Pace(_DRIVER_SECONDS)

    def now(self, patience: float) -> Offer:
        """Return the offer as things stand; `patience` is the setting."""
        offer = self.host_offer
        if offer.patience != patience:
            offer = self.host_offer = replace(offer, patience=patience)
        if self._gpus and self._pace.is_due and (driver := _driver()) is not None:
            with self._pace.look():
                foreign = tuple(_foreign(driver, self._gpus))
            offer = self.host_offer = replace(offer, foreign=foreign)
        return offer


def _foreign(driver: GpuDriver, gpus: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return how much of each GPU's memory processes use that are not ours, in thousandths."""
    found = ((device, driver.memory(device)) for device in gpus)
    return [(device, memory.foreign * _WHOLE) for device, memory in found if memory is not None]


def declared_by(options: WorkerOptions, settings: Settings) -> Pairs:
    """Return what a worker says that its host has.

    One for a single job says what the setting says, as its options are those of the job.
    """
    words = settings.resources.split()
    if options.only is None or not words:
        return with_gpu_memory(options.resources)
    try:
        return with_gpu_memory(parse_capacities(words))
    except InvalidInput:  # which is told where workers are started
        return ()


def with_gpu_memory(resources: Pairs) -> Pairs:
    """Return what a host has with the memory of its GPUs as the driver says.

    What was declared stays where it is less, and where there is no driver.
    """
    supply = supply_of(resources)
    if GPU not in supply.devices or (driver := _driver()) is None:
        return resources
    memory = dict(supply.memory)
    for device in supply.devices[GPU]:
        found = driver.memory(device)
        if found is not None:
            total = found.total * _WHOLE
            memory[device] = min(memory.get(device, total), total)
    if memory == supply.memory:
        return resources
    sizes = (f"{device}:{_in_mebibytes(size)}" for device, size in memory.items())
    return tuple(sorted({**dict(resources), GPU_MEMORY: ",".join(sizes)}.items()))


def _in_mebibytes(size: int) -> str:
    return amount_text(size // (_MIB * _WHOLE) * _MIB * _WHOLE, "M")
