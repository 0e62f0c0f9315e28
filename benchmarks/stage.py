"""Where a benchmark plays: a home of its own, and processes that are ended whatever happens.

Linux only: it reads /proc, and has the daemons that its children start handed to itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from processes import PATIENCE_SECONDS, BenchError, end_descendants, kilobytes, wait_until

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
SLOTS = 64

_NOT_INHERITED = (
    "QUEUECTL_HOME QUEUECTL_STORE QUEUECTL_FOREGROUND MONGO_URI "
    "PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONPATH".split()
)
_DROP = """
import os, pymongo
with pymongo.MongoClient(os.environ["QUEUECTL_STORE"]) as client:
    client.drop_database(client.get_default_database())
"""


@dataclass(frozen=True)
class Program:
    """The queuectl that is measured, and the Python to compare its start with."""

    argv: tuple[str, ...]
    python: str
    store: str = ""
    path: str = ""

    @cached_property
    def has_slots(self) -> bool:
        """Whether one worker can run several jobs at once."""
        argv = [*self.argv, "worker", "start", "--help"]
        told = subprocess.run(argv, capture_output=True, env=self.environment(ROOT), check=True)
        return b"--concurrency" in told.stdout

    @classmethod
    def chosen(cls, command: str, store: str) -> Program:
        """Return an installed queuectl, or, without one, that of this checkout."""
        if not command:
            return cls((sys.executable, "-m", "queuectl"), sys.executable, store, str(ROOT))
        argv = tuple(shlex.split(command))
        found = shutil.which(argv[0])
        if found is None:
            raise BenchError(f"there is no program {argv[0]}")
        program = Path(found).absolute()  # each stage has a directory of its own
        beside = program.with_name("python")
        python = str(beside) if beside.exists() else sys.executable
        return cls((str(program), *argv[1:]), python, store)

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of everything that is measured."""
        inherited = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        own = {"QUEUECTL_HOME": str(home)}
        if self.path:
            own["PYTHONPATH"] = self.path
        if self.store:
            own["QUEUECTL_STORE"] = database_of_its_own(self.store)
        return {**inherited, **own}


def database_of_its_own(url: str) -> str:
    """Return the address of a database on the same server that nobody uses yet."""
    base, question, options = url.partition("?")
    scheme, _, rest = base.partition("://")
    server = rest.partition("/")[0]
    return f"{scheme}://{server}/queuectl_bench_{secrets.token_hex(6)}{question}{options}"


@dataclass(frozen=True)
class Workers:
    """So many workers, each of so many slots."""

    count: int = WORKERS
    slots: int = 1

    def options(self, program: Program) -> list[str]:
        """Return what starts them; where workers have one slot each, as many as there are slots."""
        if self.slots == 1 or not program.has_slots:
            return ["--count", str(self.count * self.slots)]
        return ["--count", str(self.count), "--concurrency", str(self.slots)]

    def way(self, program: Program) -> str:
        """Return what starts them where it is not what was asked for."""
        is_other = self.slots > 1 and not program.has_slots
        return " ".join(self.options(program)) if is_other else ""


PAIR = Workers()
CROWD = Workers(1, SLOTS)


@dataclass(frozen=True)
class Plan:
    """What to measure, and with how much."""

    program: Program
    rounds: int
    jobs: int
    backlog: int
    bulk: int
    settings: tuple[str, ...] = ()
    peers: Mapping[str, float] = field(default_factory=dict)


_ground: Path | None = None


@contextlib.contextmanager
def ground() -> Iterator[None]:
    """Have every stage set up in one directory, which is removed at the very end.

    For some seconds after many files were removed, ext4 takes twenty times as long to make one:
    it steps over each inode that was freed lately. A stage that was removed when it is left would
    slow the next one down.
    """
    global _ground
    _ground = Path(tempfile.mkdtemp(prefix="queuectl-bench-"))
    try:
        yield
    finally:
        shutil.rmtree(_ground, ignore_errors=True)
        _ground = None


class Stage:
    """A temporary home with an empty store. Leaving it ends everything; the files stay."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.home = Path(tempfile.mkdtemp(prefix="queuectl-bench-", dir=_ground))
        self.environment = program.environment(self.home)

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end_descendants()
        if self.program.store:
            self.run_program([self.program.python, "-c", _DROP])

    # commands

    def command(self, *args: str) -> list[str]:
        """Return a queuectl command line."""
        return [*self.program.argv, *args]

    def run(self, *args: str) -> str:
        """Run queuectl and return its standard output. Raises BenchError when it fails."""
        return self.run_program(self.command(*args))

    def run_program(self, argv: Sequence[str]) -> str:
        """Run a program here and return its standard output. Raises BenchError when it fails."""
        ended = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=self.environment, cwd=self.home, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        if ended.returncode:
            raise BenchError(f"{shlex.join(argv)}: exit {ended.returncode}: {ended.stderr[-500:]}")
        return ended.stdout

    def spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program here that says nothing."""
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=self.environment, cwd=self.home,
        )  # fmt: skip

    def timed(self, argv: Sequence[str], *, any_code: bool = False) -> float:
        """Return the seconds that a program takes from its start to its end."""
        begun = time.perf_counter()
        process = self.spawn(argv)
        code = process.wait()
        seconds = time.perf_counter() - begun
        if code and not any_code:
            raise BenchError(f"{shlex.join(argv)[:300]}: exit {code}")
        return seconds

    def peak_memory(self, argv: Sequence[str]) -> tuple[float, float]:
        """Run a program; return its seconds and the MB that it had in memory at most."""
        begun = time.perf_counter()
        process = self.spawn(argv)
        peak = 0
        while process.poll() is None:
            with contextlib.suppress(OSError):
                peak = max(peak, kilobytes(Path(f"/proc/{process.pid}/status"), "VmHWM"))
            time.sleep(0.005)
        seconds = time.perf_counter() - begun
        if process.returncode:
            raise BenchError(f"{shlex.join(argv)}: exit {process.returncode}")
        return seconds, peak / 1024

    # jobs

    def write_jobs(self, commands: Iterable[tuple[str, str]], **fields: object) -> Path:
        """Write a file of jobs from ids and commands, each with these fields too."""
        path = self.home / "jobs.jsonl"
        with path.open("w") as file:
            for job_id, command in commands:
                file.write(json.dumps({"id": job_id, "command": command, **fields}) + "\n")
        return path

    def enqueue(self, commands: Iterable[tuple[str, str]]) -> None:
        """Enqueue jobs from ids and commands."""
        path = self.write_jobs(commands, max_retries=1)
        self.timed(self.command("enqueue", "--file", str(path)))
        path.unlink()

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs are in each state."""
        counts: Mapping[str, int] = json.loads(self.run("status", "--json"))["counts"]
        return counts

    def check_completed(self, jobs: int) -> None:
        """Raise BenchError unless so many jobs are completed."""
        completed = self.counts()["completed"]
        if completed != jobs:
            raise BenchError(f"{completed} of {jobs} jobs are completed")

    def job(self, job_id: str) -> Mapping[str, Any]:
        """Return a job as `show --json` prints it."""
        job: Mapping[str, Any] = json.loads(self.run("show", job_id, "--json"))
        return job

    # workers

    def start_workers(self, workers: Workers = PAIR) -> None:
        """Start workers and wait until they can claim."""
        self.run("worker", "start", *workers.options(self.program))

    def drain(self, workers: Workers = PAIR) -> float:
        """Have workers run all that is queued; return the seconds, with their start and end."""
        options = ("--foreground", "--drain", *workers.options(self.program))
        return self.timed(self.command("worker", "start", *options))

    def work_until(self, is_so: Callable[[], bool], what: str, workers: Workers = PAIR) -> None:
        """Run workers until something is so, then let them finish what they have in hand."""
        options = workers.options(self.program)
        starting = self.spawn(self.command("worker", "start", *options))
        wait_until(lambda: is_so() or bool(starting.poll()), what)
        if starting.wait():
            raise BenchError(f"workers did not start: exit {starting.returncode}")
        self.stop_workers()

    def stop_workers(self) -> None:
        """Let the workers finish what they have in hand, and wait for them."""
        self.run("worker", "stop", "--timeout", "60")
        end_descendants()
