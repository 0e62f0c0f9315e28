"""What workers log: one line an event, each with the worker's pid."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TextIO

_LOGGER = logging.getLogger("queuectl")


def log_to_terminal() -> None:
    """Log to standard output, for a person who watches: the start of each job too."""
    _log_to(sys.stdout, logging.DEBUG, is_dated=False)


def log_to_file() -> None:
    """Log to standard error, which is the log file of a supervisor in the background."""
    _log_to(sys.stderr, logging.INFO, is_dated=True)


def _log_to(stream: TextIO, level: int, *, is_dated: bool) -> None:
    _LOGGER.handlers[:] = [_Lines(stream, is_dated=is_dated)]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False
    # What no line shows is not looked up for each: https://docs.python.org/3/howto/logging.html
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None


class _Lines(logging.StreamHandler[TextIO]):
    """A handler that can write a line for which no record was made."""

    def __init__(self, stream: TextIO, *, is_dated: bool) -> None:
        super().__init__(stream)
        self._is_dated = is_dated
        self._second = -1
        self._date = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        return self._beginning(record.created) + super().format(record)

    def tell(self, text: str) -> None:
        """Write a line, in one piece as `emit` does, so that no other comes between."""
        try:
            self.stream.write(f"{self._beginning(time.time())}{text}\n")
            self.stream.flush()
        except (OSError, ValueError):
            _LOGGER.info("%s", text)  # which knows what to do with a stream that fails

    def _beginning(self, moment: float) -> str:
        if not self._is_dated:
            return f"[worker {os.getpid()}] "
        second = int(moment)
        if second != self._second:  # formatted once a second, not for every line
            date = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second))
            self._second, self._date = second, date
        return f"{self._date}.{int((moment - second) * 1000):03d} [worker {os.getpid()}] "


class JobLog:
    """The lines about jobs. There are so many that the machinery of `logging` would be felt."""

    def __init__(self) -> None:
        handlers = _LOGGER.handlers
        self._lines = next((one for one in handlers if isinstance(one, _Lines)), None)
        self.tells_starts = _LOGGER.isEnabledFor(logging.DEBUG)

    def tell(self, text: str) -> None:
        """Log one line."""
        if self._lines is not None:
            self._lines.tell(text)
        else:
            _LOGGER.info("%s", text)
