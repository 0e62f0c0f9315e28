"""What a process is called in lists of processes."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from queuectl.system.processes import stat_fields

_ARGUMENTS = slice(45, 47)
"""Where `stat_fields` says from which to which address the command line stands."""


def set_title(title: str) -> None:
    """Call this process something else than what it was started as, where that can be done.

    Its command line is overwritten in place, and cut to the room that is there.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, ValueError):
        Path("/proc/self/comm").write_text(title)
    fields = stat_fields(os.getpid())
    if fields is None:
        return
    start, end = (int(address) for address in fields[_ARGUMENTS])
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, title.encode()[: end - start - 1], min(len(title), end - start - 1))
