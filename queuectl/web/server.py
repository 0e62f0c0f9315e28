"""Listening, serving until a signal, and saying where."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.frozen import frozen
from queuectl.presentation.console import print_hint, print_line
from queuectl.system.home import Location
from queuectl.system.sd_notify import notifier
from queuectl.web.access import LOOPBACK_NAMES, Policy, is_loopback, named_token, own_token
from queuectl.web.app import build, own_words
from queuectl.web.app_state import AppState
from queuectl.web.protocol import ACCEPTED_AT_ONCE, BoundedProtocol, FewEntries, most_connections

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE_SECONDS = 5
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9][A-Za-z0-9._~-]*)*")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OWN_HEADERS = frozenset({"authorization", "cookie", "host", "origin", "accept", "x-csrf-token"})
"""What says something else than who it is that asks, whoever has written it."""

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})


@frozen
class Options:
    """What the command line asks for; `url` is the address of a proxy in front, if there is one."""

    host: str
    port: int
    read_only: bool = False
    require_token: bool = False
    token_file: str | None = None
    url: str | None = None
    root_path: str = ""
    trust_header: str | None = None
    trust_from: str | None = None


def serve(location: Location, options: Options) -> None:
    """Serve until SIGINT or SIGTERM. Raises InvalidInput."""
    token_file = Path(options.token_file or location.home.token_file)
    token = named_token(token_file) if options.token_file else own_token(location.home)
    with listening(options.host, options.port) as listener:
        policy = policy_of(options, token, listener.getsockname()[1])
        app, state = build(location, policy, token_file)
        _Server(config_of(app, state), state, options.host).run([listener])


def config_of(app: ASGIApp, state: AppState) -> uvicorn.Config:
    """Return how an application is served: within the limits of the system, and with few words."""
    most = most_connections()
    state.live.most_clients = min(state.live.most_clients, most // 2)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="on", loop="asyncio", ws="none",
        http=type("Protocol", (BoundedProtocol,), {"most": most}), backlog=ACCEPTED_AT_ONCE,
    )  # fmt: skip
    few = FewEntries()
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(few)
    return config


def policy_of(options: Options, token: str, port: int) -> Policy:
    """Return what is allowed to whom. Raises InvalidInput for a URL that is none."""
    host, origin, names = options.host, None, {options.host.lower(), *LOOPBACK_NAMES}
    if host in _EVERY_ADDRESS:
        names = {socket.gethostname().lower(), *LOOPBACK_NAMES}
    if options.url:
        parts = urlsplit(options.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"--url '{options.url}' is not like https://queue.example.org")
        if parts.path.strip("/"):
            hint = f"--url {parts.scheme}://{parts.netloc} --root-path {parts.path.rstrip('/')}"
            raise InvalidInput("--url must be a whole host, without a path", hint=hint)
        names.add(parts.hostname)
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
    return Policy(
        token=token,
        read_only=options.read_only,
        open_reading=is_loopback(host)
        and not (options.require_token or origin or options.trust_header),
        hosts=frozenset(names),
        any_address=host in _EVERY_ADDRESS,
        origin=origin,
        port=port,
        root=_root_of(options.root_path),
        **_trust(options),
    )


def _trust(options: Options) -> dict[str, Any]:
    """Return who may say in which header who it is that asks. Raises InvalidInput."""
    header, peers = options.trust_header, options.trust_from
    if header is None and peers is None:
        return {}
    if not (header and peers):
        raise InvalidInput(
            "--trust-header and --trust-from go together",
            hint="--trust-header X-Forwarded-User --trust-from 127.0.0.1",
        )
    if not _HEADER.fullmatch(header) or header.lower() in _OWN_HEADERS:
        raise InvalidInput(f"--trust-header {shown(header)} is not like X-Forwarded-User")
    try:
        networks = tuple(ip_network(each.strip(), strict=False) for each in peers.split(","))
    except ValueError as fault:
        raise InvalidInput(f"--trust-from: {fault}", hint="such as 127.0.0.1,10.0.0.0/8") from None
    return {"trust_header": header, "trust_from": networks}


def _root_of(path: str) -> str:
    """Return the path below which everything is, empty or such as `/queue`. Raises InvalidInput."""
    root = path.strip("/")
    if not root:
        return ""
    if not _PATH.fullmatch(root):
        raise InvalidInput(f"--root-path {shown(path)} is not like /queue")
    if (first := root.partition("/")[0]) in own_words():
        hint = "the proxy may call it by any other word, such as /queue"
        raise InvalidInput(f"--root-path {path}: the dashboard has a page /{first}", hint=hint)
    return f"/{root}"


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen at an address. Raises InvalidInput where that cannot be."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as fault:
        raise InvalidInput(f"--host '{host}': {fault.strerror}") from None
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


class _Server(uvicorn.Server):
    """Ends its streams when a signal says so, and leaves the program to end as it likes."""

    def __init__(self, config: uvicorn.Config, state: AppState, host: str) -> None:
        super().__init__(config)
        self._state = state
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._announce()
            notifier().tell("READY=1")

    def _announce(self) -> None:
        """Say in one line where it is and how to log in."""
        policy, host = self._state.policy, self._host
        url = policy.origin or f"http://{f'[{host}]' if ':' in host else host}:{policy.port}"
        url += policy.root
        how = "read-only"
        if not (policy.read_only and policy.open_reading):
            how = "read-only, log in" if policy.read_only else "log in"
            how += " to make changes" if policy.open_reading else ""
            how += f" with the token in {self._state.token_file}"
        print_line(f"Dashboard at {url}/ ({how})")
        sys.stdout.flush()  # whoever reads it through a pipe has it now
        if not policy.origin and not is_loopback(host):
            hint = "put a proxy with TLS in front and name it with --url"
            print_hint(f"the token travels unencrypted: {hint}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end: no stream would by itself."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._state.live.close)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while it serves, and do not raise them again afterwards."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
