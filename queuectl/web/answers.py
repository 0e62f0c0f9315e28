"""Answers to programs: JSON, and errors as problem JSON (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from queuectl.domain.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NothingDone,
    QueuectlError,
    StoreError,
    WaitTimedOut,
)

MESSAGE_HEADER = "queuectl-message"
"""What became of a change, in a person's words, percent-encoded."""

_STATUS: tuple[tuple[type[QueuectlError], HTTPStatus], ...] = (
    (InvalidInput, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (NothingDone, HTTPStatus.CONFLICT),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (WaitTimedOut, HTTPStatus.GATEWAY_TIMEOUT),
)


def status_of(fault: QueuectlError) -> int:
    """Return the HTTP status that fits an error."""
    return next(
        (status for kind, status in _STATUS if isinstance(fault, kind)), HTTPStatus.CONFLICT
    )


def json_answer(value: Any, status: int = 200, message: str = "") -> Response:
    """Return a value as JSON; in ASCII, so that no text there is cannot be written."""
    headers = {MESSAGE_HEADER: quote(message)} if message else None
    return Response(json.dumps(value), status, headers=headers, media_type="application/json")


def problem(status: int, detail: str, hint: str = "") -> Response:
    """Return an error as problem JSON; `hint` says what to do next."""
    told = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "hint": hint}
    return Response(json.dumps(told), status, media_type="application/problem+json")


def refusal(fault: QueuectlError) -> Response:
    """Return the problem that an error of queuectl is."""
    return problem(status_of(fault), str(fault), fault.hint)
