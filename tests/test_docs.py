"""What the documentation shows is there: every command line and every link in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from tests.cli.harness import Cli, cli, home

__all__ = ["cli", "home"]

modules = import_module("docs.modules")

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(queuectl [^`]+)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_END = re.compile(r"[|&;<>]+")
_FOR_THE_READER = re.compile(r"\b[A-Z]{2,}\b|…|\.\.\.")


def written(text: str) -> Iterator[str]:
    """Yield the command lines of a page: after a prompt, or between back quotes in the text."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line[2:]
    for line in _INLINE.findall(_BLOCK.sub("", text)):
        if not _FOR_THE_READER.search(line):
            yield line


def arguments(line: str) -> list[str] | None:
    """Return what a line gives to queuectl; None when it is for another program."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if _END.fullmatch(word):
            break
        words.append(word)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words[1:] if words and words[0] == "queuectl" else None


COMMANDS = sorted(
    {
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for line in written(page.read_text(encoding="utf-8"))
        if arguments(line) is not None
    }
)


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_line_of_the_documentation_is_understood(
    cli: Cli, page: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda _command, _ctx: 0)
    words = arguments(line)
    assert words is not None
    assert cli(*words).err == "", f"{page}: {line}"


def test_there_are_command_lines_to_look_at() -> None:
    assert len(COMMANDS) > 50


def test_what_is_not_understood_is_noticed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda _command, _ctx: 0)
    assert "no such option" in cli(*(arguments("queuectl list --staet dead | wc") or [])).err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_to_a_file(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_page_on_the_architecture_names_every_module_by_its_own_words() -> None:
    page = modules.PAGE.read_text(encoding="utf-8")
    assert modules.with_listing(page) == page, "python -m docs.modules writes it anew"
