"""Bodies of requests, read no further than they may be; answers as JSON; errors as RFC 9457."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from queuectl.domain.errors import (
    InvalidInput,
    NotDelivered,
    NotFound,
    QueuectlError,
    StoreError,
    WaitTimedOut,
)

MESSAGE_HEADER = "queuectl-message"
"""What became of a change, in a person's words, percent-encoded."""

MOST_BYTES = 1_048_576
_MOST_FIELDS = 2000
_STATUS: dict[type[QueuectlError], HTTPStatus] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    NotDelivered: HTTPStatus.BAD_GATEWAY,
    WaitTimedOut: HTTPStatus.GATEWAY_TIMEOUT,
}


def status_of(fault: QueuectlError) -> int:
    """Return the HTTP status that fits an error."""
    fitting = (status for kind, status in _STATUS.items() if isinstance(fault, kind))
    return next(fitting, HTTPStatus.CONFLICT)


def json_answer(value: Any, status: int = 200, message: str = "") -> Response:
    """Return a value as JSON; in ASCII, so that no text there is cannot be written."""
    headers = {MESSAGE_HEADER: quote(message)} if message else None
    return Response(json.dumps(value), status, headers=headers, media_type="application/json")


def problem(status: int, detail: str, hint: str = "") -> Response:
    """Return an error as problem JSON; `hint` says what to do next."""
    title = HTTPStatus(status).phrase
    text = json.dumps({"title": title, "status": status, "detail": detail, "hint": hint})
    return Response(text, status, media_type="application/problem+json")


def lead_to(request: Request, path: str) -> Response:
    """Lead a browser to a page of ours, as seen from the root of the dashboard."""
    return RedirectResponse(f"{request.state.root}{path}", status_code=303)


async def _read(request: Request) -> bytes:
    """Return the body. Raises HTTPException for one that is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"the body has more than {MOST_BYTES:,} bytes")
    return body


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in a body. Raises InvalidInput."""
    try:
        value = json.loads(await _read(request))
    except (ValueError, RecursionError) as fault:
        raise InvalidInput(f"the body is not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    return value


async def read_form(request: Request) -> ImmutableMultiDict[str, str]:
    """Return the fields of an HTML form. Raises InvalidInput."""
    try:
        text = (await _read(request)).decode()
        return ImmutableMultiDict(
            parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        )
    except ValueError as fault:
        raise InvalidInput(f"the form cannot be read: {fault}") from None
