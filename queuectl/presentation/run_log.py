"""The output of one run as lines that are safe to show, read from its end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from queuectl.domain.frozen import frozen
from queuectl.domain.job import TAIL_BYTES, Job
from queuectl.domain.text import printable
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_MOST_LINES = 2000


@frozen
class LogWanted:
    """Which output the person reads.

    `run` None is the latest; `stream` None is standard output, or standard error where that is
    all there is.
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


@frozen
class _Stream:
    """The end of one stream; `size` counts all of its bytes."""

    data: bytes = b""
    size: int = 0


def read_log(queue: Queue, wanted: LogWanted) -> LogText:
    """Return the end of a run's output. Raises NotFound when the job is gone."""
    job = queue.get(wanted.job_id)
    run = min(wanted.run or job.runs, job.runs)
    if not run:
        return LogText(wanted, job, notice="it has not run yet")
    found = _streams(queue, job, run)
    if found is None:
        return LogText(wanted, job, run, notice="it left no output on this host")
    stream = wanted.stream or ("stdout" if found["stdout"].size else "stderr")
    if not any(each.size for each in found.values()):
        stream = wanted.stream or "stdout"
    shown = found[stream]
    text = shown.data.decode(errors="replace")
    lines = clean(text)
    is_cut = shown.size > len(shown.data) or len(lines) > _MOST_LINES
    sizes = (found["stdout"].size, found["stderr"].size)
    kept = tuple(lines[-_MOST_LINES:])
    return LogText(wanted, job, run, stream, kept, is_cut, sizes, text=text)


def _streams(queue: Queue, job: Job, run: int) -> dict[str, _Stream] | None:
    """Return what a run wrote, from its files, else from the record of the latest run."""
    logs = JobLogs(queue.home)
    paths = {"stdout": logs.stdout(job.id, run), "stderr": logs.stderr(job.id, run)}
    if any(path.exists() for path in paths.values()):
        return {stream: _tail(path) for stream, path in paths.items()}
    if run < job.runs or job.outcome is None:
        return None
    kept = {stream: getattr(job.outcome, stream).encode() for stream in paths}
    missing = {stream: getattr(job.outcome, f"{stream}_cut") for stream in paths}
    return {stream: _Stream(kept[stream], len(kept[stream]) + missing[stream]) for stream in paths}


def _tail(path: Path) -> _Stream:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return _Stream(file.read(TAIL_BYTES), size)
    except FileNotFoundError:
        return _Stream()


def clean(text: str) -> list[str]:
    """Return a text's lines as a terminal would leave them, without its colours and moves."""
    return [printable(line) for line in _overwritten(_ESCAPES.sub("", text).split("\n"))]


def _overwritten(lines: Iterable[str]) -> list[str]:
    """Return lines with only what a carriage return has not written over, tabs as blanks."""
    found = [line.rstrip("\r").rsplit("\r", 1)[-1].expandtabs(8) for line in lines]
    return found[:-1] if found and not found[-1] else found
