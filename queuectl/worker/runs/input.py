"""What a run reads on its standard input: a text of its job's, in a file that has no name."""

from __future__ import annotations

import os
import sys

from queuectl.worker.runs.programs import CannotStart


def input_file(text: str) -> int:
    """Return a descriptor that reads a text from its beginning; the caller closes it.

    No path leads to the file, so that nobody finds a password in it. Raises CannotStart.
    """
    try:
        descriptor = _unnamed()
        _write_all(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as fault:
        raise CannotStart(f"Its input could not be written: {fault.strerror}") from None
    return descriptor


def _unnamed() -> int:
    if sys.platform == "linux":
        return os.memfd_create("input", os.MFD_CLOEXEC)
    else:  # noqa: RET505  # or type checkers take the rest for unreachable
        import tempfile  # which Linux has no need of

        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
