"""What tests of workers share: a home with real worker processes, and ways to wait for things."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.resources import parse_capacities
from queuectl.domain.worker_record import WorkerRecord
from queuectl.queue import Queue
from queuectl.system import pidfile
from queuectl.system.home import Home, Location
from queuectl.system.processes import identify, send_signal
from queuectl.system.run_processes import children_of, kill_run, members
from queuectl.worker.options import Timings
from queuectl.worker.supervision import manager

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.01


def eventually(look: Callable[[], T | Literal[False]], within: float = PATIENCE_SECONDS) -> T:
    """Return what `look` gives as soon as it is true; fail when it never is."""
    ends_at = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < ends_at, f"not within {within:g} s"
        time.sleep(_LOOK_SECONDS)
    return found


def lives(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return identify(pid) is not None


def pids_in(path: Path) -> list[int]:
    """Return the process ids that commands wrote into a file, one a line."""
    text = path.read_text() if path.exists() else ""
    return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Fleet:
    """A home, its queue, and the workers that the test starts there, at the pace of `timings`."""

    timings = Timings()

    def __init__(self, root: Path, store_url: str | None = None) -> None:
        home = Home(root / "home")
        self.root = root
        self.location = Location(home, store_url or str(home.store_file))
        self.queue = Queue.open(self.location)
        self.supervisors: set[int] = set()

    @property
    def home(self) -> Home:
        """The fleet's home."""
        return self.location.home

    # jobs

    def enqueue(self, command: object, job_id: str | None = None, **fields: object) -> str:
        """Enqueue one job and return its id."""
        wanted = {"command": command, "cwd": str(self.root), **fields}
        if job_id is not None:
            wanted["id"] = job_id
        return self.enqueue_all([wanted])[0]

    def enqueue_all(self, wanted: Iterable[dict[str, object]]) -> list[str]:
        """Enqueue many jobs, given as their fields, and return their ids."""
        settings = self.queue.settings()
        requests = [self.queue.request(fields, settings) for fields in wanted]
        added = self.queue.enqueue(requests)
        assert not any(result.error for result in added)
        return [result.job_id for result in added]

    def job(self, job_id: str) -> Job:
        """Return a job with output and history."""
        return self.queue.get(job_id)

    def settled(self, job_id: str, within: float = PATIENCE_SECONDS) -> Job:
        """Wait until a job is completed, dead or cancelled, and return it."""
        return next(self.queue.wait([job_id], within))

    def ran(self, command: object, **fields: Any) -> Job:
        """Enqueue a job that gets one attempt, wait for its end and return it."""
        wanted = {"command": command, "cwd": str(self.root), "max_retries": 1, **fields}
        return self.settled(self.enqueue_all([wanted])[0])

    def outcome(self, command: object, **fields: Any) -> Outcome:
        """Enqueue a job that gets one attempt, wait for its end and return how that run ended."""
        outcome = self.ran(command, **fields).outcome
        assert outcome is not None
        return outcome

    def claimed(self, job_id: str) -> Job:
        """Wait until a worker has a job, and return it; its command may have ended already."""
        return eventually(lambda: (job := self.job(job_id)).state is State.PROCESSING and job)

    def running(self, job_id: str) -> Job:
        """Wait until a job's command runs, not only until it is claimed, and return the job."""

        def look() -> Job | Literal[False]:
            job = self.job(job_id)
            return job.state is State.PROCESSING and bool(run_members(job)) and job

        return eventually(look)

    def set(self, **settings: object) -> None:
        """Store settings."""
        for key, value in settings.items():
            self.queue.set_setting(key, value)

    # workers

    def start(
        self,
        count: int = 1,
        *,
        queues: tuple[str, ...] = (),
        drain: bool = False,
        concurrency: int | None = None,
        resources: tuple[str, ...] = (),
    ) -> list[int]:
        """Start workers in the background and return their pids."""
        pids = manager.start(
            self.location,
            count=count,
            queues=queues,
            drain=drain,
            concurrency=concurrency,
            resources=parse_capacities(resources),
            timings=self.timings,
        )
        self.supervisors.update(self.pids(pidfile.SUPERVISOR))
        return pids

    def stop(self, *, now: bool = False, timeout: float | None = PATIENCE_SECONDS) -> list[int]:
        """Stop the workers and return the pids of those that are left."""
        return manager.stop(self.location, now=now, timeout=timeout).left

    def pids(self, role: str = pidfile.WORKER) -> list[int]:
        """Return the pids of the living workers (or supervisors)."""
        return [e.process.pid for e in pidfile.living(self.home) if e.role == role]

    def worker_of(self, job: Job) -> WorkerRecord:
        """Return the registered worker that has a job in hand."""
        return next(record for record in self.queue.store.workers.all() if record.id == job.worker)

    def log(self) -> str:
        """Return what the workers have logged, all files together."""
        return "".join(path.read_text() for path in sorted(self.home.worker_logs.glob("*.log")))

    # the end

    def kill(self) -> None:
        """Leave nothing running: kill the workers, and see that what they ran has died."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while entries := pidfile.living(self.home):
            for entry in sorted(entries, key=lambda entry: entry.role != pidfile.SUPERVISOR):
                if entry.role == pidfile.SUPERVISOR:
                    kill_workers_of(entry.process.pid)
                send_signal(entry.process, signal.SIGKILL)
            assert time.monotonic() < ends_at, "workers cannot be killed"
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """End workers and their jobs, and close the queue."""
        try:
            every = self.queue.store.find(Filter(), Page())  # deliveries of hooks, too
            held = [job.claim.id for job in every if job.claim]
        finally:
            self.kill()
        for claim_id in held:
            kill_run(claim_id, None)
        self.queue.close()


def kill_workers_of(supervisor: int) -> None:
    """Kill a supervisor's workers, those too that it forked just now and that no file names yet.

    Guards live on: what their worker ran is theirs to end. The supervisor is stopped first, so
    that it forks no more; a worker may let it go on, so it is killed by the caller at once.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(supervisor, signal.SIGSTOP)
    for child in children_of(supervisor):
        with contextlib.suppress(OSError):
            if not Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"guard of a worker"):
                os.kill(child, signal.SIGKILL)


@contextmanager
def fleet_in(root: Path, store_url: str | None = None) -> Iterator[Fleet]:
    """A fleet without workers yet; in the end nothing of it runs."""
    fleet = Fleet(root, store_url)
    try:
        yield fleet
    finally:
        fleet.close()


@contextmanager
def innocent(*command: str) -> Iterator[int]:
    """A process that has nothing to do with any worker; its pid. It must not be harmed."""
    pid = os.posix_spawnp("sleep", list(command) or ["sleep", "60"], os.environ, setsid=True)
    try:
        yield pid
        assert lives(pid), "an innocent process was killed"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def run_members(job: Job) -> list[int]:
    """Return the living processes of a job's run."""
    assert job.claim is not None
    return members(job.claim.id, None)
