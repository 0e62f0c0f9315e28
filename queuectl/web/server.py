"""Listening, serving until a signal, and saying where."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from queuectl.cli.session import print_hint, print_line
from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen
from queuectl.system.home import Location
from queuectl.web.access import LOOPBACK_NAMES, Policy, is_loopback
from queuectl.web.app import build
from queuectl.web.app_state import Board
from queuectl.web.secret import named_token, own_token

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE_SECONDS = 5
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})


@frozen
class Wanted:
    """What the command line asks for; `url` is the address of a proxy in front, if there is one."""

    host: str
    port: int
    read_only: bool = False
    require_token: bool = False
    token_file: Path | None = None
    url: str | None = None


def serve(place: Location, wanted: Wanted) -> None:
    """Serve until SIGINT or SIGTERM. Raises InvalidInput."""
    token_file = wanted.token_file or place.home.token_file
    token = named_token(token_file) if wanted.token_file else own_token(place.home)
    with listening(wanted.host, wanted.port) as listener:
        port = listener.getsockname()[1]
        policy = policy_of(wanted, token, port)
        app, board = build(place, policy, token_file)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="on", loop="asyncio", ws="none",
        )  # fmt: skip
        server = _Server(config, board, lambda: _announce(wanted, policy, token_file))
        server.run([listener])


def policy_of(wanted: Wanted, token: str, port: int) -> Policy:
    """Return what is allowed to whom. Raises InvalidInput for a URL that is none."""
    parts = urlsplit(wanted.url) if wanted.url else None
    if parts and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise InvalidInput(f"--url '{wanted.url}' is not like https://queue.example.org")
    if parts and parts.path.strip("/"):
        raise InvalidInput("--url must be a whole host, without a path")
    names = {wanted.host.lower(), *LOOPBACK_NAMES} - _EVERY_ADDRESS
    if wanted.host in _EVERY_ADDRESS:
        names.add(socket.gethostname().lower())
    if parts and parts.hostname:
        names.add(parts.hostname)
    return Policy(
        token=token,
        read_only=wanted.read_only,
        open_reading=is_loopback(wanted.host) and not wanted.require_token and not parts,
        hosts=frozenset(names),
        any_address=wanted.host in _EVERY_ADDRESS,
        origin=f"{parts.scheme}://{parts.netloc.lower()}" if parts else None,
        port=port,
    )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen at an address. Raises InvalidInput where that cannot be."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM,
                                   flags=socket.AI_PASSIVE)  # fmt: skip
    except OSError as fault:
        raise InvalidInput(f"--host '{host}': {fault.strerror}") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError as fault:
            raise InvalidInput(
                f"cannot listen at {host} port {port}: {fault.strerror}",
                hint="--port 0 takes a free port",
            ) from None
        listener.setblocking(False)
        yield listener


def _announce(wanted: Wanted, policy: Policy, token_file: Path) -> None:
    """Say in one line where it is and how to log in."""
    name = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    url = policy.origin or f"http://{name}:{policy.port}"
    if policy.read_only and policy.open_reading:
        how = "read-only"
    else:
        needed = "read-only, log in" if policy.read_only else "log in"
        needed += " to make changes" if policy.open_reading else ""
        how = f"{needed} with the token in {token_file}"
    print_line(f"Dashboard at {url}/ ({how})")
    sys.stdout.flush()  # whoever reads it through a pipe is told now
    if not policy.origin and not is_loopback(wanted.host):
        print_hint(
            "the token travels unencrypted: put a proxy with TLS in front and name it with --url"
        )


class _Server(uvicorn.Server):
    """Ends its streams when a signal says so, and leaves the program to end as it likes."""

    def __init__(self, config: uvicorn.Config, board: Board, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._board = board
        self._announce = announce
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end: no stream would by itself."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._board.live.close)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while it serves, and do not raise them again afterwards."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
