"""What a run used: its processor time, and the most memory of all its processes."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from queuectl.worker.runs.usage import Meter
from tests.worker.fleet import Fleet

MIB = 2**20
PYTHON = f"exec {sys.executable} -S -E"

linux = pytest.mark.skipif(sys.platform != "linux", reason="what runs use is read from /proc")


def holding(mebibytes: int, seconds: float = 0.0) -> str:
    """Return a line that has so much memory for so long."""
    return f"{PYTHON} -c 'import time; x = b\"x\" * ({mebibytes} << 20); time.sleep({seconds})'"


def used_by(*argv: str) -> resource.struct_rusage:
    """Return what a command used that this very process has started, as wait4 has it."""
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status, used = os.wait4(pid, 0)
    assert status == 0
    return used


@linux
def test_a_command_does_not_inherit_the_size_of_its_worker() -> None:
    large = b"x" * (300 * MIB)
    used = used_by("true")
    assert used.ru_maxrss * 1024 > len(large)  # which is what the kernel says
    assert 0 < Meter().peak(used, 0, 0.001) < 10 * MIB


@linux
def test_a_command_that_was_larger_than_its_worker_ever_was_is_believed() -> None:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = own + own // 2
    used = used_by(sys.executable, "-S", "-E", "-c", f"x = b'x' * {size}")
    assert size < Meter().peak(used, 0, 0.1) < size + 64 * MIB


@linux
@pytest.mark.parametrize(
    ("command", "least", "most"),
    [
        pytest.param("true", 0, 10, id="over at once"),
        pytest.param(["sleep", "0.3"], 0, 10, id="seen, and small"),
        pytest.param(holding(30, 0.3), 30, 60, id="seen"),
        pytest.param(holding(120), 120, 150, id="larger than its worker, and over at once"),
        pytest.param(
            f"({holding(20, 1)}) & ({holding(20, 1)}) & wait", 40, 80, id="several together"
        ),
    ],
)  # fmt: skip
def test_the_most_memory_of_a_run_is_that_of_all_its_processes(
    workers: Fleet, command: object, least: int, most: int
) -> None:
    peak = workers.outcome(command).peak_memory
    assert peak is not None
    assert least * MIB < peak < most * MIB


@linux
def test_a_process_that_has_lost_its_parent_counts(workers: Fleet, tmp_path: Path) -> None:
    script = tmp_path / "child"
    script.write_text(holding(30, 5))
    peak = workers.outcome(f"(setsid sh {script} &); sleep 1").peak_memory
    assert peak is not None
    assert peak > 30 * MIB


def test_the_processor_time_of_a_run_counts_what_it_has_waited_for(workers: Fleet) -> None:
    spin = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.2: pass"
    job = workers.ran(["sh", "-c", '"$0" -S -E -c "$1"; true', sys.executable, spin])
    assert job.outcome is not None
    cpu = job.outcome.cpu_seconds
    assert cpu is not None
    assert 0.2 <= cpu < 5
    (run,) = job.history
    assert (run.cpu_seconds, run.peak_memory) == (cpu, job.outcome.peak_memory)


def test_a_command_that_could_not_be_started_used_nothing(workers: Fleet) -> None:
    outcome = workers.outcome(["no-such-program-anywhere"])
    assert (outcome.cpu_seconds, outcome.peak_memory) == (None, None)


def test_the_usual_memory_of_a_command_is_the_most_of_its_last_runs(workers: Fleet) -> None:
    sizes = [workers.outcome("echo usual").peak_memory for _ in range(2)]
    assert workers.queue.usual_memory("echo usual") == max(size or 0 for size in sizes)
    assert workers.queue.usual_memory("echo never") is None
