"""In which order a run wrote into its two files, and when: `logs/jobs/ID/RUN.order`.

The command writes into the files itself, so this is sampled. Each line of the file is a turn: how
many bytes of standard output and of standard error there were, and when that was seen, in
milliseconds since 1970. There is one where one stream paused and the other went on, and one for
each tenth of a second in which something was written. A run that is over within a second, and
wrote into one stream alone, has no such file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

Sizes = tuple[int, int]
"""How many bytes of standard output and of standard error."""

Block = tuple[int, int, int]
"""Which stream (0 is standard output, 1 standard error), and from which byte to which."""

_OUT, _ERR, _BOTH = 1, 2, 3

_TIME_MILLIS = 100
"""How far the time of what was written may be off."""

_LATEST_MILLIS = 1 << 42
"""In the year 2109; what is later is damage."""


class Turn(NamedTuple):
    """How many bytes of each stream there were, and when that was seen; `millis` 0 is not known."""

    out: int
    err: int
    millis: int = 0


class Turns:
    """Finds the turns in the sizes of both files, which are looked at again and again."""

    def __init__(self) -> None:
        self._latest = self._noted = Turn(0, 0)
        self._growing = 0

    def look(self, sizes: Sizes, millis: int, *, is_error_first: bool) -> bytes:
        """Return what is to be added to the file, mostly nothing; `millis` is the time now.

        Where both have grown standard output comes before standard error, unless `is_error_first`.
        """
        before, latest = self._latest, Turn(*sizes, millis)
        growing = _OUT * (latest.out > before.out) | _ERR * (latest.err > before.err)
        if not growing:
            return b""
        turns = []
        has_turned = growing != self._growing or growing == _BOTH
        if has_turned or millis - before.millis >= _TIME_MILLIS:
            turns.append(before)
        if growing == _BOTH and is_error_first:
            turns.append(Turn(before.out, latest.err, millis))
        # the former is for whoever reads at this moment
        if (has_turned and all(sizes)) or millis - self._noted.millis >= _TIME_MILLIS:
            turns.append(latest)
        self._growing, self._latest = growing, latest
        return self._note(turns)

    def end(self) -> bytes:
        """Return what is to be added when nothing more will be written."""
        return self._note([self._latest])

    def _note(self, turns: Iterable[Turn]) -> bytes:
        lines = b""
        for turn in turns:
            if turn[:2] != self._noted[:2]:
                self._noted = turn
                lines += b"%d %d %d\n" % turn
        return lines


def read_turns(path: Path) -> list[Turn]:
    """Return the turns of a run, as far as they can be read; none where there is no such file."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # the last may be half a line
    except OSError:
        return []
    turns: list[Turn] = []
    for line in lines:
        words = line.split(b" ")
        if len(words) not in (2, 3) or not all(word.isdigit() for word in words):
            break
        turns.append(Turn(*map(int, words)))
    return turns


def millis_of(turns: Sequence[Turn], stream: int, byte: int) -> int:
    """Return when a byte of a stream (0 is standard output) was seen; 0 where that is not known."""
    at = bisect_right(turns, byte, key=lambda turn: turn[stream])
    millis = turns[at].millis if at < len(turns) else 0
    return millis if millis < _LATEST_MILLIS else 0


def blocks(
    turns: Iterable[Turn], start: Sizes, end: Sizes, *, is_error_first: bool
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
