"""Following the output of jobs while they run, over their retries, until they are settled."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from itertools import cycle
from pathlib import Path
from typing import IO

from queuectl.cli.jobs.show import clock_of
from queuectl.cli.session import on_terminal, print_hint
from queuectl.domain.errors import CannotStart, NotFound, QueuectlError
from queuectl.domain.frozen import frozen
from queuectl.domain.job import SETTLED, WAITING, Job, Outcome
from queuectl.domain.views import NO_WORKER, exit_code, reason
from queuectl.presentation import tables
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.system.polling import ROOTS_SECONDS, Pace

STREAMS = ("stdout", "stderr")
_POLL_SECONDS = (0.01, 0.2)
_CHUNK = 64 * 1024
_COLORS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


@frozen
class Choice:
    """Which output is wanted: of which streams, how many last lines, each with which prefix.

    Both streams go where they belong; one that is asked for alone goes to standard output.
    `has_worker` says that a worker was seen to, be it one that takes this job alone.
    """

    streams: Sequence[str] = STREAMS
    lines: int | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    has_worker: bool = False

    def target(self, stream: str) -> IO[bytes]:
        """Return where a stream is written."""
        is_error = stream == "stderr" and len(self.streams) > 1
        return (sys.stderr if is_error else sys.stdout).buffer

    def write(self, stream: str, job_id: str, data: bytes) -> None:
        """Write whole lines (or what there is of the last) of one job."""
        if not data:
            return
        target = self.target(stream)
        if self.prefixes:
            data = _prefixed(data, self.prefixes.get(job_id, f"{job_id}: "))
        sys.stdout.flush()
        target.write(data)
        target.flush()


def prefixes(ids: Sequence[str], *, colors: bool) -> dict[str, str]:
    """Return what each line of each job begins with.

    On a terminal the ids are padded to one width, and each job has a colour of its own.
    """
    if not on_terminal():
        return {job_id: f"{job_id}: " for job_id in ids}
    widest = max(map(len, ids))
    padded = {job_id: f"{job_id:<{widest}} │ " for job_id in ids}
    if not colors:
        return padded
    turns = zip(padded.items(), cycle(_COLORS))
    return {job_id: f"\x1b[{color}m{text}\x1b[0m" for (job_id, text), color in turns}


def _prefixed(data: bytes, prefix: str) -> bytes:
    """Return whole lines with a prefix; with a coloured one, a line's own colours end with it."""
    mark, is_colored = prefix.encode(), "\x1b" in prefix
    lines = data.removesuffix(b"\n").split(b"\n")
    ends = (b"\x1b[0m\n" if is_colored and b"\x1b" in line else b"\n" for line in lines)
    return b"".join(mark + line + end for line, end in zip(lines, ends, strict=True))


class RunOutput:
    """One stream of one run: what of it has been read, from its file or from the record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._kept = b""

    def skip_to_last(self, lines: int) -> None:
        """Leave out all but the last lines of what is there."""
        if self._path.exists():
            self._offset = offset_of_last(self._path, lines)

    def read(self, *, whole_lines: bool) -> bytes:
        """Return what is new; with `whole_lines` an unfinished line is kept back."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            data = b""
        self._offset += len(data)
        data = self._kept + data
        cut = data.rfind(b"\n") + 1 if whole_lines and len(data) < _CHUNK else len(data)
        self._kept = data[cut:]
        return data[:cut]


def offset_of_last(path: Path, lines: int) -> int:
    """Return where the last `lines` lines of a file begin, reading it from its end."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        position, wanted = end, lines + 1
        while position > 0:
            size = min(_CHUNK, position)
            position -= size
            file.seek(position)
            block = file.read(size)
            if position + size == end and not block.endswith(b"\n"):
                wanted -= 1
            while wanted > 0 and (at := block.rfind(b"\n")) >= 0:
                wanted -= 1
                if wanted == 0:
                    return position + at + 1
                block = block[:at]
    return 0


def last_lines(text: str, lines: int | None) -> str:
    """Return the last lines of a text."""
    kept = text.splitlines(keepends=True)
    return "".join(kept[max(0, len(kept) - lines) :]) if lines is not None else text


def print_run(queue: Queue, job: Job, run: int, choice: Choice) -> None:
    """Write the output of one run, from its log files, else from the job's record.

    Raises NotFound when it is in neither (it ran on another host, or the logs were removed).
    """
    logs = JobLogs(queue.home)
    paths = {"stdout": logs.stdout(job.id, run), "stderr": logs.stderr(job.id, run)}
    if any(path.exists() for path in paths.values()):
        for stream in choice.streams:
            output = RunOutput(paths[stream])
            if choice.lines is not None:
                output.skip_to_last(choice.lines)
            while data := output.read(whole_lines=False):
                choice.write(stream, job.id, data)
    elif run == job.runs and job.state not in (*WAITING, *SETTLED):
        return
    elif run == job.runs:
        _print_record(job, job.outcome or Outcome(), choice)
    else:
        raise NotFound(f"run {run} of job '{job.id}' left no output on this host")


def _print_record(job: Job, outcome: Outcome, choice: Choice) -> None:
    for stream in choice.streams:
        if cut := getattr(outcome, f"{stream}_cut"):
            print_hint(
                f"job '{job.id}': the first {cut:,} bytes of {stream} are on the host that ran it"
            )
        text = last_lines(getattr(outcome, stream), choice.lines)
        choice.write(stream, job.id, text.encode())


class Follower:
    """Follows one job: writes what is new, announces retries, notices the end."""

    def __init__(self, queue: Queue, job_id: str, choice: Choice) -> None:
        self._queue = queue
        self._job_id = job_id
        self._choice = choice
        self._run = 0
        self._announced = 0  # the latest run that was told of
        self._is_told = False
        self._roots = Pace(ROOTS_SECONDS)
        self._outputs: dict[str, RunOutput] = {}
        self.settled: Job | None = None

    def step(self) -> bool:
        """Write what there is; return whether anything was new.

        Raises CannotStart for a job that waits for what will not come by itself, or NotFound.
        """
        job = self._queue.get(self._job_id)  # before the files, so that none is left out
        is_new = self._announced == 0 and self._run == 0
        if is_new:
            self._announced = max((run.n for run in job.history if run.n < job.runs), default=0)
        found = False
        for run in range(self._run or max(1, job.runs), job.runs + 1):
            if run != self._run:
                found = self._pump(ended=True) or found
                self._turn_to(run)
            is_over = run < job.runs or job.finished_at is not None
            found = self._pump(ended=is_over) or found
            if is_over:
                self._announce(job)
        if job.state in SETTLED:
            self._finish(job)
        elif job.blocked_by and self._roots.is_due:
            with self._roots.look():
                stuck = self._queue.cannot_start()(job)
            if stuck:
                raise stuck
        if is_new:
            self._tell_of_waiting(job)
        return found

    def _tell_of_waiting(self, job: Job) -> None:
        """Tell, once, what a job that does not run yet waits for; a script of workers alone."""
        if self._is_told or job.state not in WAITING:
            return
        self._is_told = True
        clock = clock_of(self._queue)
        if sys.stderr.isatty():
            why = reason(job, clock.now, clock.at, clock.wait_context) or ""
        else:
            why = clock.wait_context.unserved(job.spec.queue) or ""
        if not why or self._queue.get(job.id).state not in WAITING:
            return  # the worker that ran it meanwhile may have left
        if why == NO_WORKER and not self._choice.has_worker:
            print_hint(f"job '{job.id}' is {job.state}, and {why}: queuectl worker start")
        elif why != NO_WORKER and not why.endswith("due"):
            print_hint(f"job '{job.id}' is {job.state}: {why}")

    def _turn_to(self, run: int) -> None:
        if run > 1:
            print_hint(f"job '{self._job_id}': run {run}")
        logs = JobLogs(self._queue.home)
        paths = {"stdout": logs.stdout, "stderr": logs.stderr}
        self._outputs = {
            stream: RunOutput(paths[stream](self._job_id, run)) for stream in self._choice.streams
        }
        if self._run == 0 and self._choice.lines is not None:
            for output in self._outputs.values():
                output.skip_to_last(self._choice.lines)
        self._run = run

    def _pump(self, *, ended: bool) -> bool:
        found = False
        for stream, output in self._outputs.items():
            while data := output.read(whole_lines=bool(self._choice.prefixes) and not ended):
                self._choice.write(stream, self._job_id, data)
                found = True
        return found

    def _announce(self, job: Job) -> None:
        """Tell of every run that ended and is not the last."""
        for entry in job.history:
            if entry.n <= self._announced:
                continue
            self._announced = entry.n
            if entry.n < job.runs or job.state in WAITING:
                why = reason(job, self._queue.now(), clock_of(self._queue).at)
                what = why if entry.n == job.runs else "tried again"
                print_hint(f"job '{job.id}': {entry.error or 'completed'} (run {entry.n}); {what}")

    def _finish(self, job: Job) -> None:
        logs = JobLogs(self._queue.home)
        if job.runs and not logs.stdout(job.id, job.runs).exists() and job.outcome:
            _print_record(job, job.outcome, self._choice)
        self.settled = job


def follow(
    queue: Queue,
    ids: Sequence[str],
    choice: Choice,
    on_end: Callable[[Job], None],
    on_refusal: Callable[[QueuectlError], None] | None = None,
) -> list[Job]:
    """Write the output of jobs as it comes; return them when all are settled.

    `on_end` is called for each when it is. One that is deleted or cannot start is left out, and
    `on_refusal` called with the NotFound or CannotStart; without it that is raised.
    """
    active = [Follower(queue, job_id, choice) for job_id in ids]
    settled: list[Job] = []
    shortest, longest = _POLL_SECONDS
    pause = shortest
    while True:
        found = False
        for follower in list(active):
            try:
                found = follower.step() or found
            except (NotFound, CannotStart) as gone:
                if on_refusal is None:
                    raise
                on_refusal(gone)
                active.remove(follower)
                continue
            if follower.settled is not None:
                active.remove(follower)
                settled.append(follower.settled)
                on_end(follower.settled)
        if not active:
            return settled
        pause = shortest if found else min(pause * 1.5, longest)
        time.sleep(pause)


def ending(job: Job) -> str:
    """Return how a settled job ended, as a line: `job 'a' completed in 5.0 s`."""
    took = f" in {tables.duration(job.outcome.duration)}" if job.outcome and job.runs else ""
    error = f": {job.last_error}" if job.last_error and exit_code(job) else ""
    return f"job '{job.id}' {job.state}{took}{error}"
