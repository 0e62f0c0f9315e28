"""What the tests of this folder share: disks of their own, command lines, jobs that wait."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queuectl.cli.app import execute
from queuectl.cli.session import Session
from queuectl.domain.job import Job
from tests.cli.harness import Result
from tests.worker.fleet import Fleet, eventually


def command(home: Path, *args: str) -> Result:
    """Run one command line for a home in this process, and see that it told no more than it may.

    An error is one line and never a traceback.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = execute(["--home", str(home), *args], Session())
    result = Result(code, out.getvalue(), err.getvalue())
    assert "Traceback" not in result.err
    assert "-v shows where" not in result.err
    return result


def refusal(home: Path, *args: str) -> str:
    """Run a command line that the store refuses: exit code 5 and one line, which is returned."""
    result = command(home, *args)
    assert result.code == 5, result
    assert result.err.startswith("queuectl: "), result
    assert result.err.count("\n") == 1, result
    return result.err


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """A file system of its own at `place`, taken away in the end; needs root on Linux."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a file system needs root on Linux")
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *options, str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")
    try:
        yield place
    finally:
        # lazily, so that it is gone even if a process that is being killed still holds it
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def small_disk(place: Path, size: str, files: int = 0) -> Iterator[Path]:
    """A disk that holds no more than `size`, and no more than so many files where that is said."""
    options = f"size={size},nr_inodes={files},mode=0700"
    with mounted(place, "-t", "tmpfs", "-o", options, "tmpfs") as disk:
        yield disk


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """A directory that nobody can write into, not even root."""
    with mounted(place, "--bind", "-o", "ro", str(place)):
        yield


def fill(disk: Path) -> Path:
    """Use up a disk to its last byte; return the file that takes the room."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 1024, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    assert _is_full(disk)
    return filler


def _is_full(disk: Path) -> bool:
    try:
        (disk / "more").write_bytes(b"x")
    except OSError as fault:
        return fault.errno == errno.ENOSPC
    finally:
        (disk / "more").unlink(missing_ok=True)
    return False


def gated(fleet: Fleet, then: str = "true") -> str:
    """Return a command that notes each of its runs and goes on when `open_gate` lets it."""
    gate = f"until [ -e {fleet.root}/go ]; do sleep 0.02; done"
    return f"echo $QUEUECTL_ATTEMPT >> ran; {gate}; {then}"


def open_gate(fleet: Fleet) -> None:
    """Let gated commands go on."""
    (fleet.root / "go").touch()


def runs_begun(fleet: Fleet) -> int:
    """Return how often a gated command was begun."""
    noted = fleet.root / "ran"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def begun(fleet: Fleet, job_id: str) -> Job:
    """Wait until a job's gated command runs, and return the job."""
    job = fleet.running(job_id)
    eventually(lambda: runs_begun(fleet) > 0)
    return job


def in_hand(
    fleet: Fleet,
    job_id: str | None = None,
    *,
    workers: int = 1,
    then: str = "true",
    **fields: object,
) -> Job:
    """Start workers, if any are wanted, and return a job whose gated command one of them runs."""
    added = fleet.enqueue(gated(fleet, then), job_id, **fields)
    if workers:
        fleet.start(workers)
    return begun(fleet, added)
