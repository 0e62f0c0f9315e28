"""Resources and real workers: what a run finds in its environment, and what a driver says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from queuectl.domain.job import State
from queuectl.system.gpu_driver import DeviceMemory, GpuDriver
from queuectl.worker import offers
from queuectl.worker.offers import with_gpu_memory
from tests.worker.fleet import Fleet, eventually

GIB = 2**30
STAND_IN = '''
"""A driver whose numbers stand in a file."""
import json, os
class NVMLError(Exception): pass
class Figures:
    def __init__(self, **figures): self.__dict__.update(figures)
def nvmlInit(): pass
def nvmlDeviceGetHandleByIndex(index):
    with open(os.environ["STAND_IN"]) as file:
        devices = json.load(file)
    if index >= len(devices): raise NVMLError(index)
    return devices[index]
def nvmlDeviceGetHandleByUUID(uuid): raise NVMLError(uuid)
def nvmlDeviceGetMemoryInfo(device): return Figures(total=device["total"], used=device["used"])
def nvmlDeviceGetComputeRunningProcesses(device):
    return [Figures(pid=pid, usedGpuMemory=used) for pid, used in device.get("processes", [])]
def nvmlDeviceGetGraphicsRunningProcesses(device): return []
'''


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for NVIDIA's package, which this process and workers load; its numbers."""
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver/pynvml.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path / "driver"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "driver"))
    numbers = tmp_path / "numbers"
    monkeypatch.setenv("STAND_IN", str(numbers))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    offers._driver.cache_clear()

    return numbers


def say(numbers: Path, *used: int, processes: list[tuple[int, int]] | None = None) -> None:
    """Let the driver say how many GiB of 24 are used on each device."""
    devices = [
        {"total": 24 * GIB, "used": each * GIB, "processes": processes or []} for each in used
    ]
    draft = numbers.with_suffix(".new")
    draft.write_text(json.dumps(devices))
    draft.replace(numbers)


def test_a_run_is_told_its_devices_in_the_words_of_each_vendor(fleet: Fleet) -> None:
    fleet.start(concurrency=2, resources=("gpu=4,7,9", "memory=2G"))
    done = fleet.ran(["env"], needs={"gpu": "2", "memory": "1G"}, env={"ZE_AFFINITY_MASK": "1"})
    assert done.outcome
    variables = dict(line.partition("=")[::2] for line in done.outcome.stdout.splitlines())
    named = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
    assert [variables[name] for name in named] == ["4,7"] * 3
    assert variables["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert json.loads(variables["QUEUECTL_RESOURCES"]) == {"gpu": ["4", "7"], "memory": "1G"}
    plain = fleet.ran(["env"])
    assert plain.outcome
    assert "VISIBLE_DEVICES" not in plain.outcome.stdout
    assert "QUEUECTL_RESOURCES" not in plain.outcome.stdout


def test_a_worker_starts_a_job_as_soon_as_what_it_needs_is_given_back(fleet: Fleet) -> None:
    fleet.start(concurrency=4, resources=("gpu=0,1",))
    gate = "until [ -e go ]; do sleep 0.02; done"
    first = [fleet.enqueue(gate, needs={"gpu": "1"}) for _ in range(2)]
    for job_id in first:
        fleet.running(job_id)
    second = fleet.enqueue("true", needs={"gpu": "2"})
    assert fleet.ran("true").state is State.COMPLETED
    assert fleet.job(second).state is State.PENDING
    (fleet.root / "go").touch()
    assert fleet.settled(second).state is State.COMPLETED
    assert fleet.queue.store.resources.held() == []


def test_a_worker_of_one_slot_and_a_drain_take_jobs_with_needs_in_their_turn(fleet: Fleet) -> None:
    ids = [fleet.enqueue("true", needs={"gpu": "1"}) for _ in range(3)]
    never = fleet.enqueue("true", needs={"gpu": "2"})
    fleet.start(drain=True, resources=("gpu=0",))
    eventually(lambda: not fleet.pids())
    assert {fleet.job(job_id).state for job_id in ids} == {State.COMPLETED}
    assert fleet.job(never).state is State.PENDING


def test_the_driver_says_what_a_device_has_and_what_others_use(driver: Path) -> None:
    say(driver, 0, 20)
    assert with_gpu_memory((("gpu", "0,1"),)) == (
        ("gpu", "0,1"),
        ("gpu-memory", "0:24576M,1:24576M"),
    )
    declared = (("gpu", "0,5"), ("gpu-memory", "10G"))
    assert with_gpu_memory(declared) == declared
    assert with_gpu_memory((("memory", "1G"),)) == (("memory", "1G"),)


def test_what_processes_of_no_run_use_is_not_ours(driver: Path) -> None:
    say(driver, 10, processes=[(1, 6 * GIB)])
    import pynvml

    memory = GpuDriver(pynvml).memory("0")
    assert memory == DeviceMemory(24 * GIB, 10 * GIB)
    assert GpuDriver(pynvml).memory("3") is None
    assert GpuDriver(pynvml).memory("GPU-1") is None


def test_a_job_waits_for_memory_that_others_use(fleet: Fleet, driver: Path) -> None:
    say(driver, 20, 20)
    fleet.set(poll_interval_sec=0.05)
    fleet.start(concurrency=2, resources=("gpu=0,1",))
    job_id = fleet.enqueue("echo $CUDA_VISIBLE_DEVICES", needs={"gpu-memory": "10G"})
    assert fleet.ran("true").state is State.COMPLETED
    assert fleet.job(job_id).state is State.PENDING
    say(driver, 20, 4)
    done = fleet.settled(job_id)
    assert done.outcome
    assert done.outcome.stdout == "1\n"
