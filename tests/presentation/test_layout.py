"""Text in the columns of a terminal."""

from __future__ import annotations

import pytest

from queuectl.presentation.layout import arrange, cut, fit, width, wrap
from queuectl.presentation.tables import duration, elapsed
from tests.cli.harness import Cli, bury

TEXTS = ["", "plain", "漢字かな", "é" * 9, "e\u0301" * 9, "🎉 done 🎉", "mixed 漢 text"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("room", range(1, 14))
def test_a_text_is_cut_and_padded_to_the_very_column(text: str, room: int) -> None:
    assert width(cut(text, room)) <= room
    assert width(fit(text, room)) == room
    if width(text) <= room:
        assert cut(text, room) == text
    else:
        assert cut(text, room).endswith("…")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("room", [2, 3, 7, 80])
def test_wrapping_loses_nothing(text: str, room: int) -> None:
    pieces = list(wrap(text, room))
    assert "".join(pieces) == text
    assert all(width(piece) <= room for piece in pieces)


def test_a_table_that_fits_keeps_its_columns() -> None:
    assert arrange([["job1", "pending", "x" * 30]], [0, 0, 0], 80) == {0: 4, 1: 7, 2: 30}


def test_the_last_column_is_cut_before_another_is_left_out() -> None:
    widths = arrange([["job1", "pending", "x" * 90]], [0, 1, 0], 40)
    assert widths == {0: 4, 1: 7, 2: 25}


def test_columns_are_left_out_in_their_order() -> None:
    line = ["job1", "a" * 10, "b" * 10, "x" * 90]
    assert set(arrange([line], [0, 1, 2, 0], 50)) == {0, 1, 2, 3}
    assert set(arrange([line], [0, 1, 2, 0], 40)) == {0, 1, 3}
    assert set(arrange([line], [0, 1, 2, 0], 30)) == {0, 3}


@pytest.mark.parametrize("room", [20, 30, 40])
def test_at_last_even_the_ids_are_cut(room: int) -> None:
    widths = arrange([["i" * 128, "processing", "x" * 90]], [0, 0, 0], room)
    assert sum(widths.values()) + 4 <= max(room, 3 * 6 + 4)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0:00"), (5.9, "0:05"), (61, "1:01"), (3661, "1:01:01")]
)
def test_elapsed_time_reads_like_a_clock(seconds: float, shown: str) -> None:
    assert elapsed(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ms"), (0.0123, "12 ms"), (0.0994, "99 ms"), (0.0996, "0.1 s"), (5, "5.0 s"),
        (99.94, "99.9 s"), (99.96, "1m 40s"), (125, "2m 05s"), (3599.6, "1h 00m"),
        (7265, "2h 01m"),
    ],
)  # fmt: skip
def test_a_duration_reads_well_whatever_its_length(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_off_a_terminal_every_column_is_there_and_no_cell_is_empty(cli: Cli) -> None:
    bury("broken")
    cli.ok("enqueue", "waiting", "true")
    titles, broken, waiting = cli.ok("list").out.splitlines()
    assert titles.split("  ")[0] == "ID"
    assert "QUEUE    PRIORITY  SLOTS  LABELS  " in titles
    assert broken.split()[:8] == "broken dead (1) 1/1 default 0 1 -".split()
    assert broken.split()[-5:] == "- Exit code 1 false".split()
    assert waiting.split()[:7] == "waiting pending 0/3 default 0 1 -".split()
    assert waiting.split()[-5:] == "no worker is running true".split()


def test_the_help_lists_options_and_no_arguments_among_them(cli: Cli) -> None:
    for words in (["show"], ["wait"], ["enqueue"], ["config", "set"]):
        options = cli.ok(*words, "--help").out.partition("Options:\n")[2].splitlines()
        listed = options[: options.index("")]
        assert all(line.startswith(("  -", "      ")) for line in listed), words
