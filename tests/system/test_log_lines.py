"""What a run wrote, in bounded pieces: each line once, in its order, with its number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.system import log_lines
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.log_lines import LogLines, Piece

NUMBER = 5000


@pytest.fixture
def logs(tmp_path: Path) -> JobLogs:
    """The logs of a home where job `a` wrote numbered lines, each tenth as an error."""
    logs = JobLogs(Home(tmp_path))
    logs.directory("a").mkdir(parents=True)
    out, err, turns = b"", b"", b""
    for number in range(1, NUMBER + 1):
        line = b"line %d of a run\n" % number
        if number % 10:
            out += line
        else:
            turns += b"%d %d\n" % (len(out), len(err))
            err += line
            turns += b"%d %d\n" % (len(out), len(err))
    logs.stdout("a", 1).write_bytes(out)
    logs.stderr("a", 1).write_bytes(err)
    logs.order("a", 1).write_bytes(turns)
    return logs


@pytest.fixture
def lines(logs: JobLogs) -> Iterator[LogLines]:
    """The lines of that run."""
    opened = LogLines(logs, "a", 1)
    yield opened
    opened.close()


def numbers(piece: Piece) -> list[int]:
    """Return which lines a piece has, by what is in them; each must be numbered so."""
    found = [int(line.data.split()[1]) for line in piece.lines]
    assert found == [line.number for line in piece.lines]
    assert all(
        line.stream == (number % 10 == 0) for line, number in zip(piece.lines, found, strict=True)
    )
    return found


def test_pieces_one_after_another_have_every_line_once_in_its_order(lines: LogLines) -> None:
    piece, found = lines.after((0, 0)), list[int]()
    assert not piece.has_before
    while True:
        found += numbers(piece)
        assert len(piece.lines) <= log_lines.MOST_LINES
        if not piece.has_after:
            break
        piece = lines.after(piece.end)
    assert found == [*range(1, NUMBER + 1)]


def test_pieces_can_be_gone_through_from_the_end(lines: LogLines) -> None:
    piece, found = lines.last(), list[int]()
    assert not piece.has_after
    while True:
        found = numbers(piece) + found
        if not piece.has_before:
            break
        piece = lines.before(piece.begin)
    assert found == [*range(1, NUMBER + 1)]


@pytest.mark.parametrize("number", [1, 2, 9, 10, 11, 1234, 4990, NUMBER])
def test_a_line_is_found_by_its_number(lines: LogLines, number: int) -> None:
    assert numbers(lines.from_line(number))[0] == number


def test_after_the_last_line_comes_the_end(lines: LogLines) -> None:
    assert numbers(lines.from_line(NUMBER + 7))[-1] == NUMBER


def test_one_stream_is_numbered_by_itself(logs: JobLogs) -> None:
    lines = LogLines(logs, "a", 1, ("stderr",))
    piece = lines.from_line(3)
    assert (piece.lines[0].data, piece.lines[0].number) == (b"line 30 of a run\n", 3)
    lines.close()


def test_a_search_finds_every_line_and_goes_on_where_it_has_ended(lines: LogLines) -> None:
    piece, found = lines.search("LINE 4", (0, 0)), list[int]()
    assert len(piece.lines) == log_lines.MOST_FOUND
    while piece.lines:
        found += [line.number for line in piece.lines]
        piece = lines.search("LINE 4", piece.end)
    assert sorted(found) == [n for n in range(1, NUMBER + 1) if str(n).startswith("4")]


def test_a_line_without_an_end_is_shown_in_parts(logs: JobLogs) -> None:
    logs.stdout("a", 2).write_bytes(b"x" * 200_000 + b"\nlast")
    lines = LogLines(logs, "a", 2)
    piece, size = lines.after((0, 0)), 0
    while True:
        assert sum(len(line.data) for line in piece.lines) <= log_lines.MOST_BYTES
        size += sum(len(line.data) for line in piece.lines)
        if not piece.has_after:
            break
        piece = lines.after(piece.end)
    assert (size, piece.lines[-1].data, piece.lines[-1].number) == (200_005, b"last", 2)
    assert lines.last().lines[-1].data == b"last"
    assert [line.number for line in lines.search("last", (0, 0)).lines] == [2]
    lines.close()


def test_a_large_log_is_read_in_small_parts(logs: JobLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "SEARCHED_BYTES", 4_000_000)
    line = b"a line of a large log that has much more to say than this one needs to be\n"
    number = 10_000_000 // len(line)
    logs.stdout("a", 3).write_bytes(line * number + b"the needle\n")
    lines = LogLines(logs, "a", 3)
    piece, looks = lines.search("needle", (0, 0)), 1
    while not piece.lines:
        assert piece.has_after
        piece, looks = lines.search("needle", piece.end), looks + 1
    assert looks == 3
    assert piece.lines[0].number == number + 1
    piece = lines.from_line(number + 1)
    assert [each.data for each in piece.lines] == [b"the needle\n"]
    assert lines.last().lines[-1].number == number + 1
    lines.close()
