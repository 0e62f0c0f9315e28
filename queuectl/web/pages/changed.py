"""What of a page is new since a browser fetched it: lines of the copy it has, and other ones."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import lru_cache
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

BASE_HEADER = "queuectl-base"
"""Which copy of the page the browser has."""

PAGE_HEADER = "queuectl-page"
"""Which copy it has after this answer."""

MOST_BYTES = 16_000_000
"""How much of what was sent is remembered, so that the next answer may leave it out."""


class SentPages:
    """The latest copies that were sent, by a mark made of what is in them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._copies: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, copy: bytes) -> str:
        """Remember a copy; return its mark. The oldest are forgotten."""
        mark = sha256(copy).hexdigest()[:32]
        if mark not in self._copies:
            self._copies[mark] = copy
            self._bytes += len(copy)
        self._copies.move_to_end(mark)
        while self._bytes > self._most and len(self._copies) > 1:
            self._bytes -= len(self._copies.popitem(last=False)[1])
        return mark

    def get(self, mark: str) -> bytes | None:
        """Return the copy of a mark, if it is still remembered."""
        return self._copies.get(mark)


def changes(base: str, text: str) -> list[str | list[int]]:
    """Return how a text is made of another: new lines, and `[first, number]` of lines of `base`.

    Lines of which there are several may be taken from anywhere; what comes out is always `text`.
    """
    lines = base.split("\n")
    places = {line: number for number, line in reversed(list(enumerate(lines)))}
    parts: list[str | list[int]] = []
    expected = 0
    for line in text.split("\n"):
        is_next = expected < len(lines) and lines[expected] == line
        place = expected if is_next else places.get(line)
        last = parts[-1] if parts else ""
        if place is None:
            parts.append(line)
            expected += 1
            continue
        if isinstance(last, list) and sum(last) == place:
            last[1] += 1
        else:
            parts.append([place, 1])
        expected = place + 1
    return parts


@lru_cache(maxsize=32)  # tabs that show the same ask for the same at the same moment
def _answer(base: bytes, text: bytes) -> str:
    return json.dumps(changes(base.decode(), text.decode()))


def since(sent: SentPages, request: Request, page: Response) -> Response:
    """Return a page for the script: whole, or its changes since the copy that the browser has."""
    base = sent.get(request.headers.get(BASE_HEADER, ""))
    mark = sent.keep(bytes(page.body))
    if base is not None:
        page = Response(_answer(base, bytes(page.body)), media_type="application/json")
    page.headers[PAGE_HEADER] = mark
    return page
