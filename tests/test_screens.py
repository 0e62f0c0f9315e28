"""The pictures of the README are drawn as the screen was."""

from __future__ import annotations

from importlib import import_module
from xml.etree import ElementTree

import pyte
import pytest

screens = import_module("docs.screens")
"""By its name, because a checker of types takes the directory of that name beside it."""

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ElementTree.Element:
    """Return the picture of what a program writes."""
    screen = pyte.Screen(40, 3)
    pyte.Stream(screen).feed(text)
    return ElementTree.fromstring(screens.drawn(screen, "a <title>"))


def test_every_word_is_drawn_in_its_place_and_colour() -> None:
    picture = drawn("plain \x1b[31;1m<red>\x1b[0m 漢字 end\r\n\x1b[7mbar\x1b[0m")
    words = {each.text: each for each in picture.iter(f"{NAMESPACE}text")}
    assert set(words) == {"a <title>", "plain", "<red>", "漢字", "end", "bar"}
    assert words["<red>"].get("fill") == screens.COLORS["red"]
    assert words["<red>"].get("font-weight") == "bold"
    assert float(words["end"].get("x", 0)) == pytest.approx(screens.MARGIN + 17 * 8.43, abs=0.1)
    assert words["bar"].get("fill") == screens.PAPER
    assert any(each.get("fill") == screens.INK for each in picture.iter(f"{NAMESPACE}rect"))


def test_what_changes_with_every_run_is_replaced() -> None:
    pids: dict[str, str] = {}
    assert screens.replaced(" 123  busy  a", pids) == " 471  busy  a"
    assert screens.replaced(" 124  idle", pids) == " 472  idle"
    assert screens.replaced("Started 2 worker(s): [12345, 12346]", pids).endswith("[47116, 47119]")
    assert screens.replaced(" 123  busy  b", pids) == " 471  busy  b"
    assert screens.replaced("in 9 ms, in 38 ms, in 3.0 s", pids) == "in 1 ms, in 14 ms, in 3.0 s"
    assert screens.replaced("at 01:02:03, exit 600", pids) == "at 14:30:00, exit 600"


@pytest.mark.parametrize("name", ["shell", "watch"])
def test_the_pictures_are_there_and_readable(name: str) -> None:
    picture = ElementTree.parse(screens.TARGET / f"{name}.svg").getroot()
    assert len(list(picture.iter(f"{NAMESPACE}text"))) > 40
