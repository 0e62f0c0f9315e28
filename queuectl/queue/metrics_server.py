"""The metrics over HTTP: at one path, to those who know whom they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import make_wsgi_app, start_http_server

from queuectl.queue.metrics import OpenQueue, StoreCollector, registry_of

PATH = "/metrics"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_Start = Callable[[str, list[tuple[str, str]]], Any]
_App = Callable[[dict[str, Any], _Start], Iterable[bytes]]


@contextmanager
def serving(open_queue: OpenQueue, host: str, port: int) -> Iterator[int]:
    """Serve the metrics over HTTP, in threads; the value is the port (of 0: any that is free).

    Raises OSError when that address cannot be had.
    """
    registry = registry_of(StoreCollector(open_queue))
    server, thread = start_http_server(port, host, registry)
    is_local = f"[{host}]" in _LOOPBACK or host in _LOOPBACK
    server.set_app(_at_path(make_wsgi_app(registry), is_local=is_local))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
