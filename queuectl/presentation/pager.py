"""Long output on a terminal, page by page, through the program that git would use."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import subprocess

VARIABLES = ("QUEUECTL_PAGER", "PAGER")
"""The environment variables that name the pager, a line for the shell; the first one counts."""

_DEFAULT = "less"
_NONE = ("", "cat")
_OPTIONS = {"LESS": "FRX", "LV": "-c"}
"""What pagers are told unless the person's own environment says it: colours, no other screen."""


class PagerLeft(Exception):
    """The person has left the pager and wants to see no more."""


def pager() -> str | None:
    """Return the line for the shell that starts the pager; None where nothing is to be paged."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    named = next((os.environ[name] for name in VARIABLES if name in os.environ), None)
    line = (_DEFAULT if named is None else named).strip()
    if line in _NONE:
        return None
    from shutil import which

    return line if named is not None or which(line) else None


@contextlib.contextmanager
def paged() -> Iterator[None]:
    """Let what is written to standard output go through the pager if it is longer than a screen.

    Whoever leaves the pager ends what is done within, without an error.
    """
    line = pager()
    if line is None:
        yield
        return
    terminal = sys.stdout
    screen = _Screen(terminal, line)
    sys.stdout = screen
    try:
        yield
    except PagerLeft:
        pass
    finally:
        sys.stdout = terminal
        screen.finish()


class _Screen(io.TextIOBase):
    """Keeps what is written until it is more than fits the terminal; then starts the pager."""

    def __init__(self, terminal: TextIO, line: str) -> None:
        from shutil import get_terminal_size

        size = get_terminal_size()
        self._columns, self._rows_left = size.columns, size.lines - 1
        self._terminal = terminal
        self._line = line
        self._kept: list[str] = []
        self._popen: subprocess.Popen[str] | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in the stub
        """The encoding of the terminal."""
        return self._terminal.encoding

    def isatty(self) -> bool:
        """It stands for a terminal."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the terminal."""
        return self._terminal.fileno()

    def write(self, text: str) -> int:
        """Keep a text, or hand it to the pager. Raises PagerLeft when that is gone."""
        if self._popen is not None:
            self._send(self._popen, text)
            return len(text)
        self._kept.append(text)
        self._rows_left -= sum(1 + len(row) // self._columns for row in text.split("\n")[:-1])
        if self._rows_left < 0:
            self._popen = self._start()
            self._send(self._popen, "".join(self._kept))
            self._kept.clear()
        return len(text)

    def finish(self) -> None:
        """Write what was kept, or wait until the person leaves the pager."""
        if self._popen is None:
            self._terminal.write("".join(self._kept))
            return
        with contextlib.suppress(PagerLeft):
            self._send(self._popen, "", is_last=True)
        while True:
            try:
                self._popen.wait()
                return
            except KeyboardInterrupt:  # it is the pager that Ctrl-C is for
                continue

    def _start(self) -> subprocess.Popen[str]:
        import subprocess

        self._terminal.flush()
        return subprocess.Popen(
            self._line, shell=True, stdin=subprocess.PIPE, text=True,
            encoding=self._terminal.encoding, errors="backslashreplace",
            env={**_OPTIONS, **os.environ},
        )  # fmt: skip

    @staticmethod
    def _send(popen: subprocess.Popen[str], text: str, *, is_last: bool = False) -> None:
        assert popen.stdin is not None
        try:
            popen.stdin.write(text)
            if is_last:
                popen.stdin.close()
        except BrokenPipeError:
            raise PagerLeft from None
