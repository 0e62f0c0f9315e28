"""What a run reads that people can talk to, at its console: a terminal's side, or a pipe's."""

from __future__ import annotations

import os
import select
import termios

from queuectl.system.console_socket import MOST_BYTES

FAR = 3
"""A console's descriptor of the other end of what the command reads from."""

_CHUNK = 65536


class Input:
    """What the run reads; what it has not read yet is kept back for it."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._pending = bytearray()
        self._is_amid_line = self._is_ending = False
        self.is_open = True

    @property
    def events(self) -> int:
        """What to wait for, beside the end of whoever reads: room for what is pending."""
        return select.POLLOUT if self._pending else 0

    def refusal(self, data: bytes) -> str:
        """Return why something cannot be typed, or an empty text."""
        if not self.is_open or self._is_ending:
            return "its input has ended"
        if len(self._pending) + len(data) > MOST_BYTES:
            return "it has not read what was sent before"
        return ""

    def type(self, data: bytes) -> None:
        """Take what is typed."""
        self._pending += data
        if data:
            self._is_amid_line = data[-1:] not in (b"\r", b"\n")
        self.write()

    def end(self) -> None:
        """End the input: on a terminal as its key for that does, which ends a line first."""
        if self._is_terminal:
            key = termios.tcgetattr(FAR)[6][termios.VEOF]
            self.type(key * (2 if self._is_amid_line else 1))
            self._is_amid_line = False  # the first of two ends the line
            return
        self._is_ending = True
        self.write()

    def write(self) -> None:
        """Write what there is room for."""
        try:
            while self._pending:
                del self._pending[: os.write(FAR, self._pending[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # whoever read has let go of it
            self._pending.clear()
            self._is_ending = not self._is_terminal
        if self._is_ending:
            self._close()

    def look(self, events: int) -> None:
        """Go on writing, or close a pipe of which nobody has the other end any more."""
        if not self._is_terminal and events & (select.POLLERR | select.POLLHUP):
            self._close()
        else:
            self.write()

    def _close(self) -> None:
        if self.is_open and not self._is_terminal:
            os.close(FAR)
            self.is_open = False
