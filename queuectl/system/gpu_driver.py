"""How much memory GPUs have, and how much of it is not used by jobs, as NVIDIA's driver says.

It is asked through `pynvml` (the package nvidia-ml-py), which is loaded where GPUs were declared
and nowhere else. Without the package or a driver nothing is known, and what was declared counts.
"""

from __future__ import annotations

from typing import Any

from queuectl.domain.frozen import frozen
from queuectl.system.run_mark import is_of_run, read_mark


@frozen
class DeviceMemory:
    """The memory of one GPU in bytes: all of it, and what processes use that are of no run."""

    total: int
    foreign: int


class GpuDriver:
    """The driver of this host's GPUs; `open_driver` returns it where there is one."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def memory(self, device: str) -> DeviceMemory | None:
        """Return the memory of a GPU, by its number or its UUID; None where none is known."""
        nvml = self._nvml
        try:
            if device.isdigit():
                handle = nvml.nvmlDeviceGetHandleByIndex(int(device))
            else:
                handle = nvml.nvmlDeviceGetHandleByUUID(device)
            found = nvml.nvmlDeviceGetMemoryInfo(handle)
            processes = [
                *nvml.nvmlDeviceGetComputeRunningProcesses(handle),
                *nvml.nvmlDeviceGetGraphicsRunningProcesses(handle),
            ]
        except nvml.NVMLError:
            return None
        used = {each.pid: each.usedGpuMemory or 0 for each in processes}
        ours = sum(size for pid, size in used.items() if is_of_run(read_mark(pid)))
        return DeviceMemory(int(found.total), max(0, int(found.used) - ours))


def open_driver() -> GpuDriver | None:
    """Return the driver of this host's GPUs, or None where there is none that can be asked."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return GpuDriver(pynvml)
