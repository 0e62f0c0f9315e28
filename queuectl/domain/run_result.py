"""The result of a run: a JSON value that its command has written, which is kept as text."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_RESULT_BYTES = 64 * 1024
_MOST_DEEP = 100
"""How deeply arrays and objects may lie in each other, so that whoever reads them has room."""


def refusal(text: str) -> str | None:
    """Return why a text is no result, None where it is one.

    It has to be JSON as RFC 8259 has it, which can be written again as it was read.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_RESULT_BYTES:
        return f"it has {size:,} bytes, and at most {MAX_RESULT_BYTES:,} are kept"
    try:
        value = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as fault:
        return f"it is not valid JSON: {str(fault).partition(': ')[0]}"
    return "its arrays and objects lie too deep" if _depth(value) > _MOST_DEEP else None


def result_of(text: str | None) -> Any:
    """Return the value that a result stands for; None for none, and for a damaged one."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _depth(value: Any) -> int:
    """Return how deeply arrays and objects lie in each other, as far as that matters."""
    depth, level = 0, [value]
    while level and depth <= _MOST_DEEP:
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        depth, level = depth + 1, inner
    return depth
