"""The standard input of `run`, which the command reads.

It is kept in a file beside the logs of the job; where any host may run that, with the job itself.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from queuectl.cli.job_input import STANDARD_INPUT
from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import MAX_ENV_BYTES, check_input
from queuectl.domain.frozen import replace
from queuectl.domain.request import Request
from queuectl.presentation.console import print_hint
from queuectl.queue import Queue
from queuectl.system.home import cannot, open_private, private_directory
from queuectl.system.ids import new_token
from queuectl.system.job_logs import JobLogs
from queuectl.system.store_url import is_mongo

MOST_BYTES = 1 << 30
"""No longer input is kept."""

_BLOCK = 1 << 20
_NAME_A_FILE = "--input FILE names a file that the job's host has"


def require_own(session: Session, file: str | None) -> None:
    """Raise InvalidInput where standard input is not the command's, or would not reach it."""
    if session.in_shell:
        raise InvalidInput("the lines here are commands, and none of them is input", _NAME_A_FILE)
    if file == STANDARD_INPUT:
        raise InvalidInput("standard input is the job already, and cannot be its input too")


@contextmanager
def passed(queue: Queue, request: Request) -> Iterator[Request]:
    """Keep standard input, to its end, beside the job's logs; yield the request that reads it.

    It goes with those logs when the job is deleted, and at once when the block raises: then there
    is no such job. In a store of several hosts it is part of the job instead. Raises InvalidInput
    for a job that has another input, and for more than MOST_BYTES, or than a job may hold,
    StoreUnavailable for a full disk.
    """
    for other in ("pty", "stdin", "input", "input_text"):
        if getattr(request.spec, other):
            option = other.replace("_", "-")
            raise InvalidInput(f"-i and --{option} exclude each other: a job has one input")
    if is_mongo(queue.address):
        yield replace(request, spec=replace(request.spec, input_text=_text_of_job()))
        return
    folder = JobLogs(queue.home).directory(request.spec.id)
    for directory in (queue.home.logs, queue.home.job_logs, folder):
        private_directory(directory)
    path = folder / f"{new_token()}.in"
    try:
        _copy(path)
        yield replace(request, spec=replace(request.spec, input=str(path)))
    except BaseException:
        with suppress(OSError):
            path.unlink()
            folder.rmdir()  # unless an earlier job of this id has left something
        raise


def _text_of_job() -> str:
    """Return standard input as a job holds it. Raises InvalidInput where it cannot."""
    _hint_at_its_end()
    data = sys.stdin.buffer.read(MAX_ENV_BYTES + 1)
    if len(data) > MAX_ENV_BYTES:
        raise InvalidInput(f"standard input is longer than {MAX_ENV_BYTES:,} bytes", _NAME_A_FILE)
    try:
        return check_input("standard input", data.decode())
    except UnicodeDecodeError:
        raise InvalidInput("standard input is not UTF-8 text", _NAME_A_FILE) from None
    except InvalidInput as fault:
        raise InvalidInput(str(fault), _NAME_A_FILE) from None


def _hint_at_its_end() -> None:
    if sys.stdin.isatty():
        print_hint("standard input is read up to Ctrl-D")


def _copy(path: Path) -> None:
    _hint_at_its_end()
    left = MOST_BYTES
    try:
        with open(open_private(path, os.O_WRONLY | os.O_EXCL), "wb") as file:  # noqa: PTH123  # a descriptor
            while block := sys.stdin.buffer.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    size = f"{MOST_BYTES >> 20:,} MiB"
                    raise InvalidInput(f"standard input is longer than {size}", _NAME_A_FILE)
                file.write(block)
    except OSError as fault:
        raise cannot("keep standard input in", path, fault) from fault


def hint_at_unread() -> None:
    """Say that standard input was not read, where something was piped in."""
    with suppress(OSError, ValueError):
        number = sys.stdin.fileno()
        if stat.S_ISFIFO(os.fstat(number).st_mode) and _has_data(number):
            print_hint("standard input was not read: queuectl run -i passes it to the command")


def _has_data(number: int) -> bool:
    """Whether there are bytes to be read in a pipe at once; its end alone is none."""
    import fcntl
    import struct
    import termios

    if not select.select([number], [], [], 0)[0]:
        return False
    (count,) = struct.unpack("i", fcntl.ioctl(number, termios.FIONREAD, bytes(4)))
    return bool(count)
