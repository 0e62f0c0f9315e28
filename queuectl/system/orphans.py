"""Who adopts orphans: on Linux a process can be it for all that descends from it.

A process whose parent has ended becomes a child of the nearest ancestor that asked for orphans
(PR_SET_CHILD_SUBREAPER, see prctl(2)), else of the first process of the machine. A worker that
asks has every process of its runs below it, can end those that fork faster than a look at /proc
takes, and knows for certain when none is left: it has no child any more.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection

from queuectl.system.processes import has_ended
from queuectl.system.run_mark import mark_of, read_mark

_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN_BYTES = 65536


def adopt_orphans() -> bool:
    """Let orphans that descend from this process become its children; whether they will."""
    if sys.platform != "linux":
        return False
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


def children_of(pid: int) -> list[int]:
    """Return the children of a process's first thread, those it has adopted among them.

    One that is gone has none. Children that come and go meanwhile may be missing.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [int(word) for word in os.read(descriptor, _CHILDREN_BYTES).split()]
    except OSError:
        return []
    finally:
        os.close(descriptor)


def reap_adopted() -> bool:
    """Let every child that has ended go; return whether some are alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def marked_orphans(run_id: str, adopters: Collection[int]) -> list[int]:
    """Return the processes of a run among the children of those who may have adopted them.

    The newest come first: of processes that fork and end all the time they are the living ones.
    """
    mark = mark_of(run_id)
    return [
        pid
        for adopter in adopters
        for pid in reversed(children_of(adopter))
        if read_mark(pid) == mark and not has_ended(pid)
    ]
