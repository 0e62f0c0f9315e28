"""The two streams of a command: its result on standard output, all else on standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from queuectl.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.domain.errors import QueuectlError


_USUAL_COLUMNS = 80
reword: Callable[[str], str] = str
"""What turns a message or a help text into the words of the place it is read in: see the shell."""

wrap: Callable[[str], str] = str
"""What breaks a message into rows there; else the terminal does that."""


def on_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def terminal_columns() -> int:
    """Return how wide the terminal of this process is, though its output may go elsewhere."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    for descriptor in (1, 2, 0):
        try:
            if columns := os.get_terminal_size(descriptor).columns:
                return columns
        except OSError:
            continue
    return _USUAL_COLUMNS


def print_line(line: str) -> None:
    """Write one line of the result to standard output."""
    sys.stdout.write(reword(printable(line)) + "\n")


def print_hint(line: str) -> None:
    """Write one line that is not the result (a warning, a hint, progress) to standard error."""
    try:
        sys.stdout.flush()
    except OSError:
        silence_output()  # where it leads to is full or gone, which must not hide this line
    sys.stderr.write(wrap(reword(printable(line))) + "\n")
    sys.stderr.flush()


def print_error(fault: QueuectlError, where: str = "") -> None:
    """Write an error, and what to type next, as one line."""
    place = f"{where}: " if where else ""
    hint = f"; {fault.hint}" if fault.hint else ""
    print_hint(f"queuectl: {place}{fault}{hint}")


def silence_output() -> None:
    """Let what is still buffered for standard output go nowhere, without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def end_line() -> None:
    """Begin a new line on a terminal, which has shown `^C` or the like on this one."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
        sys.stderr.flush()
