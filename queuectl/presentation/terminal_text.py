"""What a job wrote as a terminal may show it: with its colours, and without what would stay.

A sequence that another program sends to a terminal may switch its screen or its character set,
name its window, or ask it for an answer that is typed into the shell. Colours are kept, and end
with each piece of text; all else is left out.
"""

from __future__ import annotations

import codecs
import re

_SEQUENCE = re.compile(
    r"(\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~]|))"
)
"""Those of ECMA-48: control sequences, strings such as a title, short ones, and what is none."""

_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\n]*|[ -/]*)")
_CONTROLS = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
"""All but those that stay on the line or begin another, and the one that begins a sequence."""

_IN_ONE = {0x80 + at: f"\x1b{chr(0x40 + at)}" for at in range(0x20)}
"""Controls of one character that are the beginning of a sequence."""

_HARMLESS = re.compile(r"\x1b\[[\d;:]*[mK]")
"""Colours and the like, and what clears the line that one is in."""

_RESET = "\x1b[0m"
_ENDS = ("\x1b[m", "\x1b[0m", "\x1b[0;", "\x1b[;", "\x1b[00m", "\x1b[00;")
"""How a sequence begins that ends all styles before it; some do nothing else."""

_LONGEST_SEQUENCE = 4096
_MOST_STYLES = 16


class TerminalText:
    """One stream of a job on its way to a terminal: bytes in, text out.

    What a piece of it leaves unfinished, a character or a sequence, is kept for the next. With
    `is_line` pieces are lines that something stands in front of: then of a line there is what its
    carriage returns have not written over.
    """

    def __init__(self, *, is_line: bool = False) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._is_line = is_line
        self._held = ""
        self._styles: list[str] = []

    def feed(self, data: bytes) -> str:
        """Return a piece as it may be shown; it ends in the terminal's own colours."""
        text = self._held + self._decode(data)
        self._held = ""
        if _CONTROLS.search(text):
            text = text.translate(_IN_ONE)
        begin = text.rfind("\x1b")
        if begin >= 0 and _UNFINISHED.fullmatch(text, begin):
            if len(text) - begin < _LONGEST_SEQUENCE:
                self._held = text[begin:]
            text = text[:begin]
        if self._is_line:
            text = _as_left(text)
        styles = "".join(self._styles)
        parts = _SEQUENCE.split(text)
        for at in range(1, len(parts), 2):
            parts[at] = self._kept(parts[at])
        body = _CONTROLS.sub("", "".join(parts))
        if not body or not (styles or "\x1b" in body):
            return body
        end = "\n" if body.endswith("\n") else ""  # a new line would take on the background
        return f"{styles}{body.removesuffix(end)}{_RESET}{end}"

    def _kept(self, sequence: str) -> str:
        """Return a sequence that may stay, or nothing."""
        if not _HARMLESS.fullmatch(sequence):
            return ""
        if sequence.endswith("K"):
            return "" if self._is_line else sequence
        if sequence.startswith(_ENDS):
            self._styles.clear()
        if sequence not in _ENDS:
            self._styles = [*self._styles[1 - _MOST_STYLES :], sequence]
        return sequence


def _as_left(line: str) -> str:
    """Return what is left of a line after its carriage returns, with the colours of all of it."""
    end = "\n" if line.endswith("\n") else ""
    *over, last = line.rstrip("\r\n").split("\r")
    styles = "".join(found[0] for part in over for found in _HARMLESS.finditer(part))
    return f"{styles}{last}{end}"
