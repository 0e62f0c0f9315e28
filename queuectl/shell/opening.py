"""The first moments: the start-up screen and the prompt stand before the editor is loaded.

Loading it takes longer than all the rest. What is typed meanwhile is kept for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator

from queuectl.shell.live import Snapshot
from queuectl.shell.welcome import welcome

PROMPT = "queuectl > "


def is_capable() -> bool:
    """Whether the terminal can do more than write one row after another."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def show(snapshot: Snapshot, *, colors: bool) -> None:
    """Write the start-up screen and, where the editor can write over it, the prompt."""
    styled = colors and is_capable()
    for line in welcome(snapshot, shutil.get_terminal_size().columns):
        sys.stdout.write(line.styled() if styled else line.text)
        sys.stdout.write("\n")
    sys.stdout.write(f"\n{PROMPT}" if is_capable() else "\n")
    sys.stdout.flush()


def hand_over() -> None:
    """Put the cursor where the editor begins to draw: over the prompt that is there already."""
    if is_capable():
        sys.stdout.write("\r")
        sys.stdout.flush()


@contextlib.contextmanager
def keys_held() -> Iterator[None]:
    """Leave what is typed unread and unseen, for whoever reads the terminal next."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    held = termios.tcgetattr(terminal)
    held[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    termios.tcsetattr(terminal, termios.TCSANOW, held)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
