"""A server that speaks as much of MongoDB's protocol as to be a bad one: it is told what to answer.

Messages: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import bson

Document = dict[str, Any]
Answer = Callable[[Document], Document]

_QUERY, _REPLY, _MESSAGE = 2004, 1, 2013
HELLO: Document = {
    "ok": 1.0, "isWritablePrimary": True, "maxWireVersion": 21, "minWireVersion": 0,
    "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000, "logicalSessionTimeoutMinutes": 30, "readOnly": False,
}  # fmt: skip


def is_hello(command: Document) -> bool:
    """Whether a command is the handshake of a driver."""
    return next(iter(command)).lower() in ("hello", "ismaster")


@contextmanager
def odd_server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that answers every command as it is told; yield its address."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while len(head := self.rfile.read(16)) == 16:
                size, number, _, code = struct.unpack("<iiii", head)
                body = self.rfile.read(size - 16)
                self.wfile.write(_reply(code, number, answer(_command(code, body))))

    class Server(ThreadingTCPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            connection, address = super().get_request()
            if tls is not None:  # shaken hands when it is first read, in a thread of its own
                connection = tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            return connection, address

        def handle_error(self, *_: object) -> None:
            """Say nothing of whoever hangs up."""

        def process_request_thread(self, *args: Any) -> None:
            with suppress(OSError):
                super().process_request_thread(*args)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _command(code: int, body: bytes) -> Document:
    """Return the command in a message, with the sequences of documents that belong to it."""
    if code == _QUERY:
        at = body.index(b"\0", 4) + 1 + 8
        return bson.decode(body[at:])
    assert code == _MESSAGE
    (size,) = struct.unpack_from("<i", body, 5)
    return bson.decode(body[5 : 5 + size])


def _reply(code: int, number: int, document: Document) -> bytes:
    data = bson.encode(document)
    if code == _QUERY:
        body = struct.pack("<iqii", 8, 0, 0, 1) + data
        return struct.pack("<iiii", 16 + len(body), 0, number, _REPLY) + body
    body = struct.pack("<iB", 0, 0) + data
    return struct.pack("<iiii", 16 + len(body), 0, number, _MESSAGE) + body
