"""The output of runs: which of it is wanted, where it is read, and how it is written."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from queuectl.domain.errors import NotFound
from queuectl.domain.frozen import fresh, frozen
from queuectl.domain.job import SETTLED, WAITING, Job, Outcome
from queuectl.presentation.console import on_terminal, print_hint
from queuectl.queue import Queue
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs

STREAMS = ("stdout", "stderr")
_CHUNK = 64 * 1024
_COLORS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


@frozen
class Choice:
    """Which output is wanted: of which streams, how many last lines, each with which prefix.

    Both streams go where they belong; one that is asked for alone goes to standard output.
    `has_worker` says that a worker was seen to, be it one that takes this job alone. What is
    followed begins with the first run instead of the latest where `from_first` says so.
    """

    streams: Sequence[str] = STREAMS
    lines: int | None = None
    prefixes: Mapping[str, str] = fresh(dict)
    has_worker: bool = False
    from_first: bool = False

    def write(self, stream: str, job_id: str, data: bytes) -> None:
        """Write whole lines (or what there is of the last) of one job."""
        if not data:
            return
        if self.prefixes:
            data = _prefixed(data, self.prefixes.get(job_id, f"{job_id}: "))
        is_error = stream == "stderr" and len(self.streams) > 1
        target = (sys.stderr if is_error else sys.stdout).buffer
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
    """One stream of one run: what of it has been read from its file."""

    def __init__(self, path: Path, last: int | None = None) -> None:
        """Begin with the `last` lines of what is there, with all unless said."""
        self._path = path
        self._kept = b""
        self._offset = offset_of_last(path, last) if last is not None and path.exists() else 0

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


def outputs(
    home: Home, job_id: str, run: int, choice: Choice, last: int | None
) -> dict[str, RunOutput]:
    """Return the streams that are wanted of one run, each from its `last` lines on."""
    logs = JobLogs(home)
    paths = {"stdout": logs.stdout(job_id, run), "stderr": logs.stderr(job_id, run)}
    return {stream: RunOutput(paths[stream], last) for stream in choice.streams}


def offset_of_last(path: Path, lines: int) -> int:
    """Return where the last `lines` lines of a file begin, reading it from its end."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        position, missing = end, lines + 1
        while position > 0:
            size = min(_CHUNK, position)
            position -= size
            file.seek(position)
            block = file.read(size)
            if position + size == end and not block.endswith(b"\n"):
                missing -= 1
            while missing > 0 and (at := block.rfind(b"\n")) >= 0:
                missing -= 1
                if missing == 0:
                    return position + at + 1
                block = block[:at]
    return 0


def print_run(queue: Queue, job: Job, run: int, choice: Choice) -> None:
    """Write the output of one run, from its log files, else from the job's record.

    Raises NotFound when it is in neither (it ran on another host, or the logs were removed).
    """
    logs = JobLogs(queue.home)
    if logs.stdout(job.id, run).exists() or logs.stderr(job.id, run).exists():
        for stream, output in outputs(queue.home, job.id, run, choice, choice.lines).items():
            while data := output.read(whole_lines=False):
                choice.write(stream, job.id, data)
    elif run != job.runs:
        raise NotFound(f"run {run} of job '{job.id}' left no output on this host")
    elif job.state in (*WAITING, *SETTLED):
        print_record(job, job.outcome or Outcome(), choice)


def print_record(job: Job, outcome: Outcome, choice: Choice) -> None:
    """Write the output that is in the record of a job."""
    for stream in choice.streams:
        if cut := getattr(outcome, f"{stream}_cut"):
            print_hint(
                f"job '{job.id}': the first {cut:,} bytes of {stream} are on the host that ran it"
            )
        lines = getattr(outcome, stream).splitlines(keepends=True)
        if choice.lines is not None:
            lines = lines[max(0, len(lines) - choice.lines) :]
        choice.write(stream, job.id, "".join(lines).encode())
