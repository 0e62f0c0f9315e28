"""Ctrl-C while many things are written: it counts once a write is whole and counted."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_put_off() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block; pressed again it counts at once.

    So whoever is interrupted knows exactly what has been written. Where Ctrl-C is ignored or has
    another meaning, and beside the main thread, nothing is changed. Raises KeyboardInterrupt.
    """
    is_pressed = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_pressed
        if is_pressed:
            raise KeyboardInterrupt
        is_pressed = True

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # only the main thread may
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_pressed:
        raise KeyboardInterrupt


def how_to_go_on(file: str, last: str, *, in_shell: bool = False, is_lines: bool = False) -> str:
    """Return how the rest of a file of jobs is enqueued, after one whose place was `last`.

    `file` is `-` for standard input. Nothing is returned before the first. `in_shell` says that
    it is typed where a line of the system's shell begins with a mark, `is_lines` that the file has
    commands and no JSON.
    """
    name, _, number = last.rpartition(":")
    if not last:
        return ""
    if not number.isdecimal():  # one document: ` job 17` of it
        return f"; done is all up to{number}: --skip-existing passes over the ids that are there"
    if file == "-":
        return f"; {name} is done up to line {int(number):,}: go on with the line after it"
    option = "--lines" if is_lines else "-f"
    tail = f"tail -n +{int(number) + 1} {shlex.quote(file)}"
    rest = "!" * in_shell + f"{tail} | queuectl enqueue {option} -"
    return f"; done is all up to line {int(number):,}; the rest, with the same options: {rest}"
