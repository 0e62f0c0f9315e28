"""In which order a run wrote into its two files, as it is sampled, kept and read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.domain.times import to_millis
from queuectl.system import holes
from queuectl.system.home import Home
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_order import Sizes, Turn, Turns, blocks, read_turns
from queuectl.system.run_reader import RunReader


@pytest.mark.parametrize(
    ("looks", "lines"),
    [
        ([(5, 0), (9, 0), (20, 0)], b"5 0 1001\n"),
        ([(0, 5), (0, 9)], b"0 5 1001\n"),
        (
            [(5, 0), (9, 0), (9, 4), (9, 8), (12, 8)],
            b"5 0 1001\n9 0 1002\n9 4 1003\n9 8 1004\n12 8 1005\n",
        ),
        ([(5, 3), (9, 3)], b"5 3 1001\n9 3 1002\n"),
        ([(5, 3), (9, 7), (9, 7), (10, 7)], b"5 3 1001\n9 7 1002\n10 7 1004\n"),
        ([(5, 0), (5, 0), (8, 4)], b"5 0 1001\n8 4 1003\n"),
    ],
)
def test_a_turn_is_noted_whenever_the_other_stream_goes_on(
    looks: list[Sizes], lines: bytes
) -> None:
    turns = Turns()
    noted = (
        turns.look(sizes, millis, is_error_first=False) for millis, sizes in enumerate(looks, 1001)
    )
    assert b"".join(noted) == lines


@pytest.mark.parametrize(
    ("looks", "lines"),
    [
        ([(1000, 5), (1050, 9), (1120, 12)], b"5 0 1000\n12 0 1120\n"),
        ([(1000, 5), (1050, 9), (1060, 12)], b"5 0 1000\n12 0 1060\n"),
        # what came before a pause is not taken for what came after it
        ([(1000, 5), (1050, 9), (9000, 12)], b"5 0 1000\n9 0 1050\n12 0 9000\n"),
    ],
)
def test_the_time_of_what_is_written_is_noted_to_a_tenth_of_a_second(
    looks: list[tuple[int, int]], lines: bytes
) -> None:
    turns = Turns()
    noted = [turns.look((size, 0), millis, is_error_first=False) for millis, size in looks]
    assert b"".join(noted) + turns.end() == lines
    assert turns.end() == b""


def test_standard_error_that_came_first_is_noted_so() -> None:
    turns = Turns()
    turns.look((5, 0), 1000, is_error_first=False)
    assert turns.look((9, 4), 1001, is_error_first=True) == b"5 4 1001\n9 4 1001\n"


@pytest.mark.parametrize(
    ("turns", "is_error_first", "found"),
    [
        ([], False, [(0, 0, 9), (1, 0, 7)]),
        ([], True, [(1, 0, 7), (0, 0, 9)]),
        ([(5, 0), (5, 7)], False, [(0, 0, 5), (1, 0, 7), (0, 5, 9)]),
        ([(5, 2)], True, [(0, 0, 5), (1, 0, 2), (1, 2, 7), (0, 5, 9)]),
        ([(50, 2)], False, [(0, 0, 9), (1, 0, 2), (1, 2, 7)]),  # of a file that was cut since
    ],
)
def test_what_was_written_is_read_turn_by_turn(
    turns: list[Sizes], is_error_first: bool, found: list[tuple[int, int, int]]
) -> None:
    noted = [Turn(*sizes) for sizes in turns]
    assert list(blocks(noted, (0, 0), (9, 7), is_error_first=is_error_first)) == found


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("5 0\n5 7 1000\n9", [(5, 0, 0), (5, 7, 1000)]),
        ("5 0\nrubbish\n9 9\n", [(5, 0, 0)]),
        ("5 0 1 2\n", []),
    ],
)
def test_half_a_line_or_a_damaged_one_ends_the_order(
    tmp_path: Path, text: str, turns: list[tuple[int, int, int]]
) -> None:
    path = tmp_path / "1.order"
    path.write_text(text)
    assert read_turns(path) == turns
    assert read_turns(tmp_path / "2.order") == []


class Written:
    """The files of a run, as a worker leaves them."""

    def __init__(self, root: Path) -> None:
        self.logs = JobLogs(Home(root))
        self.logs.directory("a").mkdir(parents=True)

    def write(self, out: str, err: str, order: str = "") -> None:
        """Replace what is in them."""
        self.logs.stdout("a", 1).write_text(out)
        self.logs.stderr("a", 1).write_text(err)
        self.logs.order("a", 1).write_text(order)

    def read(self, last: int | None = None) -> str:
        """Return all that is read, one after the other."""
        reader = RunReader(self.logs, "a", 1, last=last)
        try:
            return "".join(piece.data.decode() for piece in reader.read())
        finally:
            reader.close()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A run's files that are not there yet."""
    return Written(tmp_path)


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (None, "o1\ne1\no2\no3\ne2\n"),
        (0, ""),
        (1, "e2\n"),
        (2, "o3\ne2\n"),
        (4, "e1\no2\no3\ne2\n"),
        (9, "o1\ne1\no2\no3\ne2\n"),
    ],
)
def test_the_last_lines_are_those_of_both_streams(
    written: Written, last: int | None, text: str
) -> None:
    written.write("o1\no2\no3\n", "e1\ne2\n", "3 0\n3 3\n9 3\n9 6\n")
    assert written.read(last) == text


def test_a_line_that_was_written_in_two_turns_is_not_cut(written: Written) -> None:
    written.write("o1\nlong line", "e1\n", "8 0\n8 3\n")
    assert written.read(1) == "long line"


def test_what_comes_while_the_run_goes_on_waits_for_its_order(written: Written) -> None:
    written.write("o1\n", "e1\n")
    reader = RunReader(written.logs, "a", 1)
    assert not list(reader.read(is_over=False))
    waited = [reader.is_waiting]
    written.logs.order("a", 1).write_text("0 3\n3 3\n")
    assert [data for _, data in reader.read(is_over=False)] == [b"e1\n", b"o1\n"]
    assert [*waited, reader.is_waiting] == [True, False]
    written.write("o1\no2\n", "e1\ne2\n")
    looks = [len(list(reader.read(is_over=False))) for _ in range(3)]
    assert looks == [0, 0, 2]  # nobody tells: that is not waited for long
    reader.close()


def test_a_part_that_was_dropped_is_marked_and_the_rest_is_read(written: Written) -> None:
    written.write("".join(f"{n:>15}\n" for n in range(100_000)), "")
    with written.logs.stdout("a", 1).open("rb") as file:
        try:
            holes.punch(file.fileno(), holes.BLOCK, 20 * holes.BLOCK)
        except OSError:
            pytest.skip("this file system has no holes")
    lines = written.read().splitlines()
    mark = f"[queuectl: {19 * holes.BLOCK} bytes dropped here, see max_log_bytes]"
    assert lines[holes.BLOCK // 16 + 1 :][:2] == [mark, f"{20 * holes.BLOCK // 16:>15}"]
    assert lines[-1].strip() == "99999"
    assert written.read(2).split() == ["99998", "99999"]
    assert mark in written.read(99_000)


def test_zeros_that_a_job_wrote_are_read_as_they_are(written: Written) -> None:
    written.write("\0" * 200_000 + "end\n", "")
    assert written.read() == "\0" * 200_000 + "end\n"


def test_each_byte_has_the_time_of_the_turn_in_which_it_was_seen(written: Written) -> None:
    written.write("o1\no2\no3\n", "e1\n", "3 0 1000\n3 3 2000\n6 3 3000\n")
    os.utime(written.logs.stdout("a", 1), (9, 9))
    reader = RunReader(written.logs, "a", 1)
    assert sum(reader.sizes)
    found = [to_millis(reader.written_at(stream, byte)) for stream, byte in PLACES]
    reader.close()
    assert found == [1000, 1000, 3000, 9000, 2000]


PLACES = [(0, 0), (0, 2), (0, 3), (0, 6), (1, 0)]
"""Streams and bytes: the last but one is behind what was seen, and has the time of its file."""


def test_a_time_that_no_clock_tells_is_that_of_the_file(written: Written) -> None:
    written.write("o1\n", "", f"3 0 {10**30}\n")
    os.utime(written.logs.stdout("a", 1), (9, 9))
    reader = RunReader(written.logs, "a", 1)
    assert reader.sizes == (3, 0)
    assert to_millis(reader.written_at(0, 0)) == 9000
    reader.close()
