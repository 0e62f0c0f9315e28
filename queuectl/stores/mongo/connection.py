"""The connection to a MongoDB server: its address, its clock, and commands that may be repeated."""

from __future__ import annotations

import re
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar
from urllib.parse import unquote

from pymongo import DeleteOne, MongoClient, ReadPreference, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import ConfigurationError, InvalidName, InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern

from queuectl.domain.errors import InvalidInput, StoreRefused, StoreUnavailable
from queuectl.domain.times import UTC, whole_millis
from queuectl.stores.mongo.chunks import Pieces
from queuectl.stores.mongo.errors import OTHER_SERVERS, Asked, in_our_words, is_doubtful

Document = dict[str, Any]
Documents = Collection[Document]
Write = UpdateOne | DeleteOne

DEFAULT_DATABASE = "queuectl"
SELECTION_SECONDS = 5.0
OPERATION_SECONDS = 10.0
BRIEF_SECONDS = 5.0
"""How long a heartbeat or a renewal may take: a late one is worth nothing."""

CLOCK_SECONDS = 60.0
DURABLE = WriteConcern("majority", j=True)

_URI_HINT = (
    "write mongodb://HOST:PORT/DATABASE, with special characters in the user's name and "
    "password percent-encoded"
)
_ASKS_FOR_TLS = re.compile(r"^mongodb\+srv:|[?&](tls|ssl)=true")
_TLS_SECONDS = 2.0
_T = TypeVar("_T")
_Class = TypeVar("_Class", bound=type)


class Link:
    """One client, the collections of one database, and the server's clock.

    The write concern is majority and journaled, reads go to the primary, whatever the URI says.
    Raises InvalidInput for an address that cannot be understood. Connects on first use.
    """

    def __init__(self, url: str) -> None:
        self.client, name = _client(url)
        self.hosts = _hosts(url)
        self.has_login = "@" in url.partition("://")[2].partition("/")[0]
        self.has_tls = bool(_ASKS_FOR_TLS.search(url.lower()))
        self.address = f"{url.partition('://')[0].lower()}://{self.hosts}/{name}"
        self.database = self.client.get_database(
            name, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY
        )
        self.jobs = self.database["jobs"]
        self.dlq = self.database["dlq"]
        self.meta = self.database["queuectl_meta"]
        self.settings = self.database["queuectl_settings"]
        self.workers = self.database["queuectl_workers"]
        self.turns = self.database["queuectl_turns"]
        self.batches = self.database["queuectl_batches"]
        self.job_batches = self.database["queuectl_job_batches"]
        self.served_queues = self.database["queuectl_served_queues"]
        self.queues = self.database["queuectl_queues"]
        self.resources = self.database["queuectl_resources"]
        self.audit = self.database["queuectl_audit"]
        self.schedules = self.database["queuectl_schedules"]
        self.hooks = self.database["queuectl_hooks"]
        self.host_records = self.database["queuectl_hosts"]
        self.deleted = self.database["queuectl_deleted"]
        self.environments = self.database["queuectl_environments"]
        self.events = self.database["queuectl_events"]
        self.figures = self.database["queuectl_figures"]
        self.totals = self.database["queuectl_totals"]
        self.between: Callable[[], None] = lambda: None
        self.inserts, self.changes, self.reads = (
            Pieces(first, between=lambda: self.between()) for first in (500, 50, 200)
        )
        # with leases of a second, those who renew them wait behind these commands
        self.children = Pieces(50, 200, between=lambda: self.between(), share=0.4)
        self._server_time: datetime | None = None
        self._measured = 0.0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def close(self) -> None:
        """Close every connection. Closing twice is harmless."""
        self.client.close()

    @property
    def addresses(self) -> list[tuple[str, int | None]]:
        """The hosts and ports of the servers that the driver knows of."""
        return [*self.client.topology_description.server_descriptions()]

    def asked(self, method: str = "") -> Asked:
        """Return whom commands of a method are sent to, and why none can be, if that is so."""
        servers = self.client.topology_description.server_descriptions().values()
        trouble = tuple(server.error for server in servers if server.error)
        return Asked(self.hosts, self.has_login, method, trouble)

    def write_all(self, place: Documents, writes: Sequence[Write]) -> int:
        """Send writes in pieces and in any order; return how many documents the updates matched."""
        return sum(
            place.bulk_write(some, ordered=False).matched_count for some in self.changes.of(writes)
        )

    def now(self) -> datetime:
        """Return the server's time, measured each minute and carried on by our steady clock.

        A new measurement may differ by a little; time does not step back for that.
        """
        with translated(self):
            if self._server_time is None or _steady() - self._measured > CLOCK_SECONDS:
                self._measure()
        assert self._server_time is not None
        passed = timedelta(seconds=_steady() - self._measured)
        present = whole_millis(self._server_time + passed)
        if timedelta(0) < self._latest - present < timedelta(seconds=1):
            return self._latest
        self._latest = present
        return present

    def _measure(self) -> None:
        asked = _steady()
        local = self.client.admin.command("hello").get("localTime")
        answered = _steady()
        if not isinstance(local, datetime):
            why = f"MongoDB at {self.hosts} does not tell its time (hello.localTime)"
            raise StoreRefused(why, hint=OTHER_SERVERS)
        self._server_time = local.replace(tzinfo=UTC)
        self._measured = (asked + answered) / 2


@contextmanager
def opening(link: Link) -> Iterator[None]:
    """Turn what goes wrong while a store is opened into one line of ours, with its reason."""
    try:
        with translated(link):
            yield
    except StoreUnavailable:
        if not link.has_tls and any(map(_speaks_tls, link.addresses)):
            raise StoreRefused(
                f"MongoDB at {link.hosts} wants TLS",
                hint="add tls=true to the address, and tlsCAFile= for a certificate of your own",
            ) from None
        raise
    except KeyError:
        if not link.has_login:
            raise
        raise StoreRefused(  # the driver misses a part of the answer to its login
            f"the server at {link.hosts} knows no logins",
            hint="leave user and password out of the address",
        ) from None


def _speaks_tls(address: tuple[str, int | None]) -> bool:
    import ssl  # takes a while to load, and nearly nobody needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent
    try:
        with socket.create_connection((address[0], address[1] or 0), _TLS_SECONDS) as plain:
            context.wrap_socket(plain).close()
    except OSError:
        return False
    return True


def one_by_one(link: Link, items: Iterable[_T]) -> Iterator[_T]:
    """Yield items for each of which some commands are sent, with `link.between` after each."""
    for item in items:
        yield item
        link.between()


def durable(place: Documents) -> Documents:
    """Return a collection as it is read for good: nothing that a failover could take back."""
    return place.with_options(read_concern=ReadConcern("majority"))


def is_there(place: Documents, wanted: Document) -> bool:
    """Whether a collection has a document that matches, for good."""
    return durable(place).find_one(wanted, {"_id": True}) is not None


def is_applied(write: Callable[[], bool], is_written: Callable[[], bool]) -> bool:
    """Send a write; return whether it was applied, now or by an earlier try.

    A reply may be lost, and the driver repeats a command by itself, which not every server knows
    again: `is_written` looks whether what `write` found nothing to do for is there.
    """
    try:
        return write() or is_written()
    except PyMongoError as fault:
        if is_doubtful(fault) and is_written():
            return True
        raise


@contextmanager
def left_to_repair() -> Iterator[None]:
    """Pass over a fault after which nobody knows what was applied: `Store.repair` looks."""
    try:
        yield
    except PyMongoError as fault:
        if not is_doubtful(fault):
            raise


def in_words(kind: _Class) -> _Class:
    """Let the public methods of a class that has a `link` raise none of pymongo's errors."""
    for name, method in list(vars(kind).items()):
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(kind, name, _in_words(method))
    return kind


def _in_words(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except PyMongoError as fault:
            raise in_our_words(fault, self.link.asked(method.__name__)) from None

    return call


@contextmanager
def translated(link: Link) -> Iterator[None]:
    """Turn an error of pymongo's into one line of ours, without a trace of the credentials."""
    try:
        yield
    except PyMongoError as fault:
        raise in_our_words(fault, link.asked()) from None


def _client(url: str) -> tuple[MongoClient[Document], str]:
    """Return a client and the database's name. Raises InvalidInput without quoting the URL."""
    client: MongoClient[Document] | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it may quote an option's value
            client = MongoClient(
                url,
                appname="queuectl",
                connect=False,
                tz_aware=True,
                tzinfo=UTC,
                retryWrites=True,
                w="majority",
                journal=True,
                readPreference="primary",
                # from pymongo 4.20 on the second replaces the first, be it longer or not
                serverSelectionTimeoutMS=int(SELECTION_SECONDS * 1000),
                timeoutMS=int(OPERATION_SECONDS * 1000),
            )
        name = client.get_default_database(DEFAULT_DATABASE).name
        if "@" in name:
            raise InvalidName("a part of the credentials")
    except (ConfigurationError, InvalidName, ValueError, TypeError) as fault:
        if client is not None:
            client.close()
        is_understood = isinstance(fault, ConfigurationError) and not isinstance(fault, InvalidURI)
        if is_understood and url.lower().startswith("mongodb+srv://") and "." in _hosts(url):
            raise StoreUnavailable(
                "the host of the mongodb+srv address cannot be looked up",
                hint="check its name and that DNS answers here",
            ) from None
        raise InvalidInput(
            "the address of the MongoDB store is not valid", hint=_URI_HINT
        ) from None
    if _has_dot(url):
        client.close()
        raise InvalidInput(
            "the name of a MongoDB database has no dot, and the one in the address has",
            hint=f"write mongodb://HOST/{name}, or another name",
        )
    return client, name


def _has_dot(url: str) -> bool:
    """Whether an address ends with `/a.b`, of which the driver takes `a` for the database."""
    path = url.partition("://")[2].rpartition("@")[2].partition("/")[2].partition("?")[0]
    return "." in unquote(path)


def _hosts(url: str) -> str:
    """Return `host:port,host:port` of an address, without the credentials."""
    scheme, _, rest = url.partition("://")
    hosts = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    if scheme.lower() != "mongodb":
        return hosts
    return ",".join(_with_port(unquote(host)) for host in hosts.split(","))


def _with_port(host: str) -> str:
    is_plain = ":" not in host.rpartition("]")[2] and not host.endswith(".sock")
    return f"{host}:27017" if is_plain else host


def _steady() -> float:
    """Return seconds on a clock that never steps and, where there is one, runs in suspend."""
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
