"""The output of runs: which of it is wanted, and how it is written."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import cycle

from queuectl.domain.errors import NotFound
from queuectl.domain.frozen import fresh, frozen
from queuectl.domain.job import SETTLED, WAITING, Job, Outcome
from queuectl.domain.text import text_alone
from queuectl.presentation.console import on_terminal, print_hint
from queuectl.presentation.terminal_text import TerminalText
from queuectl.queue import Queue
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_reader import STREAMS, RunReader

_LONGEST_LINE = 64 * 1024
"""What is longer is written in parts."""

_COLORS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


@frozen
class Choice:
    """Which output is wanted: of which streams, how many last lines, each with which prefix.

    Both streams go where they belong; one that is asked for alone goes to standard output.
    `has_worker` says that a worker was seen to, be it one that takes this job alone. What is
    followed begins with the first run instead of the latest where `from_first` says so. With
    `times` each line begins with when it was written.
    """

    streams: Sequence[str] = STREAMS
    lines: int | None = None
    prefixes: Mapping[str, str] = fresh(dict)
    has_worker: bool = False
    from_first: bool = False
    times: bool = False


def prefixes(ids: Sequence[str], *, colors: bool) -> dict[str, str]:
    """Return what each line of each job begins with.

    On a terminal the ids are padded to one width, a third of the line at most, and each job has a
    colour of its own.
    """
    if not on_terminal():
        return {job_id: f"{job_id}: " for job_id in ids}
    from shutil import get_terminal_size  # of several jobs at a terminal only

    widest = min(max(map(len, ids)), get_terminal_size().columns // 3)
    padded = {job_id: f"{job_id:<{widest}} │ " for job_id in ids}
    if not colors:
        return padded
    turns = zip(padded.items(), cycle(_COLORS))
    return {job_id: f"\x1b[{color}m{text}\x1b[0m" for (job_id, text), color in turns}


class RunPrinter:
    """Writes the output of one job as it comes; `ended` says that no more of a run will.

    No line of one stream is torn by the other. What goes to a terminal leaves that as it was, all
    else is written byte for byte; but of a job that `had_terminal` there is the text alone, as it
    would have written it into a file.
    """

    def __init__(self, job_id: str, choice: Choice) -> None:
        self.had_terminal = False
        prefix = ""
        if choice.prefixes:
            prefix = choice.prefixes.get(job_id, f"{job_id}: ")
        self._has_times = choice.times
        self._has_prefix = bool(prefix) or choice.times
        self._streams = {
            name: _Stream(
                prefix,
                is_error=name == "stderr" and len(choice.streams) > 1,
                has_prefix=self._has_prefix,
            )
            for name in choice.streams
        }
        self._latest: _Stream | None = None

    def take(self, reader: RunReader, *, is_over: bool = True) -> bool:
        """Write what a reader has that is new; return whether there was any."""
        has_any = False
        for name, data in reader.read(is_over=is_over):
            has_any = True
            if not self._has_times:
                self.write(name, data)
                continue
            stream = STREAMS.index(name)
            at = reader.at[stream] - len(data)
            for line in io.BytesIO(data):
                self.write(name, line, reader.written_at(stream, at))
                at += len(line)
        return has_any

    def write(self, stream: str, data: bytes, at: datetime | None = None) -> None:
        """Write the lines that are complete, and keep the rest of the last one.

        With times each line comes by itself, with the instant at which it was written.
        """
        into = self._streams[stream]
        if self._has_times and at is not None and not into.kept:
            into.time = f"{at.astimezone().isoformat(timespec='milliseconds')} "
        self._print(into, data)

    def rest(self, *, is_over: bool) -> None:
        """Write what was kept of unfinished lines, as it seems that no more comes for now.

        Behind a prefix, and where text alone is written, that waits until the run `is_over`.
        """
        if (self._has_prefix or self._is_plain) and not is_over:
            return
        for stream in self._streams.values():
            if stream.kept:
                self._print(stream, b"", is_whole=True)
        if is_over and self._latest is not None:
            self._latest.end_line()
            self._latest = None

    def _print(self, stream: _Stream, data: bytes, *, is_whole: bool = False) -> None:
        data = stream.kept + data
        cut = data.rfind(b"\n") + 1
        if is_whole or len(data) - cut >= _LONGEST_LINE:
            cut = len(data)
        stream.kept = data[cut:]
        if not cut:
            return
        if self._latest is not None and self._latest is not stream:
            self._latest.end_line()
        self._latest = stream
        stream.print(text_alone(data[:cut]) if self._is_plain else data[:cut])

    @property
    def _is_plain(self) -> bool:
        return self.had_terminal and not on_terminal()


class _Stream:
    """One stream of a job: where it goes, and what is kept of its last line."""

    def __init__(self, prefix: str, *, is_error: bool, has_prefix: bool) -> None:
        self._file = sys.stderr if is_error else sys.stdout
        self._prefix = prefix
        self._has_prefix = has_prefix
        self._text = TerminalText(is_line=has_prefix) if self._file.isatty() else None
        self._is_in_line = False
        self.kept = b""
        self.time = ""
        """When the line that comes next was written, to be shown behind the prefix."""

    def print(self, data: bytes) -> None:
        """Write something; behind a prefix, whole lines."""
        self._is_in_line = not self._has_prefix and not data.endswith(b"\n")
        if self._has_prefix:
            data = b"".join(map(self._prefixed, data.removesuffix(b"\n").split(b"\n")))
        elif self._text:
            data = self._text.feed(data).encode()
        sys.stdout.flush()
        self._file.buffer.write(data)
        self._file.flush()

    def end_line(self) -> None:
        """Begin a new line of a terminal, if this stream has left off within one."""
        if self._text and self._is_in_line:
            self.print(b"\n")

    def _prefixed(self, line: bytes) -> bytes:
        """Return a line behind the prefix, which no carriage return can take away."""
        mark = (self._prefix + self.time).encode()
        if self._text:
            return mark + self._text.feed(line + b"\n").encode()
        *over, last = line.removesuffix(b"\r").split(b"\r")
        kept = b"".join(mark + part + b"\r" for part in over)
        return kept + mark + last + line[len(line.removesuffix(b"\r")) :] + b"\n"


def print_run(queue: Queue, job: Job, run: int, choice: Choice) -> bool:
    """Write the output of one run, from its log files, else from the job's record.

    Returns whether there was any. Raises NotFound when it is in neither (it ran on another host,
    or the logs were removed).
    """
    with contextlib.ExitStack() as stack:
        remote = queue.remote_run(job, run)
        if remote is not None:
            stack.callback(remote.close)
            remote.finish()
        logs = remote.logs if remote is not None else queue.logs_of(job, run)
        return _print_files(queue, job, run, choice, logs)


def _print_files(queue: Queue, job: Job, run: int, choice: Choice, logs: JobLogs) -> bool:
    """Write the output of one run from its files, as `print_run` does."""
    if queue.log_trouble is not None:
        print_hint(f"note: {queue.log_trouble}")
    printer = RunPrinter(job.id, choice)
    printer.had_terminal = job.spec.pty
    reader = RunReader(logs, job.id, run, choice.streams, choice.lines)
    has_any = False
    try:
        if not reader.has_files:
            if run != job.runs:
                raise NotFound(f"run {run} of job '{job.id}' left no output on this host")
            if job.state not in (*WAITING, *SETTLED):
                return False  # the record has what the run before wrote
            return print_record(job, job.outcome or Outcome(), choice)
        has_any = printer.take(reader)
    finally:
        reader.close()
        printer.rest(is_over=True)
    return has_any or any(reader.sizes)


def print_record(job: Job, outcome: Outcome, choice: Choice) -> bool:
    """Write the output that is in the record of a job; return whether there was any.

    The time of its lines is that of its end.
    """
    printer, has_any = RunPrinter(job.id, choice), False
    printer.had_terminal = job.spec.pty
    for stream in choice.streams:
        if cut := getattr(outcome, f"{stream}_cut"):
            print_hint(
                f"job '{job.id}': the first {cut:,} bytes of {stream} are on the host that ran it"
            )
        lines = getattr(outcome, stream).splitlines(keepends=True)
        has_any = has_any or bool(lines)
        if choice.lines is not None:
            lines = lines[max(0, len(lines) - choice.lines) :]
        for line in lines if choice.times else ["".join(lines)]:
            printer.write(stream, line.encode(), job.finished_at)
    printer.rest(is_over=True)
    return has_any
