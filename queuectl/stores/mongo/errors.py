"""The errors of MongoDB's driver in our words, and which of them leave open what was applied."""

from __future__ import annotations

from typing import Any

import bson
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from queuectl.domain.errors import Conflict, QueuectlError, StoreRefused, StoreUnavailable
from queuectl.domain.frozen import frozen

_BAD_LOGIN = {18, 8000}
_NOT_ALLOWED = {13}
_UNKNOWN_COMMAND = {59}
_TOO_LARGE = {10334, 17419, 17420}
_MALFORMED = {14}
_NEARLY_FULL = 16 * 1024 * 1024 - 64 * 1024
_PASSING = {50, 64, 112, 189, 202, 246, 262, 11600, 11602, 14031}
"""Codes of timeouts, failovers, conflicts and full disks: trying again may help."""

OTHER_SERVERS = "docs/mongodb.md has the servers that are known to do"


@frozen
class Asked:
    """Whom a command was sent to: `hosts` as people see them, and whether with a login.

    `method` is the method of the store that sent it, where that is known. `trouble` is why the
    driver found no server to send it to.
    """

    hosts: str
    has_login: bool
    method: str = ""
    trouble: tuple[Exception, ...] = ()


def in_our_words(fault: PyMongoError, asked: Asked) -> QueuectlError:
    """Return the error that people see; pymongo's own text may hold what must not be shown."""
    if isinstance(fault, DuplicateKeyError) and "unique_live" in str(fault):
        return Conflict("another job with its unique key waits or runs")
    code = fault.code if isinstance(fault, OperationFailure) else None
    if isinstance(fault, DocumentTooLarge) or code in _TOO_LARGE:
        return StoreRefused("the job is too large for MongoDB (16 MB)")
    if isinstance(fault, OperationFailure) and not is_doubtful(fault):
        return _refused(fault, asked)
    if isinstance(fault, ConfigurationError):
        return _misconfigured(fault, asked)
    for trouble in asked.trouble if isinstance(fault, ServerSelectionTimeoutError) else ():
        if reason := _of_handshake(trouble, asked):
            return reason
    return _unavailable(fault, asked.hosts)


def _refused(fault: OperationFailure, asked: Asked) -> StoreRefused:
    """Return why a server refused a command, as far as its error's code says."""
    who, code = f"MongoDB at {asked.hosts}", fault.code
    if code in _BAD_LOGIN or (code is None and "Authentication failed" in str(fault)):
        return StoreRefused(
            f"{who} refused the user's name or password",
            hint="check the credentials and authSource in the address",
        )
    if code in _NOT_ALLOWED and not asked.has_login:
        return StoreRefused(
            f"{who} wants a login",
            hint="write mongodb://USER:PASSWORD@HOST/DATABASE, with authSource= where the user is "
            "of another database",
        )
    if code in _NOT_ALLOWED:
        return StoreRefused(
            f"{who} does not allow this user to do that",
            hint="the user needs the role readWrite on the database",
        )
    what = f"a command of '{asked.method}'" if asked.method else "a command"
    if code in _UNKNOWN_COMMAND:
        return StoreRefused(f"{who} does not know {what}", hint=OTHER_SERVERS)
    return StoreRefused(f"{who} refused {what} ({_named(fault)})")


def _named(fault: OperationFailure) -> str:
    """Return the code of an error, and its name where the server tells that."""
    name = (fault.details or {}).get("codeName")
    name = name if isinstance(name, str) and name.isalnum() else ""
    if fault.code is None:
        return f"error {name}" if name else "without a code"
    return f"error {fault.code}{f', {name}' if name else ''}"


def _misconfigured(fault: ConfigurationError, asked: Asked) -> QueuectlError:
    if "wire version" in str(fault):
        return StoreRefused(
            f"MongoDB at {asked.hosts} is too old, or too new, for this driver",
            hint=OTHER_SERVERS,
        )
    return StoreUnavailable(
        f"MongoDB at {asked.hosts} cannot be reached",
        hint="check the host's name, that DNS answers here, and the address's options",
    )


def _of_handshake(trouble: Exception, asked: Asked) -> QueuectlError | None:
    """Return what is told of a server that answers, but not as the driver needs it."""
    if isinstance(trouble, ConfigurationError):
        return _misconfigured(trouble, asked)
    if isinstance(trouble, OperationFailure):
        return StoreRefused(
            f"MongoDB at {asked.hosts} refused the handshake ({_named(trouble)})",
            hint=OTHER_SERVERS,
        )
    if isinstance(trouble, ProtocolError) or not isinstance(trouble, PyMongoError):
        return StoreRefused(
            f"what answers at {asked.hosts} does not speak MongoDB's protocol",
            hint="check host and port of the address",
        )
    return None


def _unavailable(fault: PyMongoError, hosts: str) -> StoreUnavailable:
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


def is_not_allowed(fault: PyMongoError) -> bool:
    """Whether a login lacks the right to what was asked."""
    return isinstance(fault, OperationFailure) and fault.code in _NOT_ALLOWED


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


def is_about_the_record(fault: PyMongoError, found: dict[str, Any]) -> bool:
    """Whether a write was refused because of what is in the document that it was to change."""
    code = fault.code if isinstance(fault, OperationFailure) else None
    # not every server has a code of its own for documents that would grow too large
    return code in _TOO_LARGE or code in _MALFORMED or len(bson.encode(found)) > _NEARLY_FULL
