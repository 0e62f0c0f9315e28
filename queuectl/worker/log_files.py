"""Writing the log files of supervisors and workers: of bounded size, and not too many.

Of processes that have ended the latest files are kept; for their names see `system.worker_logs`.
"""

from __future__ import annotations

import contextlib
import logging.handlers
import os
import socket
import time
from io import TextIOWrapper
from pathlib import Path

from queuectl.domain.errors import QueuectlError
from queuectl.system.home import open_private, private_directory
from queuectl.system.ids import new_token
from queuectl.system.processes import identify
from queuectl.system.worker_logs import host_of_log, log_name, logs_of, pid_of, worker_log

FILE_BYTES = 2**20
OLDER_FILES = 3
"""A process has one file of so many bytes and so many that were full."""

KEPT_PROCESSES = 50
"""Of so many processes that have ended the logs are kept."""

_STRANGE_SECONDS = 30 * 86_400
"""Another host's log that nobody has written to for so long counts as that of an ended process."""


class LogFile(logging.handlers.RotatingFileHandler):
    """A handler that writes into a private file and never lets it grow beyond its bounds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=OLDER_FILES, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        """Open the file, mode 0600, never through a link; make the directories if they are gone."""
        folder = Path(self.baseFilename).parent
        for directory in (folder.parent, folder):
            private_directory(directory)
        descriptor = open_private(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def fileno(self) -> int:
        """Return the descriptor of the file in use."""
        assert self.stream is not None, "it was opened with the handler"
        return self.stream.fileno()

    def make_room(self, size: int) -> None:
        """Begin a new file if the one in use has no room for so much, or was removed.

        The lock must be held.
        """
        stream = self.stream
        if stream is None:
            self.doRollover()
            return
        used = os.fstat(stream.fileno())
        if not used.st_nlink:
            with contextlib.suppress(QueuectlError):  # the next line tries again
                self.stream = self._open()
                stream.close()
        elif used.st_size + size > self.maxBytes:
            self.doRollover()


def new_worker_id() -> str:
    """Return an id for a worker that is this process: HOST-PID-TOKEN."""
    return f"{socket.gethostname()}-{os.getpid()}-{new_token()[:6]}"


def supervisor_log() -> str:
    """Return the name of a log file for this process, a new supervisor."""
    return worker_log(f"supervisor-{new_worker_id()}")


def forget_old(folder: Path) -> None:
    """Remove the logs of processes that ended long ago, if there are many."""
    gone = [paths for name, paths in logs_of(folder).items() if not _may_be_alive(name, paths)]
    for paths in sorted(gone, key=_written_at, reverse=True)[KEPT_PROCESSES:]:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()


def _may_be_alive(name: str, paths: list[Path]) -> bool:
    pid, host = pid_of(name), host_of_log(name)
    if not pid.isdigit():
        return False  # what was said before there was a supervisor
    if host != log_name(socket.gethostname()):
        return time.time() - _written_at(paths) < _STRANGE_SECONDS
    return identify(int(pid)) is not None


def _written_at(paths: list[Path]) -> float:
    """Return when a process wrote last; files may go meanwhile."""
    with contextlib.suppress(OSError):
        return paths[-1].stat().st_mtime
    return 0.0
