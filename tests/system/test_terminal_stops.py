"""Who bears the mark of our commands: they do, and workers; what they start does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.system import lock_holder
from tests.worker.fleet import eventually, fleet_in, pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such marks")


def is_ours(pid: int) -> bool:
    holder = lock_holder._described(pid)
    return holder is not None and holder.is_ours


def test_a_command_bears_the_mark(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "queuectl", "--home", str(tmp_path), "enqueue", "--file", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    ) as command:
        assert eventually(lambda: is_ours(command.pid))


def test_workers_bear_the_mark_and_their_jobs_do_not(tmp_path: Path) -> None:
    with fleet_in(tmp_path) as fleet:
        workers = fleet.start(2)
        fleet.enqueue("echo $$ > pid; sleep 60")
        (job,) = eventually(lambda: pids_in(fleet.root / "pid"))
        assert all(is_ours(pid) for pid in workers)
        assert not is_ours(job)


def test_a_program_that_uses_queuectl_does_not_bear_the_mark(tmp_path: Path) -> None:
    opened = f"open_queue({str(tmp_path)!r})"
    program = f"from queuectl import open_queue; {opened}; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert not is_ours(process.pid)
