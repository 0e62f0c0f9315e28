"""Bodies of requests, read no further than they may be; answers as JSON; errors as RFC 9457."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
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


MOST_BYTES = 1_048_576
_MOST_FIELDS = 2000


async def _read(request: Request) -> bytes:
    """Return the body. Raises HTTPException for one that is too large."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MOST_BYTES:
            raise HTTPException(413, f"the body has more than {MOST_BYTES:,} bytes")
        parts.append(part)
    return b"".join(parts)


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in a body. Raises InvalidInput."""
    try:
        found = json.loads(await _read(request))
    except (ValueError, RecursionError) as fault:
        raise InvalidInput(f"the body is not JSON: {fault}") from None
    if not isinstance(found, dict):
        raise InvalidInput("the body must be a JSON object")
    return found


async def read_form(request: Request) -> dict[str, list[str]]:
    """Return the fields of an HTML form. Raises InvalidInput."""
    try:
        text = (await _read(request)).decode()
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as fault:
        raise InvalidInput(f"the form cannot be read: {fault}") from None
