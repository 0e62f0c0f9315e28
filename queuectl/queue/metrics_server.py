"""The metrics over HTTP: at one path, to those who know whom they ask."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from queuectl.queue.metrics import OpenQueue, StoreCollector, registry_of

PATH = "/metrics"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

MOST_CONNECTIONS = 64
"""How many requests there may be at once; each has a thread and a descriptor."""

_Start = Callable[[str, list[tuple[str, str]]], Any]
_App = Callable[[dict[str, Any], _Start], Iterable[bytes]]


@contextmanager
def serving(open_queue: OpenQueue, host: str, port: int) -> Iterator[int]:
    """Serve the metrics over HTTP, in threads; the value is the port (of 0: any that is free).

    Raises OSError when that address cannot be had.
    """
    (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    kind = type("Server", (_BoundedServer,), {"address_family": family})
    is_local = f"[{host}]" in _LOOPBACK or host in _LOOPBACK
    app = make_wsgi_app(registry_of(StoreCollector(open_queue)))
    with kind(address[:2], BoundedHandler) as server:
        server.set_app(_at_path(app, is_local=is_local))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class BoundedHandler(WSGIRequestHandler):
    """One request, whose connection is closed when nothing more of it comes for a while."""

    timeout = 10.0  # seconds between two pieces

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a request is no event."""


class _BoundedServer(ThreadingMixIn, WSGIServer):
    """A thread for each request; where there are too many, the oldest makes room for a new one."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, *args: Any) -> None:
        self._open: dict[socket.socket, None] = {}  # the oldest first
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin with a request, in a thread of its own."""
        while len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            self._open.pop(oldest, None)
            with suppress(OSError):  # its own thread has closed it meanwhile
                oldest.shutdown(socket.SHUT_RDWR)
        self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End with a request, whether it was answered or not."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of those that have gone or were too slow; of anything else, all."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _at_path(app: _App, *, is_local: bool) -> _App:
    """Return what serves an application at one path, and nothing at any other.

    Where it listens to this machine alone it answers to the names of loopback alone, so that no
    page of another site reads it by a name of its own that leads here.
    """

    def serve(request: dict[str, Any], start: _Start) -> Iterable[bytes]:
        name = request.get("HTTP_HOST", "")
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        if request["PATH_INFO"] != PATH or (is_local and name.lower() not in _LOOPBACK):
            start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"metrics are at /metrics\n"]
        return app(request, start)

    return serve
