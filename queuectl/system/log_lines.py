"""What a run wrote, in pieces of a bounded size: from any place on, by line, or what has a word.

A place is how much of each stream comes before it, in bytes. Lines are numbered in the order in
which both streams came. So that a line is found without reading what is before it, how many there
are is kept for each stretch of a file that has been looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from datetime import datetime

from queuectl.domain.frozen import frozen
from queuectl.system.job_logs import JobLogs
from queuectl.system.line_index import STRETCH, lines_before
from queuectl.system.run_order import Sizes
from queuectl.system.run_reader import STREAMS, RunReader

MOST_BYTES = 48 * 1024
MOST_LINES = 1000
"""How much a piece has at most."""

LONGEST_LINE = 16 * 1024
"""Of a longer line so much is shown as a line, and then the next so much of it."""

SEARCHED_BYTES = 32 * 1024 * 1024
"""How much is searched before an answer is given, with the place to go on at."""

MOST_FOUND = 200


@frozen
class Line:
    """A line: of which stream (0 is standard output), from which byte on, and its number."""

    stream: int
    begin: int
    data: bytes
    number: int = 0


@frozen
class Piece:
    """Some lines one after another, and the places where they begin and end.

    `has_before` and `has_after` say whether there is more; of a search `lines` are those found.
    """

    lines: tuple[Line, ...]
    begin: Sizes
    end: Sizes
    has_before: bool
    has_after: bool


class LogLines:
    """The lines of one run, of some of its streams. Must be closed."""

    def __init__(
        self, logs: JobLogs, job_id: str, run: int, streams: Collection[str] = STREAMS
    ) -> None:
        self._reader = RunReader(logs, job_id, run, streams)
        self.sizes = self._reader.sizes

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    @property
    def total(self) -> int:
        """How many lines there are."""
        return self._lines_before(self.sizes) + self._has_open_line

    def written_at(self, line: Line) -> datetime:
        """Return when a line was begun, as `RunReader.written_at` does."""
        return self._reader.written_at(line.stream, line.begin)

    def after(self, place: Sizes) -> Piece:
        """Return what comes after a place."""
        begin = self._bounded(place)
        lines, size, end = list[Line](), 0, begin
        for line, at in self._lines(begin):
            if lines and (size + len(line.data) > MOST_BYTES or len(lines) >= MOST_LINES):
                break
            lines.append(line)
            size, end = size + len(line.data), at
        return self._piece(lines, begin, end)

    def before(self, place: Sizes) -> Piece:
        """Return what comes before a place."""
        end = self._bounded(place)
        reader = self._reader
        reader.skip_to_last(MOST_BYTES, end)
        begin = self._at_line(reader.at, end)
        kept, ends, size = list[Line](), list[Sizes](), 0
        for line, at in self._lines(begin):
            if line.begin < end[line.stream]:
                kept.append(line)
                ends.append(at)
            size += len(line.data)
            if (at[0] >= end[0] and at[1] >= end[1]) or size > 2 * MOST_BYTES:
                break  # of a place that never was there may be more
        if len(kept) > MOST_LINES:
            begin = ends[-MOST_LINES - 1]
        return self._piece(kept[-MOST_LINES:], begin, end)

    def last(self) -> Piece:
        """Return the end."""
        return self.before(self.sizes)

    def from_line(self, number: int) -> Piece:
        """Return what begins with the line of a number, the first being 1; the end after it."""
        turns = self._reader.turns
        places = [(min(each.out, self.sizes[0]), min(each.err, self.sizes[1])) for each in turns]
        places = [(0, 0), *places]
        wanted = max(0, number - 1)
        at = bisect_left(places, wanted + 1, key=self._lines_before) - 1
        place = self._skipped(places[max(at, 0)], wanted)
        place = self._forward(place, wanted - self._lines_before(place))
        return self.after(place) if place != self.sizes else self.last()

    def search(self, text: str, place: Sizes) -> Piece:
        """Return the lines after a place that have a text, in whatever case of ASCII letters."""
        wanted = text.encode(errors="surrogateescape").lower()
        begin = self._bounded(place)
        found, size, end = list[Line](), 0, begin
        number = 1 + self._lines_before(begin)
        for block, at in self._blocks(begin):
            small, from_byte = block.data.lower(), 0
            while len(found) < MOST_FOUND and (hit := small.find(wanted, from_byte)) >= 0:
                start = block.data.rfind(b"\n", 0, hit) + 1
                stop = block.data.find(b"\n", hit) + 1 or len(block.data)
                shown = block.data[max(start, hit - LONGEST_LINE // 2) : stop][:LONGEST_LINE]
                nth = number + block.data.count(b"\n", 0, start)
                found.append(Line(block.stream, block.begin + start, shown, nth))
                from_byte = stop
            number += block.data.count(b"\n")
            size, end = size + len(block.data), at
            if len(found) >= MOST_FOUND:
                end = _placed(end, found[-1].stream, block.begin + from_byte)
                break
            if size >= SEARCHED_BYTES:
                break
        return Piece(tuple(found), begin, end, any(begin), self._is_before_end(end))

    def _piece(self, lines: list[Line], begin: Sizes, end: Sizes) -> Piece:
        number = 1 + self._lines_before(begin)
        numbered = []
        for line in lines:
            numbered.append(Line(line.stream, line.begin, line.data, number))
            number += line.data.endswith(b"\n")
        return Piece(tuple(numbered), begin, end, any(begin), self._is_before_end(end))

    def _is_before_end(self, place: Sizes) -> bool:
        return place[0] < self.sizes[0] or place[1] < self.sizes[1]

    @property
    def _has_open_line(self) -> bool:
        """Whether a stream ends within a line."""
        ends = (self._reader.peek(n, size - 1, 1) for n, size in enumerate(self.sizes) if size)
        return any(end != b"\n" for end in ends)

    def _bounded(self, place: Sizes) -> Sizes:
        return min(place[0], self.sizes[0]), min(place[1], self.sizes[1])

    def _blocks(self, place: Sizes) -> Iterator[tuple[Line, Sizes]]:
        """Yield whole lines of one stream after another, as many as there are at once.

        Each comes with the place up to which all has been yielded then.
        """
        reader = self._reader
        reader.go_to(place)
        kept, begin = [b"", b""], list(place)
        for piece in reader.read():
            stream = STREAMS.index(piece.stream)
            data = kept[stream] + piece.data
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) >= LONGEST_LINE:
                cut = len(data)
            kept[stream] = data[cut:]
            block = Line(stream, begin[stream], data[:cut])
            begin[stream] = reader.at[stream] - len(kept[stream])
            if cut:
                yield block, (begin[0], begin[1])
        for stream, data in enumerate(kept):
            block = Line(stream, begin[stream], data)
            begin[stream] += len(data)
            if data:
                yield block, (begin[0], begin[1])

    def _lines(self, place: Sizes) -> Iterator[tuple[Line, Sizes]]:
        """Yield each line after a place, with the place after it."""
        for block, after in self._blocks(place):
            at = block.begin
            for data in _split(block.data):
                line = Line(block.stream, at, data)
                at += len(data)
                is_last = at == block.begin + len(block.data)
                yield line, after if is_last else _placed(after, block.stream, at)

    def _at_line(self, place: Sizes, end: Sizes) -> Sizes:
        """Return the place where the first whole lines after one begin, in each stream."""
        at = list(place)
        for stream, begin in enumerate(place):
            if not 0 < begin < end[stream]:
                continue
            data = self._reader.peek(stream, begin - 1, min(LONGEST_LINE, end[stream] - begin) + 1)
            cut = data.find(b"\n")
            at[stream] = begin + cut if cut >= 0 else begin
        return at[0], at[1]

    def _lines_before(self, place: Sizes) -> int:
        """Return how many lines have ended before a place."""
        return sum(
            lines_before(file, until)
            for file, until in zip(self._reader.files, place, strict=True)
            if file is not None and until
        )

    def _skipped(self, place: Sizes, lines: int) -> Sizes:
        """Return a place after one, before which fewer lines end; of the last stream alone."""
        for stream in (0, 1):
            if place[1 - stream] < self.sizes[1 - stream]:
                continue
            while place[stream] + STRETCH <= self.sizes[stream]:
                further = _placed(place, stream, place[stream] + STRETCH)
                if self._lines_before(further) >= lines:
                    break
                place = further
        return place

    def _forward(self, place: Sizes, lines: int) -> Sizes:
        """Return the place so many lines after one."""
        at = place
        for block, after in self._blocks(place):
            if lines <= 0:
                return at
            number = block.data.count(b"\n")
            if number < lines:
                lines, at = lines - number, after
                continue
            cut = 0
            for _ in range(lines):
                cut = block.data.index(b"\n", cut) + 1
            return _placed(at, block.stream, block.begin + cut)
        return at if lines <= 0 else self.sizes


def _split(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at, at + LONGEST_LINE) + 1 or min(at + LONGEST_LINE, len(data))
        yield data[at:end]
        at = end


def _placed(place: Sizes, stream: int, until: int) -> Sizes:
    """Return a place with another number of bytes of one stream."""
    return (until, place[1]) if stream == 0 else (place[0], until)
