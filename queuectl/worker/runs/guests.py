"""Those who are connected to the console of a run, and where they come in."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import time

from queuectl.system.console_socket import MOST_BYTES, Frames, frame

_STALE_SECONDS = 60.0


class Guest:
    """Somebody who is connected."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.frames = Frames()
        self.is_attached = False
        self.pending = bytearray()

    def say(self, letter: bytes, content: bytes = b"") -> bool:
        """Send a message, now or when there is room; False: it has too much to read, or is gone."""
        self.pending += frame(letter, content)
        return self.flush() and len(self.pending) <= MOST_BYTES

    def flush(self) -> bool:
        """Send what there is room for; False: it is gone."""
        try:
            while self.pending:
                del self.pending[: self.connection.send(self.pending)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def listen(folder: str, name: str) -> socket.socket | None:
    """Return where people come in; None when that cannot be: the run goes on without them."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.chdir(folder)  # a path may be too long for a socket; its name is not
        _sweep()
        os.umask(0o177)
        listener.bind(name)
        listener.listen()
        listener.setblocking(False)
    except OSError as fault:
        print(f"nobody can talk to this run: {fault}", file=sys.stderr, flush=True)
        return None
    return listener


def _sweep() -> None:
    """Remove the sockets of consoles that were killed together with their workers."""
    for entry in os.scandir("."):
        with contextlib.suppress(OSError):
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISSOCK(found.st_mode) and time.time() - found.st_mtime > _STALE_SECONDS:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
                    if trial.connect_ex(entry.name):
                        os.unlink(entry.name)
