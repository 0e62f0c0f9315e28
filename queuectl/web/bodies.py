"""Reading the bodies of requests, no larger than they may be."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from queuectl.domain.errors import InvalidInput

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
