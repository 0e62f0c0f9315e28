"""systemd's unit files: their sections, and the command lines in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from queuectl.domain.frozen import frozen

_ENTRY = re.compile(r"(?P<key>[A-Za-z0-9]+)\s*=\s*(?P<value>.*)", re.DOTALL)
_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)\s*")
_SECONDS = {
    "": 1, "s": 1, "sec": 1, "second": 1, "seconds": 1, "ms": 0.001, "msec": 0.001,
    "m": 60, "min": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hour": 3600,
    "hours": 3600, "d": 86400, "day": 86400, "days": 86400, "w": 604800, "week": 604800,
    "weeks": 604800,
}  # fmt: skip
_SPECIFIER = re.compile(r"%(.)", re.DOTALL)


class NotUnit(ValueError):
    """A unit says what cannot be taken; the text names it."""


@frozen
class Unit:
    """A unit file: its name, and for each `Section.Key` the values in their order.

    `line` is where the first entry of a key stands, by `Section.Key`.
    """

    name: str
    values: Mapping[str, Sequence[str]]
    lines: Mapping[str, int]

    def all(self, key: str) -> list[str]:
        """Return the values of a key; an empty one makes those before it void."""
        values: list[str] = []
        for value in self.values.get(key, ()):
            values = [*values, value] if value else []
        return values

    def last(self, key: str) -> str:
        """Return the value of a key that counts, empty where there is none."""
        return next(iter(reversed(self.all(key))), "")


def unit_of(name: str, lines: Sequence[tuple[int, str]]) -> Unit:
    """Return the unit that numbered lines hold. Raises NotUnit for what is no unit file."""
    values: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    section = ""
    for number, line in _joined(lines):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        found = _ENTRY.fullmatch(line)
        if not found or not section:
            raise NotUnit(f"line {number} of {name} is no entry of a unit")
        key = f"{section}.{found['key']}"
        values.setdefault(key, []).append(found["value"].strip())
        places.setdefault(key, number)
    return Unit(name, values, places)


def _joined(lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield entries whole, without comments; a backslash at the end joins the next line."""
    whole, start = "", 0
    for number, line in lines:
        text = line.strip()
        if text.startswith(("#", ";")) or (not text and not whole):
            continue
        start = start if whole else number
        if text.endswith("\\"):
            whole += f"{text[:-1].rstrip()} "
            continue
        yield start, whole + text
        whole = ""
    if whole:
        yield start, whole.strip()


def seconds_of(text: str) -> float:
    """Return a span of time such as `5min 30s`, 0 for infinity. Raises NotUnit."""
    if text in ("", "infinity", "0"):
        return 0.0
    spans = list(_SPAN.finditer(text))
    if "".join(span[0] for span in spans) != text or any(
        span["unit"] not in _SECONDS for span in spans
    ):
        raise NotUnit(f"'{text}' is no span of time")
    return float(sum(float(span["number"]) * _SECONDS[span["unit"]] for span in spans))


def with_specifiers(text: str, known: Mapping[str, str]) -> str:
    """Return text with specifiers such as `%h` put in. Raises NotUnit for those not known."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise NotUnit(f"write something else for %{found[1]} in '{text}'")
        return known[found[1]]

    return _SPECIFIER.sub(value, text)


def words_of(text: str) -> list[str]:
    """Return the words of a value, quotes taken off. Raises NotUnit."""
    if "\\" in text:
        raise NotUnit(f"write '{text}' without a backslash, which is not the shell's")
    try:
        return shlex.split(text)
    except ValueError as fault:
        raise NotUnit(f"'{text}': {fault}") from None


def command_of(text: str, known: Mapping[str, str]) -> list[str] | str:
    """Return the command of an `ExecStart`: arguments, or a line for the shell.

    A line where it has variables, or may fail (`-` before it). Raises NotUnit.
    """
    prefix = re.match(r"[-@:+!|]*", text)
    marks = prefix[0] if prefix else ""
    if set(marks) - {"-"}:
        raise NotUnit(f"'{marks}' before the command has no counterpart")
    words = words_of(with_specifiers(text[len(marks) :], known))
    if not words:
        raise NotUnit("there is no command")
    if ";" in words:
        raise NotUnit("several commands in one line: write each in an ExecStart of its own")
    if not marks and not any("$" in word for word in words):
        return words
    line = " ".join(map(_shell_word, words))
    return f"{line} || :" if marks else line


def _shell_word(word: str) -> str:
    """Return a word for the shell, with variables as systemd takes them, and `$$` as a dollar."""
    if "$" not in word:
        return shlex.quote(word)
    alone = re.fullmatch(r"\$(\w+)", word)
    if alone:
        return word  # which is split at blanks there too
    parts: list[str] = []
    at = 0
    for found in re.finditer(r"\$\$|\$\{(\w+)\}", word):
        parts.append(_quoted(word[at : found.start()]))
        parts.append("'$'" if found[0] == "$$" else f'"{found[0]}"')
        at = found.end()
    parts.append(_quoted(word[at:]))
    return "".join(parts)


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""
