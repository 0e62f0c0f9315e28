"""The output of one run as lines that are safe to show, read from its end."""

from __future__ import annotations

import re
from pathlib import Path

from queuectl.domain.frozen import frozen
from queuectl.domain.job import TAIL_BYTES, Job, State
from queuectl.domain.text import printable
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_reader import STREAMS, RunReader, whole_lines

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_MOST_LINES = 2000
_LAST_LINE_BYTES = 4096

_NO_OUTPUT = "it left no output on this host"

BOTH = "both"
"""Names both streams, in the order in which they came."""


@frozen
class LogWanted:
    """Which output the person reads.

    `run` None is the latest; `stream` None is all that there is.
    """

    job_id: str
    run: int | None = None
    stream: str | None = None


@frozen
class LogText:
    """What there is of it: `text` as it was written, `lines` without colours and moves.

    `cut` says that there is more before its beginning.
    """

    wanted: LogWanted
    job: Job | None
    run: int = 0
    stream: str = "stdout"
    lines: tuple[str, ...] = ()
    cut: bool = False
    sizes: tuple[int, int] = (0, 0)
    notice: str = ""
    text: str = ""

    @property
    def size(self) -> int:
        """How many bytes there are in all of what is shown."""
        return sum(self.sizes) if self.stream == BOTH else self.sizes[self.stream == "stderr"]

    @property
    def streams(self) -> tuple[str, ...]:
        """What one may turn to: each stream, and both where both have something."""
        return (BOTH, *STREAMS) if all(self.sizes) else STREAMS


def read_log(queue: Queue, wanted: LogWanted) -> LogText:
    """Return the end of a run's output. Raises NotFound when the job is gone."""
    job = queue.get(wanted.job_id)
    run = min(wanted.run or job.runs, job.runs)
    if not run:
        return LogText(wanted, job, notice="it has not run yet")
    ends = _ends(queue, job, run)
    if ends is None:
        is_coming = queue.mirror is not None and _goes_on(job, run)
        notice = "nothing of its output is here yet" if is_coming else _NO_OUTPUT
        return LogText(wanted, job, run, notice=notice)
    sizes = (ends["stdout"][1], ends["stderr"][1])
    stream = wanted.stream or (BOTH if all(sizes) else "stderr" if sizes[1] else "stdout")
    data, size = _end_of_both(queue, job, run, ends) if stream == BOTH else ends[stream]
    text = data.decode(errors="replace")
    lines = clean(text)
    is_cut = size > len(data) or len(lines) > _MOST_LINES
    return LogText(wanted, job, run, stream, tuple(lines[-_MOST_LINES:]), is_cut, sizes, text=text)


def last_line(queue: Queue, job: Job) -> str:
    """Return the latest line that a job's run has written on this host; nothing for none.

    Of a progress bar that is how it looks now. It is of the stream that was written last.
    """
    logs = JobLogs(queue.home)
    written: list[tuple[float, Path]] = []
    for path in (logs.stdout(job.id, job.runs), logs.stderr(job.id, job.runs)):
        try:
            stat = path.stat()
        except OSError:
            continue
        if stat.st_size:
            written.append((stat.st_mtime, path))
    if not written:
        return ""
    data, _ = _end(max(written)[1], _LAST_LINE_BYTES)
    lines = [line.strip() for line in clean(data.decode(errors="replace"))]
    return next((line for line in reversed(lines) if line), "")


def _ends(queue: Queue, job: Job, run: int) -> dict[str, tuple[bytes, int]] | None:
    """Return the end of each stream of a run and its whole size, in bytes.

    They are in its files, or for the latest run in the job's record.
    """
    logs = queue.logs_of(job, run)
    paths = {"stdout": logs.stdout(job.id, run), "stderr": logs.stderr(job.id, run)}
    if any(path.exists() for path in paths.values()):
        return {stream: _end(path) for stream, path in paths.items()}
    if run < job.runs or job.outcome is None or _goes_on(job, run):
        return None  # while one goes on, the record has what the run before wrote
    kept = {stream: getattr(job.outcome, stream).encode() for stream in paths}
    missing = {stream: getattr(job.outcome, f"{stream}_cut") for stream in paths}
    return {stream: (data, len(data) + missing[stream]) for stream, data in kept.items()}


def _goes_on(job: Job, run: int) -> bool:
    return job.state is State.PROCESSING and run == job.runs


def _end_of_both(
    queue: Queue, job: Job, run: int, ends: dict[str, tuple[bytes, int]]
) -> tuple[bytes, int]:
    """Return the end of both streams and their size; their order is not in a record."""
    size = sum(each for _, each in ends.values())
    reader = RunReader(queue.logs_of(job, run), job.id, run)
    try:
        if not reader.has_files:
            return b"".join(data for data, _ in ends.values()), size
        reader.skip_to_last(TAIL_BYTES)
        return b"".join(piece.data for piece in whole_lines(reader.read())), size
    finally:
        reader.close()


def _end(path: Path, most: int = TAIL_BYTES) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            return file.read(most), size
    except FileNotFoundError:
        return b"", 0


def clean(text: str) -> list[str]:
    """Return a text's lines as a terminal would leave them, without its colours and moves.

    Of a line there is what a carriage return has not written over; tabs are blanks.
    """
    lines = [
        printable(line.rstrip("\r").rsplit("\r", 1)[-1].expandtabs(8))
        for line in _ESCAPES.sub("", text).split("\n")
    ]
    return lines if lines[-1] else lines[:-1]
