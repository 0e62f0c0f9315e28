"""Output as HTML: colours as classes, and everything else as text."""

from __future__ import annotations

from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.web.pages.templates import MOST_LINES, output_lines


@pytest.mark.parametrize(
    ("output", "html"),
    [
        ("plain", "plain"),
        ("<b>&'\"", "&lt;b&gt;&amp;&#39;&#34;"),
        ("\x1b[32mgo\x1b[m on", '<span class="i2">go</span> on'),
        (
            "\x1b[1;4;91mx\x1b[22;24my",
            '<span class="i9 bold underlined">x</span><span class="i9">y</span>',
        ),
        ("\x1b[38;5;196mx", '<span class="i1">x</span>'),
        ("\x1b[48;2;0;0;250mx", '<span class="p4">x</span>'),
        ("\x1b[38;5mx\x1b[38;2;1mx\x1b[38mx", "xxx"),
        ("50 %\r100 %", "100 %"),
        ("50 %\r\x1b[32m100 %", '<span class="i2">100 %</span>'),
        ("a\x1b[2K\x1b[1;1Hb\x1b]0;title\x07c\x1b(Bd", "abcd"),
        ("\x07\x00\x1b", "\\x07\\x00\\x1b"),
        ("\x1b[999999999999999999999mx", "x"),
    ],
)  # fmt: skip
def test_a_line_is_shown_as_a_terminal_would_leave_it(output: str, html: str) -> None:
    assert output_lines(output) == [html]


def test_a_colour_goes_on_in_the_next_line() -> None:
    assert output_lines("\x1b[31ma\nb\x1b[0m\nc\n") == [
        '<span class="i1">a</span>', '<span class="i1">b</span>', "c",
    ]  # fmt: skip


def test_only_the_last_lines_are_shown() -> None:
    found = output_lines("\n".join(map(str, range(MOST_LINES + 5))))
    assert (len(found), found[0], found[-1]) == (MOST_LINES, "5", str(MOST_LINES + 4))


@settings(max_examples=60, deadline=None, database=None)
@given(st.text(st.sampled_from("\x1b[]0;123m<>&\"'\r\n\tab\x07é\u202e")))
def test_nothing_but_spans_with_our_classes_comes_out(output: str) -> None:
    for line in output_lines(output):
        rest = line
        while rest:
            text, tag, rest = rest.partition("<")
            assert not set(text) & set(">\"'")
            assert unescape(text).isprintable()
            if tag:
                name, _, rest = rest.partition(">")
                assert name == "/span" or name.startswith('span class="')
