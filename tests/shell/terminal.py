"""A shell on a terminal whose screen can be looked at."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

from tests.cli.harness import environment

SECONDS = 30.0
UP, DOWN, TAB = "\x1b[A", "\x1b[B", "\t"
CONTROL_C = "\x03"


class Screen(pyte.Screen):
    """A screen that answers when it is asked where its cursor is."""

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        super().__init__(columns, rows)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        """Send what the terminal itself types."""
        self._answer(data)


class Terminal:
    """`queuectl` on a terminal of some size; close it when done."""

    def __init__(self, columns: int = 80, rows: int = 24, *args: str, **variables: str) -> None:
        self._screen = Screen(columns, rows, self.type)
        self._stream = pyte.ByteStream(self._screen)
        given = {"TERM": "xterm-256color", "LINES": "", "COLUMNS": ""}
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable,
            ["-m", "queuectl", *args],
            timeout=SECONDS,
            env={**environment(), **given, **variables},
            dimensions=(rows, columns),
        )

    def type(self, keys: str) -> None:
        """Press keys."""
        self.child.send(keys)

    def enter(self, line: str) -> None:
        """Type a line as a person does who reads on, and have it run."""
        self.type(line)
        self.wait_for(line[-20:])
        self.type("\r")

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def rows(self) -> list[str]:
        """Return the rows of the screen as they are now."""
        return [row.rstrip() for row in self._screen.display]

    def text(self) -> str:
        """Return what is on the screen, without the empty rows at its end."""
        return "\n".join(self.rows()).rstrip()

    def prompt_row(self) -> str:
        """Return the last row that begins with the prompt."""
        return next((row for row in reversed(self.rows()) if row.startswith("queuectl >")), "")

    def colours(self) -> set[str]:
        """Return the colours of all that is on the screen."""
        return {cell.fg for row in self._screen.buffer.values() for cell in row.values()}

    def colour_of(self, word: str) -> str:
        """Return the colour in which a word stands behind the last prompt."""
        number = max(at for at, row in enumerate(self.rows()) if row.startswith("queuectl >"))
        column = self.rows()[number].index(word)
        return str(self._screen.buffer[number][column].fg)

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Read what the program writes until something holds of the screen."""
        deadline = time.monotonic() + SECONDS
        while not holds():
            try:
                self._stream.feed(self.child.read_nonblocking(65536, timeout=0.1))
            except pexpect.TIMEOUT:
                assert time.monotonic() < deadline, f"no {what!r} in\n{self.text()}"
            except pexpect.EOF:
                assert holds(), f"ended without {what!r}:\n{self.text()}"

    def wait_for(self, *texts: str) -> None:
        """Wait until all of some texts are on the screen at once."""
        self.wait_until(lambda: all(text in self.text() for text in texts), " and ".join(texts))

    def wait_without(self, text: str) -> None:
        """Wait until a text is not on the screen any more."""
        self.wait_until(lambda: text not in self.text(), f"screen without {text}")

    def wait_for_status(self, *texts: str) -> None:
        """Wait until the bottom row has some texts in it."""
        self.wait_until(lambda: all(text in self.rows()[-1] for text in texts), " and ".join(texts))

    def close(self) -> None:
        """End the program."""
        self.child.close(force=True)


def read_history(home: Path) -> str:
    """Return what the shell keeps of what was typed."""
    return (home / "history").read_text()
