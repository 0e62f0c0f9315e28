"""What workers log: a line an event, for people or as JSON, with the worker and the job in hand.

On a terminal a person reads it. In the background each process has a file of its own
(`log_files.py`), so no two ever write into one, and no line is torn by another.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from queuectl.domain.job import Job
from queuectl.domain.text import printable, without_passwords
from queuectl.domain.times import from_millis, iso
from queuectl.system.home import Home
from queuectl.system.worker_logs import worker_log
from queuectl.worker import log_files

_LOGGER = logging.getLogger("queuectl")
_JSON = "json"
_PLAIN = logging.Formatter()


@dataclass(slots=True)
class _Context:
    """Who logs, and about which run. A process has one, and so have all of its threads."""

    role: str = "supervisor"
    worker: str = ""
    job: Job | None = None


_context = _Context()


def log_to_terminal(log_format: str) -> None:
    """Log to standard output, the start of each job too: for a person, or for a collector.

    JSON is written only where standard output is no terminal.
    """
    handler = logging.StreamHandler(sys.stdout)
    is_json = log_format == _JSON and not sys.stdout.isatty()
    handler.setFormatter(_Json() if is_json else _Text(is_file=False))
    _log_with(handler, logging.DEBUG)


def log_to_file(home: Home, log_format: str) -> int:
    """Log into a file of this process, a supervisor in the background; return its descriptor.

    Raises StoreUnavailable or StoreRefused when it cannot be opened.
    """
    handler = log_files.LogFile(home.worker_logs / log_files.supervisor_log())
    _log_with(handler, logging.INFO)
    use_format(log_format)
    return handler.fileno()


def be_worker(home: Home, worker_id: str, role: str = "worker") -> None:
    """Log as a worker (or its like) from now on, in a file of its own if its supervisor has one.

    Raises StoreUnavailable or StoreRefused when it cannot be opened.
    """
    _context.role, _context.worker = role, worker_id
    for handler in _LOGGER.handlers:
        if isinstance(handler, log_files.LogFile):
            log_files.forget_old(home.worker_logs)
            own = log_files.LogFile(home.worker_logs / worker_log(worker_id))
            own.setFormatter(handler.formatter)
            _LOGGER.handlers[:] = [own]
            handler.close()
            return


def use_format(log_format: str) -> None:
    """Write files in another format from now on: `text` or `json`."""
    for handler in _LOGGER.handlers:
        if isinstance(handler, log_files.LogFile):
            is_json = log_format == _JSON
            if not isinstance(handler.formatter, _Json if is_json else _Text):
                handler.setFormatter(_Json() if is_json else _Text(is_file=True))


def _log_with(handler: logging.Handler, level: int) -> None:
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False
    # What no line shows is not looked up for each: https://docs.python.org/3/howto/logging.html
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None


class _Text(logging.Formatter):
    """Lines for people: `2030-01-31T14:30:05.123 [worker 471, job a, attempt 1] …`.

    On a terminal there is neither the date nor the job, which the text names.
    """

    def __init__(self, *, is_file: bool) -> None:
        super().__init__()
        self._is_file = is_file
        self._second = -1
        self._date = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line, with the traceback below it."""
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        message = _PLAIN.format(record) if record.exc_info else record.getMessage()
        head, *below = message.split("\n") if record.exc_info else [message]
        text = self.line((level if self._is_file else "") + head, record.created)
        return "\n".join([text, *(without_passwords(line) for line in below)])

    def line(self, text: str, moment: float) -> str:
        """Return a line that says something of a moment, in seconds since 1970."""
        if not self._is_file:
            return f"[{_context.role} {os.getpid()}] {without_passwords(text)}"
        second = int(moment)
        if second != self._second:  # formatted once a second, not for every line
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second))
        job = _context.job
        about = f", job {job.id}, attempt {job.attempts}" if job else ""
        beginning = f"{self._date}.{int((moment - second) * 1000):03d}"
        said = printable(without_passwords(text))
        return f"{beginning} [{_context.role} {os.getpid()}{about}] {said}"


class _Json(logging.Formatter):
    """Lines for programs: one JSON object an event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line; a traceback is in `exception`."""
        trace = _PLAIN.formatException(record.exc_info) if record.exc_info else ""
        return self.line(record.getMessage(), record.created, record.levelname, record.name, trace)

    def line(
        self, text: str, moment: float, level: str = "INFO", logger: str = "", trace: str = ""
    ) -> str:
        """Return a line that says something of a moment, in seconds since 1970."""
        job = _context.job
        event: dict[str, Any] = {
            "time": iso(from_millis(int(moment * 1000))),
            "level": level.lower(),
            "logger": logger or f"{_LOGGER.name}.worker",
            "process": _context.role,
            "pid": os.getpid(),
            "worker": _context.worker or None,
            "job": job.id if job else None,
            "run": job.runs if job else None,
            "attempt": job.attempts if job else None,
            "message": without_passwords(text),
        }
        if trace:
            event["exception"] = without_passwords(trace)
        return json.dumps(event)


class JobLog:
    """The lines about jobs. There are so many that the machinery of `logging` would be felt."""

    def __init__(self) -> None:
        self.tells_starts = _LOGGER.isEnabledFor(logging.DEBUG)

    def hold(self, job: Job | None) -> None:
        """Say with every line from now on that it is about a run of this job, or of none."""
        _context.job = job

    def log(self, text: str) -> None:
        """Log one line."""
        self.log_each([(_context.job, text)])

    def log_each(self, said: Sequence[tuple[Job | None, str]]) -> None:
        """Log lines, each about its job; all are written at once, and the last job is held."""
        if not said:
            return
        handler = next(iter(_LOGGER.handlers), None)
        formatter = handler.formatter if handler else None
        if isinstance(handler, logging.StreamHandler) and isinstance(formatter, (_Text, _Json)):
            moment, lines = time.time(), []
            for job, text in said:
                self.hold(job)
                lines.append(formatter.line(text, moment) + "\n")
            try:
                _write(handler, "".join(lines))
            except (OSError, ValueError):
                pass
            else:
                return
        for job, text in said:
            self.hold(job)
            _LOGGER.info("%s", text)  # which knows what to do with a stream that fails


def _write(handler: logging.StreamHandler[TextIO], lines: str) -> None:
    """Write lines in one piece, as `emit` does, so that none of another thread comes between."""
    handler.acquire()
    try:
        if isinstance(handler, log_files.LogFile):
            handler.make_room(len(lines))
        handler.stream.write(lines)
        handler.stream.flush()
    finally:
        handler.release()
