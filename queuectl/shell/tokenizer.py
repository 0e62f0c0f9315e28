"""From a line as it was typed to the words of a command. Pure."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum

from queuectl.cli.enqueue_words import looks_like_json
from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen

PROGRAM = "queuectl"
_BLANKS = " \t\r\n"
_ENQUEUE = "enqueue"
_TAKES_JSON = re.compile(r"\s*(?:queuectl\s+)?(?:(?:jobs?\s+)?(?:enqueue|run)\s+)?(?=[{\[])")


class Kind(Enum):
    """What a stretch of a line is."""

    WORD = "word"
    JSON = "json"
    COMMENT = "comment"


@frozen
class Token:
    """One word of a line, or what follows `#`: what it means, and where it stands.

    `is_quoted` says that quotes are a part of it, `fault` what is wrong with it.
    """

    text: str
    start: int
    end: int
    kind: Kind = Kind.WORD
    is_quoted: bool = False
    fault: str = ""


def is_continued(line: str) -> bool:
    """Whether a line ends with a backslash that is not itself escaped."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def split_line(line: str) -> list[str]:
    """Return the words of a line, without a leading `queuectl` and without a comment.

    `enqueue {"id": "a", …}` takes the JSON value as it stands, and one alone is to be enqueued.
    Raises InvalidInput for a quote or a value that is not closed.
    """
    tokens = [token for token in scan(line) if token.kind is not Kind.COMMENT]
    for token in tokens:
        if token.fault:
            hint = "a command that begins with a bracket goes into quotes"
            raise InvalidInput(token.fault, hint=hint if token.kind is Kind.JSON else "")
    return words_of(tokens)


def words_of(tokens: Sequence[Token]) -> list[str]:
    """Return the words that tokens mean to the commands, without a leading `queuectl`."""
    tokens = tokens[1:] if tokens and tokens[0].text == PROGRAM else tokens
    words = [token.text for token in tokens]
    return [_ENQUEUE, *words] if tokens and tokens[0].kind is Kind.JSON else words


def lines_of(text: str) -> list[str]:
    """Return the lines of what was pasted; a JSON value to enqueue may go over several."""
    lines: list[str] = []
    while text:
        line, _, rest = text.partition("\n")
        found = _TAKES_JSON.match(line)
        if found and looks_like_json(text[found.end() :]):
            with contextlib.suppress(ValueError, RecursionError):
                _, end = json.JSONDecoder().raw_decode(text, found.end())
                more, _, rest = text[end:].partition("\n")
                line = text[:end] + more
        lines.append(line)
        text = rest
    return lines


def scan(line: str) -> list[Token]:
    """Return the tokens of a line, whole or not; it need not make sense."""
    found = _TAKES_JSON.match(line)
    if not found or not looks_like_json(line[found.end() :]):
        return list(_words(line, 0))
    start = found.end()
    value = _json(line, start)
    return [*_words(line[:start], 0), value, *_words(line, value.end)]


def _json(line: str, start: int) -> Token:
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError) as error:
        fault = f"not valid JSON: {getattr(error, 'msg', 'too deep or too long')}"
        return Token(line[start:], start, len(line), Kind.JSON, fault=fault)
    fault = ""
    if line[end : end + 1].strip():
        fault = f"a blank must follow the JSON value, not '{line[end]}'"
    return Token(line[start:end], start, end, Kind.JSON, fault=fault)


def _words(line: str, start: int) -> Iterator[Token]:
    at = start
    while True:
        while at < len(line) and line[at] in _BLANKS:
            at += 1
        if at == len(line):
            return
        if line[at] == "#":
            yield Token(line[at:], at, len(line), Kind.COMMENT)
            return
        word = _word(line, at)
        yield word
        at = word.end


def _word(line: str, start: int) -> Token:
    """Return the word that begins at `start`, quoted as a POSIX shell would have it."""
    text, quote, at, is_quoted = "", "", start, False
    while at < len(line) and (quote or line[at] not in _BLANKS):
        char = line[at]
        if char == "\\" and quote != "'":
            if at + 1 == len(line):
                return _unfinished(line, text, start, "a backslash ends it")
            at += 1
            if line[at] == "\n":
                pass  # the line goes on here
            elif quote and line[at] not in '"\\':
                text += "\\" + line[at]
            else:
                text += line[at]
        elif char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote, is_quoted = char, True
        else:
            text += char
        at += 1
    if quote:
        return _unfinished(line, text, start, "a quote is not closed")
    return Token(text, start, at, is_quoted=is_quoted)


def _unfinished(line: str, text: str, start: int, why: str) -> Token:
    return Token(text, start, len(line), is_quoted=True, fault=f"{why}: {line.strip()}")
