"""What a run shows on its terminal, as a log has it: lines of text, with their colours.

What only moves a cursor, switches the screen or names the window would be noise in a file, and
would leave the terminal of whoever shows that file in another state. A progress bar keeps its
carriage returns, by which readers know what it has written over.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    rb"\x1b(?:\[(?:[0-;]*([@-~])|[0-?]*[ -/]*[@-~])"
    rb"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
)
"""Those of ECMA-48: control sequences by their last byte, those that are a terminal's own and set
some mode of it, strings such as a title, short ones."""

_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)\Z|\r+\Z")
_STAYS_IN_LINE = b"mK"
_MOVES_ON_LINE = b"CDG`PX@"
_CHANGES_MODE = b"hlrnctqsi"
_LINE_ENDS = re.compile(rb"\r+\n")
_BELLS = b"\x07\x00"
_MOST_HELD = 4096


class ConsoleLog:
    """Takes what is shown, in pieces, and returns what to write down.

    What a piece leaves unfinished, a sequence or the end of a line, is kept for the next.
    """

    def __init__(self) -> None:
        self._held = b""
        self._is_at_start = True

    def feed(self, data: bytes) -> bytes:
        """Return a piece as the log has it."""
        data = self._held + data
        found = _UNFINISHED.search(data, max(0, len(data) - _MOST_HELD))
        cut = found.start() if found else len(data)
        data, self._held = data[:cut], data[cut:]
        return self._cleaned(data) if b"\x1b" in data else self._ended(data)

    def rest(self) -> bytes:
        """Return what was kept back, as no more comes."""
        data, self._held = self._held, b""
        return data if data.startswith(b"\r") else b""

    def _cleaned(self, data: bytes) -> bytes:
        """Return text without its sequences; one that moves to another line begins a line."""
        out = bytearray()
        at = 0
        for found in _SEQUENCE.finditer(data):
            out += self._ended(data[at : found.start()])
            at = found.end()
            final = found[1]
            if not final or final in _CHANGES_MODE:
                continue
            if final in _STAYS_IN_LINE:
                out += found[0]
            elif final in _MOVES_ON_LINE:
                out += b" "
            elif not self._is_at_start:
                out += self._ended(b"\n")
        return bytes(out) + self._ended(data[at:])

    def _ended(self, data: bytes) -> bytes:
        """Return text with the ends of lines that files have."""
        data = _LINE_ENDS.sub(b"\n", data).translate(None, _BELLS)
        if data:
            self._is_at_start = data.endswith(b"\n")
        return data
