"""The socket through which people talk to a run: where it is, who may, and what is said there.

Every message is a frame: a letter, four bytes with the length of what follows, and that. A run's
console (`worker/runs/console_main.py`) listens at `sockets/MARK.sock` of its worker's home.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator

from queuectl.system.run_mark import mark_of

TYPE, END, ATTACH, SIZE, KEYS = b"T", b"E", b"A", b"S", b"K"
"""What is asked: type this; type this and end the input; show me the terminal, of this size; it has
this size now; these keys were pressed. The first three are answered."""

DONE, REFUSED, OUTPUT, OVER = b"D", b"R", b"O", b"X"
"""What is answered: done; refused, and why; what the run writes; the run has ended."""

MOST_BYTES = 2**20
"""The most that one frame carries, and that waits for a run which does not read."""

WINDOW = struct.Struct("!HH")
"""A terminal's rows and columns."""

_HEAD = struct.Struct("!cI")
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MOST_PATH = 100
"""How long the path of a socket may be everywhere; see unix(7)."""


def socket_name(run_id: str) -> str:
    """Return the name of a run's socket; whatever its id is, it names a file of the folder."""
    return f"{mark_of(run_id):x}.sock"


def frame(letter: bytes, content: bytes = b"") -> bytes:
    """Return a message as it is sent."""
    return _HEAD.pack(letter, len(content)) + content


class Frames:
    """Takes what arrives apart into messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield each message that is whole now. Raises ValueError for what is none."""
        self._pending += data
        while len(self._pending) >= _HEAD.size:
            letter, length = _HEAD.unpack_from(self._pending)
            if length > MOST_BYTES:
                raise ValueError("a message is too long")
            end = _HEAD.size + length
            if len(self._pending) < end:
                return
            content = bytes(self._pending[_HEAD.size : end])
            del self._pending[:end]
            yield letter, content


def connected(folder: str, run_id: str) -> socket.socket:
    """Return a connection to a run's console. Raises OSError; there is none for a while at first.

    A long path goes over the folder's descriptor, where the system has such paths.
    """
    path = os.path.join(folder, socket_name(run_id))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = -1
    try:
        if len(os.fsencode(path)) > _MOST_PATH and sys.platform == "linux":
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            path = f"/proc/self/fd/{descriptor}/{socket_name(run_id)}"
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return connection


def is_own(connection: socket.socket) -> bool:
    """Whether the other end is a process of this user; where only Linux can tell, it is."""
    if sys.platform != "linux":
        return True
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(peer)[1]
    return uid == os.geteuid()
