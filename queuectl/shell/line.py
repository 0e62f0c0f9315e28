"""From a line as it was typed to the words of a command. Pure."""

from __future__ import annotations

import json
import re
import shlex

from queuectl.cli.words import looks_like_json
from queuectl.domain.errors import InvalidInput

PROGRAM = "queuectl"
_TAKES_JSON = re.compile(r"\s*(?:queuectl\s+)?(?:(?:jobs?\s+)?(?:enqueue|run))\s+(?=[{\[])")


def is_continued(line: str) -> bool:
    """Whether a line ends with a backslash that is not itself escaped."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def split_line(line: str) -> list[str]:
    """Return the words of a line, without a leading `queuectl` and without a comment.

    `enqueue {"id": "a", …}` takes the JSON value as it stands. Raises InvalidInput for a quote
    or a value that is not closed.
    """
    found = _TAKES_JSON.match(line)
    if found and looks_like_json(line[found.end() :]):
        words = _with_json(line, found.end())
    else:
        words = _words(line)
    return words[1:] if words[:1] == [PROGRAM] else words


def _with_json(line: str, start: int) -> list[str]:
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError) as fault:
        raise InvalidInput(
            f"not valid JSON: {getattr(fault, 'msg', 'too deep or too long')}",
            hint="a command that begins with a bracket goes into quotes",
        ) from None
    rest = line[end:]
    if rest and not rest[0].isspace():
        raise InvalidInput(f"a blank must follow the JSON value, not '{rest[0]}'")
    return [*_words(line[:start]), line[start:end], *_words(rest)]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(_without_comment(line))
    except ValueError as fault:
        reason = "a quote is not closed" if "quotation" in str(fault) else "a backslash ends it"
        raise InvalidInput(f"{reason}: {line.strip()}") from None


def _without_comment(line: str) -> str:
    """Cut the line at a `#` that begins a word outside quotes; `a#b` is a word."""
    quote, is_escaped, at_start = "", False, True
    for at, char in enumerate(line):
        if is_escaped:
            is_escaped = False
        elif char == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and at_start:
            return line[:at]
        at_start = char.isspace() and not quote and not is_escaped
    return line
