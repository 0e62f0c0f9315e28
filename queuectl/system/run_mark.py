"""How the processes of one run are marked, so that nothing which they do hides whose they are.

On Linux the mark is a number in a resource limit that every child inherits and that no kernel has
enforced since 2.4.24 (RLIMIT_LOCKS, see getrlimit(2)). It outlives setsid, a cleared environment,
another process title, set-user-id programs and the death of worker and supervisor, and it can be
read of processes of other users. A login session (su, PAM's limits) may replace it. The run's id
in the environment says the same, and is all there is elsewhere.
"""

from __future__ import annotations

import os
import sys

if sys.platform != "win32":
    import resource

RUN_ID_VARIABLE = "QUEUECTL_RUN_ID"

NO_RUN = 1 << 62
"""The mark of what belongs to no run, although one has started it: workers in the background."""

_RUN = 1 << 61
_HEX_DIGITS = 15  # 60 bits
_RESOURCE = 10  # RLIMIT_LOCKS, which Python does not name
_LINE = b"Max file locks"
_LIMITS_BYTES = 4096


def mark_of(run_id: str) -> int:
    """Return the 62-bit mark of a run; ids are random hexadecimal digits, or any text."""
    try:
        return _RUN | int(run_id[:_HEX_DIGITS], 16)
    except ValueError:
        import hashlib

        return _RUN | int(hashlib.sha256(run_id.encode()).hexdigest()[:_HEX_DIGITS], 16)


def is_mark(limit: int | None) -> bool:
    """Whether what `read_mark` returned is a mark of ours, of whichever run or of none."""
    return limit is not None and bool(limit & (_RUN | NO_RUN))


def is_of_run(limit: int | None) -> bool:
    """Whether what `read_mark` returned is the mark of a run, of whichever."""
    return limit is not None and limit & (_RUN | NO_RUN) == _RUN


def read_mark(pid: int) -> int | None:
    """Return the limit that may be a mark of a process, 0 where it has none.

    None says that it cannot be read: the process is gone, or this is not Linux.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/limits", os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(descriptor, _LIMITS_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    at = text.find(_LINE)
    word = text[at + len(_LINE) :].split(None, 1)[0] if at >= 0 else b""
    return int(word) if word.isdigit() else 0


def belong_to_no_run() -> None:
    """Mark this process as one that no run's end concerns, nor what it starts."""
    Marker().put(NO_RUN)


class Marker:
    """Marks what this process starts: put the mark, start, take it back.

    Where no mark can be put it does nothing.
    """

    def __init__(self) -> None:
        self._own = _usable_limits()

    def put(self, mark: int) -> None:
        """Let what is started from now on bear a mark."""
        if self._own is not None:
            resource.setrlimit(_RESOURCE, (mark, self._own[1]))

    def take_back(self) -> None:
        """Let what is started from now on be what this process is."""
        if self._own is not None:
            resource.setrlimit(_RESOURCE, self._own)


def _usable_limits() -> tuple[int, int] | None:
    """Return the soft and hard limit of this process, or None where no mark can be put."""
    if sys.platform != "linux":
        return None
    try:
        soft, hard = resource.getrlimit(_RESOURCE)
        resource.setrlimit(_RESOURCE, (NO_RUN, hard))
        resource.setrlimit(_RESOURCE, (soft, hard))
    except (OSError, ValueError):  # a hard limit that was set is lower than any mark
        return None
    return soft, hard
