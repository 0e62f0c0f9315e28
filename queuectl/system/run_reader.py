"""Reading what a run wrote, both streams in the order in which it came, while it comes or later."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from queuectl.domain.times import from_millis
from queuectl.system import holes
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_order import Block, Sizes, Turn, blocks, millis_of, read_turns

STREAMS = ("stdout", "stderr")
_CHUNK = 64 * 1024
_MOST_WAITS = 2


class Piece(NamedTuple):
    """Some of what a run wrote into one stream, as it wrote it."""

    stream: str
    data: bytes


class RunReader:
    """Reads the files of one run, where there are any yet. Must be closed."""

    def __init__(
        self,
        logs: JobLogs,
        job_id: str,
        run: int,
        streams: Collection[str] = STREAMS,
        last: int | None = None,
    ) -> None:
        """Begin with the `last` lines of what is there, with all unless said."""
        self._paths = (logs.stdout(job_id, run), logs.stderr(job_id, run))
        self._order = logs.order(job_id, run)
        self._streams = [name in streams for name in STREAMS]
        self._files: list[int | None] = [None, None]
        self._at = [0, 0]
        self._waits = 0
        self._turns: tuple[int, list[Turn]] = (0, [])
        self.is_waiting = False
        """Whether something was left for the next time, which should come soon."""

        if last is not None:
            self._skip_to(last)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            if file is not None:
                os.close(file)
        self._files = [None, None]

    @property
    def has_files(self) -> bool:
        """Whether there is a file of the run."""
        return any(path.exists() for path in self._paths)

    @property
    def sizes(self) -> Sizes:
        """How much is in each stream, in bytes; of a stream that is not asked for nothing."""
        return self._size(0), self._size(1)

    def read(self, *, is_over: bool = True) -> Iterator[Piece]:
        """Yield what is new since the last time.

        While the run is not over, what has no known order yet may be left for the next time.
        """
        for stream, _, until in self._blocks(self.sizes, is_over=is_over):
            file = self._files[stream]
            while file is not None and self._at[stream] < until:
                at = self._at[stream]
                data = os.pread(file, min(_CHUNK, until - at), at)
                if not data:
                    break  # somebody has cut the file
                data, self._at[stream] = _without_hole(file, at, data)
                yield Piece(STREAMS[stream], data)

    @property
    def at(self) -> Sizes:
        """How much of each stream comes before what is read next, in bytes."""
        return self._at[0], self._at[1]

    @property
    def files(self) -> tuple[int | None, int | None]:
        """The open files of both streams, of those that are there."""
        return self._files[0], self._files[1]

    @property
    def turns(self) -> list[Turn]:
        """How much of each stream there was, and when: whenever one paused, and now and then."""
        try:
            size = self._order.stat().st_size
        except OSError:
            return []
        if size != self._turns[0]:
            self._turns = size, read_turns(self._order)
        return self._turns[1]

    def written_at(self, stream: int, byte: int) -> datetime:
        """Return when a byte of a stream was written, to a tenth of a second; 0 is standard output.

        Of what came last, or within the first second, that is when its file was last written to.
        """
        millis = millis_of(self.turns, stream, byte)
        file = self._files[stream]
        if not millis and file is not None:
            millis = os.fstat(file).st_mtime_ns // 1_000_000
        return from_millis(millis)

    def go_to(self, place: Sizes) -> None:
        """Go on after so much of each stream."""
        self._at = [*place]

    def peek(self, stream: int, begin: int, size: int) -> bytes:
        """Return a part of one stream (0 is standard output), and stay where it is."""
        file = self._files[stream]
        return b"" if file is None else os.pread(file, size, begin)

    def skip_to_last(self, size: int, end: Sizes | None = None) -> None:
        """Begin with the last bytes before an end, of both streams together; of what there is."""
        end = end or self.sizes
        self._at = [0, 0]
        at = list(end)
        for stream, begin, until in reversed([*self._blocks(end, is_over=True)]):
            at[stream] = max(begin, until - size)
            size -= until - at[stream]
            if size <= 0:
                break
        self._at = at

    def _size(self, stream: int) -> int:
        if not self._streams[stream]:
            return 0
        file = self._files[stream]
        if file is None:
            try:
                file = self._files[stream] = os.open(self._paths[stream], os.O_RDONLY)
            except FileNotFoundError:
                return 0
        return os.lseek(file, 0, os.SEEK_END)

    def _blocks(self, end: Sizes, *, is_over: bool) -> Iterator[Block]:
        """Return what there is to be read, in its order."""
        start = (self._at[0], self._at[1])
        if not _is_mixed(start, end):
            self.is_waiting = False
            return blocks((), start, end, is_error_first=False)
        turns = self.turns
        known = turns[-1] if turns else (0, 0)
        known = max(start[0], known[0]), max(start[1], known[1])
        self.is_waiting = not is_over and _is_mixed(known, end) and self._waits < _MOST_WAITS
        self._waits = self._waits + 1 if self.is_waiting else 0
        if self.is_waiting:  # whoever samples will tell
            return blocks(turns, start, known, is_error_first=False)
        return blocks(turns, start, end, is_error_first=self._is_error_older())

    def _is_error_older(self) -> bool:
        """Whether standard error was written to before standard output was, the last time each."""
        stdout, stderr = self._files
        if stdout is None or stderr is None:
            return False
        return os.fstat(stderr).st_mtime_ns < os.fstat(stdout).st_mtime_ns

    def _skip_to(self, lines: int) -> None:
        """Go to where the last lines begin, of both streams together."""
        end = self.sizes
        missing, at = lines, list(end)
        for stream, begin, until in reversed([*self._blocks(end, is_over=True)]):
            file = self._files[stream]
            if missing <= 0 or file is None:
                break
            is_last = until == end[stream]
            at[stream], missing = _back(file, begin, until, missing, is_last=is_last)
        for stream, file in enumerate(self._files):
            if file is not None and 0 < at[stream] < end[stream]:  # not within a line
                at[stream], _ = _back(file, 0, at[stream], 0, is_last=False)
        self._at = at


def whole_lines(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield pieces so that no line of one stream is torn by the other."""
    kept = dict.fromkeys(STREAMS, b"")
    for stream, data in pieces:
        data = kept[stream] + data
        cut = data.rfind(b"\n") + 1
        kept[stream] = data[cut:]
        if cut:
            yield Piece(stream, data[:cut])
    yield from (Piece(stream, data) for stream, data in kept.items() if data)


def _is_mixed(start: Sizes, end: Sizes) -> bool:
    return end[0] > start[0] and end[1] > start[1]


def _back(file: int, begin: int, until: int, lines: int, *, is_last: bool) -> tuple[int, int]:
    """Go back over lines of a part of a file; return where they begin, and how many are missing.

    The last line of a file may lack its end, and counts.
    """
    position, left = until, lines
    while position > begin:
        size = min(_CHUNK, position - begin)
        block = os.pread(file, size, position - size)
        if is_last and position == until and not block.endswith(b"\n"):
            left -= 1
        hole = holes.hole_in(file, position - size, block)
        if hole is not None:
            return os.lseek(file, 0, os.SEEK_HOLE), 0  # what is before it is not looked for
        position -= size
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if left == 0:
                return position + at + 1, 0
            left -= 1
    return begin, left


def _without_hole(file: int, start: int, data: bytes) -> tuple[bytes, int]:
    """Return what is read before a hole, or in its place, and where to go on."""
    hole = holes.hole_in(file, start, data)
    if hole is None:
        return data, start + len(data)
    begin, end = hole
    if begin > start:
        return data[: begin - start], begin
    return b"\n[queuectl: %d bytes dropped here, see max_log_bytes]\n" % (end - begin), end
