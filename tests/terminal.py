"""A terminal that a program runs on, with the screen that a person would see."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import pexpect
import pyte

KEYS = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "end": "\x1b[F",
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "back": "\x7f",
    "ctrl-c": "\x03",
    "ctrl-d": "\x04",
}
"""What some keys send."""
PROMPT = "queuectl >"
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_QUIET_LOOKS = 4


class _Screen(pyte.Screen):
    """A screen that answers where its cursor is, as programs ask of a terminal."""

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        super().__init__(columns, rows)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        """Send what the terminal itself has to say."""
        self._answer(data)


_Self = TypeVar("_Self", bound="Terminal")


class Terminal:
    """A program on a terminal of `columns` by `rows`. A context manager, which ends it."""

    def __init__(
        self,
        args: Sequence[str],
        env: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
        *,
        module: str = "queuectl",
    ) -> None:
        self.screen = _Screen(columns, rows, self.press)
        kept = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
        self._stream = pyte.ByteStream(self.screen)
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable, ["-m", module, *args], dimensions=(rows, columns),
            env={**kept, "TERM": "xterm-256color"},
        )  # fmt: skip
        self._child.delaybeforesend = None
        self.code: int | None = None

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        self._child.close(force=True)

    @property
    def lines(self) -> list[str]:
        """The lines that are on the screen, from top to bottom."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The whole screen."""
        return "\n".join(self.lines)

    @property
    def colors(self) -> set[str]:
        """The colours of all that is on the screen."""
        return {cell.fg for line in self.screen.buffer.values() for cell in line.values()}

    def press(self, *keys: str) -> None:
        """Press keys by their names, or type the text as it is."""
        for key in keys:
            self._child.send(KEYS.get(key, key))

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; the program is told."""
        self.screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Read what the program writes until a condition holds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            is_over = self.code is not None or time.monotonic() > deadline
            assert not is_over, f"no {what} on the screen:\n{self.text}"
            self._read()

    def shows(self, *texts: str) -> None:
        """Wait until all of the texts are on the screen at once."""
        self.until(lambda: all(text in self.text for text in texts), " and ".join(texts))

    def loses(self, text: str) -> None:
        """Wait until a text is on the screen no more."""
        self.until(lambda: text not in self.text, f"end of '{text}'")

    def settles(self) -> None:
        """Wait until the program writes nothing more for a moment."""
        before = ""
        while before != self.text:
            before = self.text
            for _ in range(_QUIET_LOOKS):
                self._read()

    def ends(self) -> int | None:
        """Wait until the program has ended; return its exit code."""
        self.until(lambda: self.code is not None, "end of the program")
        return self.code

    def _read(self) -> None:
        try:
            self._stream.feed(self._child.read_nonblocking(65536, timeout=_LOOK_SECONDS))
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            self._child.close()
            self.code = self._child.exitstatus


class Shell(Terminal):
    """The shell on a terminal: its prompt, what is typed there, and the row at the bottom."""

    @property
    def prompt_row(self) -> str:
        """The last row that begins with the prompt."""
        return next((line for line in reversed(self.lines) if line.startswith(PROMPT)), "")

    @property
    def is_free(self) -> bool:
        """Whether the cursor stands at an empty prompt."""
        cursor = self.screen.cursor
        return self.lines[cursor.y] == PROMPT and cursor.x == len(PROMPT) + 1

    def is_at(self, line: str) -> None:
        """Wait until the last prompt has this line behind it, and nothing more."""
        self.until(lambda: self.prompt_row == f"{PROMPT} {line}".rstrip(), f"prompt with '{line}'")

    def frees(self) -> None:
        """Wait until the last command is over and the prompt is empty again."""
        self.until(lambda: self.is_free, "empty prompt")

    def enter(self, line: str) -> None:
        """Type a line as a person does, who waits for the prompt, and have it run."""
        self.frees()
        self.press(line)
        self.shows(line[-20:])
        self.press("enter")

    def clear(self) -> None:
        """Throw away what is typed."""
        self.press("ctrl-c")
        self.frees()

    def status(self, *texts: str) -> None:
        """Wait until the bottom row has some texts in it."""
        self.until(lambda: all(text in self.lines[-1] for text in texts), " and ".join(texts))

    def look_of(self, word: str) -> tuple[str, bool]:
        """Return the colour in which a word stands behind the last prompt, and if it is slanted."""
        number = max(at for at, row in enumerate(self.lines) if row.startswith(PROMPT))
        cell = self.screen.buffer[number][self.lines[number].index(word, len(PROMPT))]
        return cell.fg, cell.italics
