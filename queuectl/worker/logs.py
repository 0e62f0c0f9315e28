"""Workers log through the standard library: one line an event, each with the worker's pid."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

_FORMAT = "[worker %(process)d] %(message)s"
_DATED = f"%(asctime)s.%(msecs)03d {_FORMAT}"


def log_to_terminal() -> None:
    """Log to standard output, for a person who watches: the start of each job too."""
    _log_to(sys.stdout, _FORMAT, logging.DEBUG)


def log_to_file() -> None:
    """Log to standard error, which is the log file of a supervisor in the background."""
    _log_to(sys.stderr, _DATED, logging.INFO)


class _Stamped(logging.Formatter):
    """Formats the second of a line's time once, not for every line."""

    _second = 0
    _text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time of a record as `datefmt` says."""
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, super().formatTime(record, datefmt)
        return self._text


def _log_to(stream: TextIO, line_format: str, level: int) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Stamped(line_format, datefmt="%Y-%m-%dT%H:%M:%S"))
    logger = logging.getLogger("queuectl")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    # What no line shows is not looked up for each: https://docs.python.org/3/howto/logging.html
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None
