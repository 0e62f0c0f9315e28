"""What a job wrote, as a terminal may show it."""

from __future__ import annotations

import pyte
import pytest

from queuectl.presentation.terminal_text import TerminalText

RESET = "\x1b[0m"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain\tline\n", "plain\tline\n"),
        ("ünïcode 漢字\n".encode(), "ünïcode 漢字\n"),
        (b"\xff\xfe\n", "\ufffd\ufffd\n"),
        (b"\x1b[31mred\x1b[0m\n", f"\x1b[31mred\x1b[0m{RESET}\n"),
        (b"\x1b[38;2;1;2;3mrgb\n", f"\x1b[38;2;1;2;3mrgb{RESET}\n"),
        (b" 10%\r 20%\x1b[K\b\n", f" 10%\r 20%\x1b[K\b{RESET}\n"),
        (b"\x1b[?1049h\x1b[2J\x1b[Hother screen\n", "other screen\n"),
        (b"\x1b]0;title\x07\x1b]2;title\x1b\\named\n", "named\n"),
        (b"\x1b]0;a title without an end\nnext\n", "\nnext\n"),
        (b"\x1b]52;c;c2VjcmV0\x07copied\n", "copied\n"),
        (b"\x1bPq#0;2;0;0;0\x1b\\picture\n", "picture\n"),
        (b"\x1b(0lqk\x0e\x0f\x1bc\n", "lqk\n"),
        (b"\x1b[6n\x1b[c\x1b[?1000h\x1b[>4;1masked\n", "asked\n"),
        (b"\x1b[5A\x1b[9;9Hmoved\n", "moved\n"),
        (b"\xc2\x9b31mold\xc2\x9d0;t\xc2\x9c\n", f"\x1b[31mold{RESET}\n"),
        (b"\x07\x00\x7f\x0b\x0cbell\n", "bell\n"),
        (b"\x1b[\n31m", "[\n31m"),
    ],
)
def test_colours_are_kept_and_all_else_is_left_out(written: bytes, shown: str) -> None:
    assert TerminalText().feed(written) == shown


def test_what_a_piece_leaves_unfinished_goes_on_in_the_next() -> None:
    written = "\x1b[1;31mé\x1b]0;title\x07 and \x1b[0mplain\x1b[?1049h\n".encode()
    text = TerminalText()
    pieces = "".join(text.feed(written[at : at + 1]) for at in range(len(written)))
    screens = []
    for shown in (pieces, TerminalText().feed(written)):
        screen = pyte.Screen(40, 2)
        pyte.Stream(screen).feed(shown)
        screens.append([screen.buffer[0][x] for x in range(20)])
    assert screens[0] == screens[1]
    assert "title" not in pieces


def test_a_colour_ends_with_each_piece_and_goes_on_in_the_next() -> None:
    text = TerminalText()
    assert text.feed(b"\x1b[31mred\n") == f"\x1b[31mred{RESET}\n"
    assert text.feed(b"still\n") == f"\x1b[31mstill{RESET}\n"
    assert text.feed(b"\x1b[mplain\n") == f"\x1b[31m\x1b[mplain{RESET}\n"
    assert text.feed(b"plain\n") == "plain\n"
    for _ in range(1000):
        text.feed(b"\x1b[1m\x1b[32m")
    assert len(text.feed(b"x")) < 200


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"  0%\r 50%\r100%\n", "100%\n"),
        (b"dos\r\n", "dos\n"),
        (b"done\r\r\n", "done\n"),
        (b"\x1b[32m50%\r\x1b[2K100%\n", f"\x1b[32m100%{RESET}\n"),
    ],
)
def test_of_a_line_behind_an_id_there_is_what_is_not_written_over(line: bytes, shown: str) -> None:
    assert TerminalText(is_line=True).feed(line) == shown
