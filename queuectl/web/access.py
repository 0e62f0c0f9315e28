"""Who may see and change what: the token, the sessions of browsers, and failed log-ins."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from queuectl.domain.errors import InvalidInput
from queuectl.presentation.console import print_hint
from queuectl.system.home import Home, cannot, open_private
from queuectl.web.tokens import Token

SESSION_SECONDS = 12 * 3600.0
MOST_SESSIONS = 1000
MOST_FAILURES = 10
FAILURE_SECONDS = 60.0
SHORTEST_TOKEN = 16
"""The fewest characters of a token that is accepted; those that are made here have 43."""

_MOST_ADDRESSES = 10_000
_MOST_TOKEN_BYTES = 4096

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Policy:
    """What is allowed. `token` is the secret that a person or a program shows.

    With `open_reading` whoever comes from loopback may look without it; with `read_only` nobody
    may change anything. `hosts` are the names by which it is called, to which a page of another
    site cannot point its own; `any_address` allows every bare address beside them. `origin` is
    its address behind a proxy, if any, and `root` the path below that, such as `/queue`.
    `trust_header` names the header in which a proxy says who it is that asks, which only peers in
    `trust_from` may do.
    """

    token: str = field(repr=False)
    read_only: bool = False
    open_reading: bool = True
    hosts: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False
    origin: str | None = None
    port: int = 0
    root: str = ""
    trust_header: str = ""
    trust_from: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; browsers keep one jar for all ports of a host."""
        return f"queuectl_session_{self.port}"

    @property
    def change_cookie(self) -> str:
        """The name of the cookie without which a session may only look.

        Browsers send the other one with a link on another site too, such as one in a chat, so
        that whoever follows it is still logged in; this one never.
        """
        return f"queuectl_change_{self.port}"

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return bool(self.origin and self.origin.startswith("https:"))

    def trusts(self, peer: str) -> bool:
        """Whether the address at the other end of a connection may say who it is that asks."""
        if not self.trust_header or not _is_address(peer):
            return False
        address = ip_address(peer)
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.trust_from)

    def is_host(self, header: str) -> bool:
        """Whether the name in a Host header, `name:port` or `[address]:port`, is one of ours."""
        name = header.strip().lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.rpartition(":")[0]
        return name in self.hosts or (self.any_address and _is_address(name))


def is_same(one: str, other: str) -> bool:
    """Compare secrets in a time that tells nothing of them."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether an address, or a name to listen at, can be reached from this machine alone."""
    return ip_address(name).is_loopback if _is_address(name) else name == "localhost"


@dataclass
class Session:
    """A browser that has logged in: what its forms must carry, and what to show it next."""

    csrf: str
    change_key: str
    """The value of the cookie without which it may only look."""

    ends_at: float
    token: Token | None = None
    """The named token with which it has logged in; None for the one of the home."""

    user: str = ""
    """Who a proxy says that it is, if it was not asked for a token."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    """Lines for the next page, each with `ok` or `error`."""


class Sessions:
    """The browsers that have logged in, by the random value of their cookie."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_name: dict[str, Session] = {}
        self._watched: dict[str, float] = {}

    def open(self, token: Token | None = None, user: str = "") -> tuple[str, Session]:
        """Return a new session and the value of its cookie; the oldest gives way."""
        if len(self._by_name) >= MOST_SESSIONS:
            self.close(next(iter(self._by_name)))
        name = secrets.token_urlsafe(32)
        session = Session(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), self._clock() + SESSION_SECONDS,
            token, user,
        )  # fmt: skip
        self._by_name[name] = session
        return name, session

    def get(self, name: str) -> Session | None:
        """Return a session that has not run out, or that keeps watching."""
        session = self._by_name.get(name)
        if session is not None and self.has_ended(name) and not self._watches(name):
            self.close(name)
            return None
        return session

    def keep_watching(self, name: str) -> None:
        """Let a session look on as long as it does so again in time; it may change no more then.

        So what is left open on a wall is not replaced by the page that asks for a token.
        """
        if name in self._by_name:
            self._watched[name] = self._clock() + SESSION_SECONDS

    def has_ended(self, name: str) -> bool:
        """Whether a session has run out, and may only look."""
        session = self._by_name.get(name)
        return session is not None and session.ends_at <= self._clock()

    def _watches(self, name: str) -> bool:
        return self._watched.get(name, 0.0) > self._clock()

    def close(self, name: str) -> None:
        """Forget a session."""
        self._by_name.pop(name, None)
        self._watched.pop(name, None)


class Failures:
    """Failed log-ins of each address; after too many of them it must wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def add(self, address: str) -> None:
        """Note that an address has shown something that is not the token."""
        if address not in self._times and len(self._times) >= _MOST_ADDRESSES:
            self._times.pop(next(iter(self._times)))
        self._times.setdefault(address, deque(maxlen=MOST_FAILURES)).append(self._clock())

    def seconds_left(self, address: str) -> float:
        """Return how long an address must wait before it may try again; 0 is not at all."""
        times = self._times.get(address)
        if times is None or len(times) < MOST_FAILURES:
            return 0.0
        return max(0.0, times[0] + FAILURE_SECONDS - self._clock())


@dataclass(frozen=True)
class Access:
    """What one request may do. `session` is there where a browser has logged in."""

    may_read: bool
    may_change: bool
    session: Session | None = None
    cookie: str = ""
    who: str = ""
    """Who asks: `token:NAME`, `user:NAME` as a proxy says, `dashboard` by the token of the home."""

    token: Token | None = None
    """The named token that was shown, now or to log in."""

    @property
    def is_read_only(self) -> bool:
        """Whether it is somebody who is known, and may only look."""
        return bool(self.who) and not self.may_change

    @property
    def mark(self) -> tuple[str, ...]:
        """What of it a page depends on: all but what its session is to be told next."""
        own = (getattr(self, each.name) for each in fields(self) if each.name != "session")
        return (self.csrf, *map(repr, own))

    @property
    def csrf(self) -> str:
        """What a form of this browser must carry."""
        return self.session.csrf if self.session else ""


def own_token(home: Home) -> str:
    """Return the token of a home, made on first use. Raises what opening files raises."""
    path = home.token_file
    if not path.exists():
        descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "w") as file:
            if not os.fstat(descriptor).st_size:
                file.write(secrets.token_urlsafe(32) + "\n")
    if path.is_symlink():
        raise InvalidInput(f"{path} is a symbolic link, which is not followed", hint="remove it")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InvalidInput(f"others can read {path}", hint=f"chmod 600 {path}")
    return _read_token(path)


def named_token(path: Path) -> str:
    """Return the token in a file that the user names. Raises InvalidInput."""
    token = _read_token(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        print_hint(f"others can read {path}: chmod o= {path}")
    return token


def _read_token(path: Path) -> str:
    """Return the one line of a file. Raises InvalidInput where it cannot be a token."""
    try:
        with path.open("rb") as file:
            token = file.read(_MOST_TOKEN_BYTES).decode().strip()
    except OSError as fault:
        raise cannot("read", path, fault) from fault
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not text") from None
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or not token.isascii():
        raise InvalidInput(
            f"{path} does not hold a token: one line of {SHORTEST_TOKEN} characters or more",
            hint="python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
        )
    return token
