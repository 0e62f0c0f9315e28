"""The connection to a MongoDB server: its address, its clock, and its errors in our words."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar
from urllib.parse import unquote

import bson
from pymongo import DeleteOne, MongoClient, ReadPreference, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern

from queuectl.domain.errors import (
    Conflict,
    InvalidInput,
    QueuectlError,
    StoreRefused,
    StoreUnavailable,
)
from queuectl.domain.times import UTC, whole_millis
from queuectl.stores.mongo.chunks import Pieces

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
_BAD_LOGIN = {18, 8000}
_NOT_ALLOWED = {13}
_TOO_LARGE = {10334, 17419, 17420}
_MALFORMED = {14}
_NEARLY_FULL = 16 * 1024 * 1024 - 64 * 1024
_PASSING = {50, 64, 112, 189, 202, 246, 262, 11600, 11602, 14031}
"""Codes of timeouts, failovers, conflicts and full disks: trying again may help."""

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
        self.served_queues = self.database["queuectl_served_queues"]
        self.queues = self.database["queuectl_queues"]
        self.schedules = self.database["queuectl_schedules"]
        self.hooks = self.database["queuectl_hooks"]
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
        local: datetime = self.client.admin.command("hello")["localTime"]
        answered = _steady()
        self._server_time = local.replace(tzinfo=UTC)
        self._measured = (asked + answered) / 2


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
            raise in_our_words(fault, self.link.hosts) from None

    return call


@contextmanager
def translated(link: Link) -> Iterator[None]:
    """Turn an error of pymongo's into one line of ours, without a trace of the credentials."""
    try:
        yield
    except PyMongoError as fault:
        raise in_our_words(fault, link.hosts) from None


def in_our_words(fault: PyMongoError, hosts: str) -> QueuectlError:
    """Return the error that people see; pymongo's own text may hold what must not be shown."""
    if isinstance(fault, DuplicateKeyError) and "unique_live" in str(fault):
        return Conflict("another job with its unique key waits or runs")
    code = fault.code if isinstance(fault, OperationFailure) else None
    if isinstance(fault, DocumentTooLarge) or code in _TOO_LARGE:
        return StoreRefused("the job is too large for MongoDB (16 MB)")
    if code in _BAD_LOGIN or (code is None and "Authentication failed" in str(fault)):
        return StoreRefused(
            f"MongoDB at {hosts} refused the user's name or password",
            hint="check the credentials and authSource in the address",
        )
    if code in _NOT_ALLOWED:
        return StoreRefused(
            f"MongoDB at {hosts} does not allow this user to do that",
            hint="the user needs the role readWrite on the database",
        )
    if isinstance(fault, OperationFailure) and not is_doubtful(fault):
        return StoreRefused(f"MongoDB at {hosts} refused a command (error {code})")
    if isinstance(fault, ConfigurationError):
        return StoreUnavailable(
            f"MongoDB at {hosts} cannot be reached",
            hint="check the host's name, that DNS answers here, and the address's options",
        )
    if _is_about_tls(fault):
        return StoreUnavailable(
            f"MongoDB at {hosts} and this host do not agree on TLS",
            hint="the address needs tls=true, and tlsCAFile= where the certificate is your own",
        )
    if fault.timeout or isinstance(fault, AutoReconnect):
        return StoreUnavailable(
            f"MongoDB at {hosts} does not answer",
            hint="check that it runs there and can be reached from here",
        )
    return StoreUnavailable(f"MongoDB at {hosts} cannot be used now ({type(fault).__name__})")


def _is_about_tls(fault: PyMongoError) -> bool:
    text = str(fault)
    return "SSL" in text or "certificate" in text


def is_doubtful(fault: PyMongoError) -> bool:
    """Whether a write that ended with this error may have been applied all the same."""
    if isinstance(fault, BulkWriteError) and (fault.details or {}).get("writeConcernErrors"):
        return True
    if isinstance(fault, OperationFailure):
        return (
            isinstance(fault, WriteConcernError)
            or fault.code in _PASSING
            or fault.timeout
            or fault.has_error_label("RetryableWriteError")
        )
    if isinstance(fault, ServerSelectionTimeoutError):
        return False  # no server was found to send it to; of a retry the first fault is raised
    return isinstance(fault, AutoReconnect) or fault.timeout


def is_about_the_record(fault: PyMongoError, found: Document) -> bool:
    """Whether a write was refused because of what is in the document that it was to change."""
    code = fault.code if isinstance(fault, OperationFailure) else None
    # not every server has a code of its own for documents that would grow too large
    return code in _TOO_LARGE or code in _MALFORMED or len(bson.encode(found)) > _NEARLY_FULL


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
    return client, name


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
