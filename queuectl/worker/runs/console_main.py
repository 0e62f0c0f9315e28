"""The console of one run: a process between a run's terminal, or its input, and those who talk.

It is started for such a run alone, by its worker, with the end of a pair of sockets as standard
input, the run's log files as output and error, and the other end of the run's terminal or of the
pipe that the run reads from. What the run writes on its terminal it writes into the log, lines
ended as in any file, and to all that are attached. Nobody can make it wait: who does not take what
he is shown is let go, and what the run does not read is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable

from queuectl.system.console_socket import (
    ATTACH,
    DONE,
    END,
    KEYS,
    OUTPUT,
    OVER,
    REFUSED,
    SIZE,
    TYPE,
    WINDOW,
    frame,
    is_own,
    socket_name,
)
from queuectl.worker.runs.console_input import FAR, Input
from queuectl.worker.runs.console_log import ConsoleLog
from queuectl.worker.runs.guests import Guest, listen

_CONTROL, _LOG = 0, 1
_CHUNK = 65536
_REOPENED_SECONDS = 0.2
"""How often a terminal that nobody has open is looked at: somebody may open it again."""

_REST_SECONDS = 2.0
"""How long what a run left behind may go on writing on its terminal."""

_SHOWN_BYTES = 8192
"""So much of what was written last is shown to somebody who attaches."""

_SCREEN = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")
_OTHER_SCREEN = b"\x1b[?1049h"
_CUT_LINE = re.compile(rb"\A[^\n\x1b]*\n?")
_WINDOW = struct.Struct("HHHH")


class _Console:
    """All of it: `listener` is where people come in."""

    def __init__(self, listener: socket.socket | None, *, is_terminal: bool) -> None:
        self._listener = listener
        self._is_terminal = is_terminal
        self._input = Input(is_terminal=is_terminal)
        self._guests: dict[int, Guest] = {}
        self._log = ConsoleLog()
        self._shown = bytearray()
        self._is_other_screen = self._is_closed = False
        self._answers: dict[bytes, Callable[[Guest, bytes], str | None]] = {
            TYPE: self._type, END: self._end, ATTACH: self._attach,
            SIZE: self._set_size, KEYS: self._press,
        }  # fmt: skip

    def serve(self) -> None:
        """Go on until the worker says that the run is over, or has died; write down the rest."""
        while not (ready := self._wait()).get(_CONTROL):
            if self._is_terminal and (self._is_closed or ready.get(FAR)):
                self._read()
            if ready.get(FAR):
                self._input.look(ready[FAR])
            if self._listener and ready.get(self._listener.fileno()):
                self._let_in()
            for number in [*self._guests]:
                if ready.get(number):
                    self._hear(number)
        ends_at = time.monotonic() + _REST_SECONDS
        while self._is_terminal and self._read() and time.monotonic() < ends_at:
            pass
        _write_down(self._log.rest())
        for guest in self._guests.values():
            guest.connection.settimeout(_REOPENED_SECONDS)
            with contextlib.suppress(OSError):
                guest.connection.sendall(guest.pending + frame(OVER))

    def _wait(self) -> dict[int, int]:
        poll = select.poll()
        poll.register(_CONTROL, select.POLLIN)
        if self._input.is_open and not self._is_closed:
            poll.register(FAR, self._input.events | (select.POLLIN if self._is_terminal else 0))
        if self._listener:
            poll.register(self._listener, select.POLLIN)
        for number, guest in self._guests.items():
            poll.register(number, select.POLLIN | (select.POLLOUT if guest.pending else 0))
        return dict(poll.poll(_REOPENED_SECONDS * 1000 if self._is_closed else None))

    # what the run writes

    def _read(self) -> bool:
        """Take what the run has written on its terminal; False: there is nothing now."""
        try:
            data = os.read(FAR, _CHUNK)
        except BlockingIOError:
            self._is_closed = False
            return False
        except OSError:  # EIO: nobody has it open
            data = b""
        self._is_closed = not data
        if self._is_closed:
            return False
        _write_down(self._log.feed(data))
        for letter in _SCREEN.findall(bytes(self._shown[-8:]) + data)[-1:]:
            self._is_other_screen = letter == b"h"
        self._shown = (self._shown + data)[-_SHOWN_BYTES:]
        self._tell_all(data)
        return True

    def _tell_all(self, data: bytes) -> None:
        for number, guest in [*self._guests.items()]:
            if guest.is_attached and not guest.say(OUTPUT, data):
                self._let_go(number)

    # who talks

    def _let_in(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            if is_own(connection):
                self._guests[connection.fileno()] = Guest(connection)
            else:
                connection.close()

    def _let_go(self, number: int) -> None:
        self._guests.pop(number).connection.close()

    def _hear(self, number: int) -> None:
        """Do what somebody asks for, and answer."""
        guest = self._guests[number]
        try:
            data = guest.connection.recv(_CHUNK)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        is_well = guest.flush() and data != b""
        try:
            for letter, content in guest.frames.feed(data or b"") if is_well else ():
                refusal = self._answers[letter](guest, content)
                if refusal is not None:
                    answer = (REFUSED, refusal.encode()) if refusal else (DONE,)
                    is_well = guest.say(*answer) and is_well
                if letter == ATTACH and guest.is_attached:
                    is_well = guest.say(OUTPUT, self._recent()) and is_well
                    self._show_anew()
        except (ValueError, KeyError, struct.error):  # this is none of ours
            is_well = False
        if not is_well:
            self._let_go(number)

    def _type(self, _guest: Guest, content: bytes) -> str:
        refusal = self._input.refusal(content)
        if not refusal:
            self._input.type(content)
        return refusal

    def _press(self, guest: Guest, content: bytes) -> None:
        if guest.is_attached:
            self._type(guest, content)

    def _end(self, _guest: Guest, content: bytes) -> str:
        refusal = self._input.refusal(content)
        if not refusal:
            self._input.type(content)
            self._input.end()
        return refusal

    def _attach(self, guest: Guest, content: bytes) -> str:
        if not self._is_terminal:
            return "it has no terminal"
        guest.is_attached = True
        self._set_size(guest, content)
        return ""

    def _set_size(self, guest: Guest, content: bytes) -> None:
        rows, columns = WINDOW.unpack(content)
        if guest.is_attached and rows and columns:
            fcntl.ioctl(FAR, termios.TIOCSWINSZ, _WINDOW.pack(rows, columns, 0, 0))

    def _recent(self) -> bytes:
        """Return what was written last on the terminal, from where a line or a move begins."""
        recent = bytes(self._shown)
        if len(recent) == _SHOWN_BYTES:
            recent = _CUT_LINE.sub(b"", recent)
        return (_OTHER_SCREEN if self._is_other_screen else b"") + recent

    def _show_anew(self) -> None:
        """Have a program that draws the whole screen do so, although its size is as before."""
        with contextlib.suppress(OSError):
            if self._is_other_screen:
                os.killpg(os.tcgetpgrp(FAR), signal.SIGWINCH)


def _write_down(data: bytes) -> None:
    """Write into the log; a full disk does not stop the run."""
    with contextlib.suppress(OSError):
        os.write(_LOG, data)


def main() -> None:
    """Be the console of a run: KIND FOLDER RUN_ID are the arguments."""
    kind, folder, run_id = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)  # what ends the worker or the run ends this, too
    os.set_blocking(FAR, False)
    name = socket_name(run_id)
    listener = listen(folder, name)
    try:
        _Console(listener, is_terminal=kind == "terminal").serve()
    finally:
        if listener:
            with contextlib.suppress(OSError):
                os.unlink(name)
