"""Who may see and change what: the token, the sessions of browsers, and failed log-ins."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

SESSION_SECONDS = 12 * 3600.0
MOST_SESSIONS = 1000
MOST_FAILURES = 10
FAILURE_SECONDS = 60.0
_MOST_ADDRESSES = 10_000

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Policy:
    """What is allowed. `token` is the secret that a person or a program shows.

    With `open_reading` whoever comes from loopback may look without it; with `read_only` nobody
    may change anything. `hosts` are the names by which it is called, to which a page of another
    site cannot point its own; `any_address` allows every bare address beside them. `origin` is
    its address behind a proxy, if any, and `secure` says that browsers reach it by https.
    """

    token: str = field(repr=False)
    read_only: bool = False
    open_reading: bool = True
    hosts: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False
    origin: str | None = None
    port: int = 0

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; browsers keep one jar for all ports of a host."""
        return f"queuectl_session_{self.port}"

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return bool(self.origin and self.origin.startswith("https:"))

    def is_token(self, shown: str) -> bool:
        """Whether it is the token; takes as long for any other."""
        return is_same(shown, self.token)

    def is_host(self, header: str) -> bool:
        """Whether the name in a Host header is one of ours."""
        name = host_name(header)
        return name in self.hosts or (self.any_address and _is_address(name))


def is_same(one: str, other: str) -> bool:
    """Compare secrets in a time that tells nothing of them."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def host_name(header: str) -> str:
    """Return the name in `name:port` or `[address]:port`, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether an address, or a name to listen at, can be reached from this machine alone."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


@dataclass
class Session:
    """A browser that has logged in: what its forms must carry, and what to tell it next."""

    csrf: str
    ends_at: float
    told: list[tuple[str, str]] = field(default_factory=list)
    """Lines for the next page, each with `ok` or `error`."""


class Sessions:
    """The browsers that have logged in, by the random value of their cookie."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, Session] = {}

    def open(self) -> tuple[str, Session]:
        """Return a new session and the value of its cookie; the oldest gives way."""
        if len(self._found) >= MOST_SESSIONS:
            self._found.pop(next(iter(self._found)))
        name = secrets.token_urlsafe(32)
        session = Session(secrets.token_urlsafe(32), self._clock() + SESSION_SECONDS)
        self._found[name] = session
        return name, session

    def get(self, name: str) -> Session | None:
        """Return a session that has not run out."""
        session = self._found.get(name)
        if session is None or session.ends_at > self._clock():
            return session
        return self._found.pop(name, None) and None

    def close(self, name: str) -> None:
        """Forget a session."""
        self._found.pop(name, None)


class Failures:
    """Failed log-ins of each address; after too many of them it must wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, deque[float]] = {}

    def add(self, address: str) -> None:
        """Note that an address has shown something that is not the token."""
        if address not in self._of and len(self._of) >= _MOST_ADDRESSES:
            self._of.pop(next(iter(self._of)))
        self._of.setdefault(address, deque(maxlen=MOST_FAILURES)).append(self._clock())

    def seconds_left(self, address: str) -> float:
        """Return how long an address must wait before it may try again; 0 is not at all."""
        found = self._of.get(address)
        if found is None or len(found) < MOST_FAILURES:
            return 0.0
        return max(0.0, found[0] + FAILURE_SECONDS - self._clock())


@dataclass(frozen=True)
class Access:
    """What one request may do. `session` is there where a browser has logged in."""

    may_read: bool
    may_change: bool
    session: Session | None = None
    cookie: str = ""

    @property
    def csrf(self) -> str:
        """What a form of this browser must carry."""
        return self.session.csrf if self.session else ""
