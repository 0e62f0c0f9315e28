"""What one that waits for a lock does about its holder, when that is stopped in its place."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from queuectl.system.lock_holder import Holder, holder_of

log = logging.getLogger("queuectl.stores")

MOST_STOPPED_SECONDS = 3.0
"""How long a process of ours may be seen stopped with the lock in hand before it is ended."""


class LockWatch:
    """What one that waits for a lock sees of its holder, from one look to the next.

    `find` tells who has the lock of the file at a path.

    A holder that is stopped in its place is told of, once. One of ours (a command or a worker,
    which bears the mark) is ended when it stays so: what it had not committed is undone, and its
    jobs are taken back as those of any worker that was killed.
    """

    def __init__(self, path: Path, find: Callable[[Path], Holder | None] = holder_of) -> None:
        self._path = path
        self._find = find
        self._seen: Holder | None = None
        self._since = 0.0
        self._cannot_end: Holder | None = None

    @property
    def ends_in(self) -> float | None:
        """In how many seconds the holder that was seen last is ended; None: it is not."""
        if self._seen is None or not self._seen.is_ours or self._seen == self._cannot_end:
            return None
        return self._since + MOST_STOPPED_SECONDS - time.monotonic()

    def look(self) -> float | None:
        """Look who holds the lock; end it if it is ours and has been stopped for long.

        Return `ends_in`.
        """
        holder = self._find(self._path)
        if holder is None or not holder.is_stopped:
            self._seen = None
        elif holder != self._seen:
            self._seen, self._since = holder, time.monotonic()
            what = "it is ended if that lasts" if holder.is_ours else "nobody can write until then"
            log.warning("waiting for the lock of %s, held by %s; %s", self._path, holder, what)
        elif self.ends_in is not None and self.ends_in <= 0:
            self._end(holder)
        return self.ends_in

    def _end(self, holder: Holder) -> None:
        """Kill the holder, if it has the lock even now that its pid cannot be another's."""
        process = -1
        try:
            process = os.pidfd_open(holder.pid)
            if self._find(self._path) == holder:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                log.warning(
                    "ended process %d (%s): it was stopped and kept the lock of %s",
                    *(holder.pid, holder.name, self._path),
                )
        except ProcessLookupError:
            return
        except OSError as fault:
            self._cannot_end = holder
            log.warning("cannot end %s: %s", holder, fault.strerror)
        finally:
            if process >= 0:
                os.close(process)
