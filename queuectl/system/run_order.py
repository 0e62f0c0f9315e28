"""In which order a run wrote into its two files: `logs/jobs/ID/RUN.order`.

The command writes into the files itself, so the order is sampled: each line of the file is a turn,
the bytes of standard output and of standard error that there were when one of them paused and the
other went on. A run that writes into one of them alone has no such file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

Sizes = tuple[int, int]
"""How many bytes of standard output and of standard error."""

Block = tuple[int, int, int]
"""Which stream (0 is standard output, 1 standard error), and from which byte to which."""

_OUT, _ERR, _BOTH = 1, 2, 3


class Turns:
    """Finds the turns in the sizes of both files, which are looked at again and again."""

    def __init__(self) -> None:
        self._sizes: Sizes = (0, 0)
        self._noted: Sizes = (0, 0)
        self._growing = 0

    def look(self, sizes: Sizes, *, is_error_first: bool) -> bytes:
        """Return what is to be added to the file, mostly nothing.

        Where both have grown standard output comes before standard error, unless `is_error_first`.
        """
        out, err = self._sizes
        growing = _OUT * (sizes[0] > out) | _ERR * (sizes[1] > err)
        if not growing:
            return b""
        turns = []
        if growing != self._growing or growing == _BOTH:
            turns.append(self._sizes)
            if growing == _BOTH and is_error_first:
                turns.append((out, sizes[1]))
            if all(sizes):  # for whoever reads at this moment
                turns.append(sizes)
        self._growing, self._sizes = growing, sizes
        lines = b""
        for turn in turns:
            if turn != self._noted:
                self._noted = turn
                lines += b"%d %d\n" % turn
        return lines


def read_turns(path: Path) -> list[Sizes]:
    """Return the turns of a run, as far as they can be read; none where there is no such file."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # the last may be half a line
    except OSError:
        return []
    turns: list[Sizes] = []
    for line in lines:
        out, _, err = line.partition(b" ")
        if not (out.isdigit() and err.isdigit()):
            break
        turns.append((int(out), int(err)))
    return turns


def blocks(
    turns: Iterable[Sizes], start: Sizes, end: Sizes, *, is_error_first: bool
) -> Iterator[Block]:
    """Yield what was written after `start` and up to `end`, in the order in which it came.

    What was written after the last turn has no known order: standard output comes first, unless
    `is_error_first`.
    """
    at = list(start)
    for turn in turns:
        for stream in (0, 1):
            until = min(turn[stream], end[stream])
            if until > at[stream]:
                yield stream, at[stream], until
                at[stream] = until
    for stream in (1, 0) if is_error_first else (0, 1):
        if end[stream] > at[stream]:
            yield stream, at[stream], end[stream]
