"""A proxy before a MongoDB server that can drop the reply to a command the server has applied."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson

_HEADER = 16
_OP_MSG = 2013
_BODY = _HEADER + 5  # after the header come flags and the kind of the first section
_ACCEPT_SECONDS = 0.2


class Proxy:
    """Passes every message on, and cuts the line where the answer to a chosen command would be."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_ACCEPT_SECONDS)
        self._lock = threading.Lock()
        self._doomed: tuple[str, str] = ("", "")
        self._left = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        self.dropped: list[str] = []

    @property
    def address(self) -> str:
        """`host:port`."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def drop(self, name: str, collection: str, times: int = 1) -> None:
        """Drop the replies to the next so many commands of a name on a collection."""
        with self._lock:
            self._doomed, self._left = (name, collection), times

    def close(self) -> None:
        """Take no more connections; those there are end with their clients."""
        self._over.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._server) as server:
            while (message := _message(client)) is not None:
                is_doomed = self._is_doomed(message)
                server.sendall(message)
                if _flags(message) & 2:  # more of the kind follow without an answer
                    continue
                while True:
                    reply = _message(server)
                    if reply is None or is_doomed:
                        return
                    client.sendall(reply)
                    if not _flags(reply) & 2:  # a stream of answers to one question
                        break

    def _is_doomed(self, message: bytes) -> bool:
        if int.from_bytes(message[12:_HEADER], "little") != _OP_MSG:
            return False
        command: dict[str, Any] = bson.decode(message[_BODY : _BODY + _length(message[_BODY:])])
        name = next(iter(command))
        with self._lock:
            if not self._left or (name, command[name]) != self._doomed:
                return False
            self._left -= 1
        self.dropped.append(name)
        return True


def _length(data: bytes) -> int:
    return int.from_bytes(data[:4], "little")


def _flags(message: bytes) -> int:
    if int.from_bytes(message[12:_HEADER], "little") != _OP_MSG:
        return 0
    return int.from_bytes(message[_HEADER : _HEADER + 4], "little")


def _message(source: socket.socket) -> bytes | None:
    """Read one message of the wire protocol, or None at the end."""
    size = _exactly(source, 4)
    if size is None:
        return None
    rest = _exactly(source, _length(size) - 4)
    return None if rest is None else size + rest


def _exactly(source: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return data


@contextmanager
def proxy_before(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server of an address, and that address by way of the proxy."""
    host, _, port = url.partition("://")[2].partition("/")[0].partition(":")
    proxy = Proxy((host, int(port)))
    try:
        # direct, else the driver learns the server's own address and goes past the proxy
        yield proxy, f"mongodb://{proxy.address}/{url.rpartition('/')[2]}?directConnection=true"
    finally:
        proxy.close()
