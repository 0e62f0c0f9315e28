"""Whatever comes in, never a traceback and never an exit code outside the table."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from unittest import mock

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queuectl.cli import job_input
from queuectl.cli.app import execute
from queuectl.cli.enqueue_words import read_words, split_at_dashes
from queuectl.cli.root import root
from queuectl.cli.session import Session
from queuectl.domain.errors import InvalidInput
from queuectl.shell.script import run_script
from queuectl.shell.tokenizer import PROGRAM, is_continued, split_line
from tests.cli.harness import CODES

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
text = st.text(max_size=20)
spice = st.sampled_from(
    ["--", "{", "[", "[[ ", '{"command": "x"}', "@x", "job1", "-f", "--file", "--id", "--in",
     "--at", "--env", "-", "--atomic", "--json", "a=b", "1e9", "-1", "\0", "\udcff", "#", "'"]
)  # fmt: skip
words = st.lists(spice | text, max_size=5)


@contextlib.contextmanager
def captured(stdin: bytes = b"") -> Iterator[io.TextIOWrapper]:
    """Replace the three streams; yield standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    given_in = io.TextIOWrapper(io.BytesIO(stdin), "utf-8", "surrogateescape")
    streams = (("stdin", given_in), ("stdout", out), ("stderr", err))
    with contextlib.ExitStack() as stack:
        for name, stream in streams:
            stack.enter_context(mock.patch.object(sys, name, stream))
        yield err


def run(args: list[str], stdin: bytes = b"") -> tuple[int, str]:
    """Run a command line; return its exit code and what it complained of."""
    with captured(stdin) as err:
        code = execute(args, Session())
        err.flush()
        return code, err.buffer.getvalue().decode()  # type: ignore[attr-defined]  # it is a BytesIO


@quick
@given(words)
def test_the_words_of_enqueue(line: list[str]) -> None:
    code, told = run(["enqueue", *line])
    assert code in CODES
    assert "-v shows where" not in told
    assert code == 0 or told.startswith(("queuectl: ", "note: "))


@quick
@given(st.binary(max_size=60) | st.lists(spice, max_size=6).map("\n".join).map(os.fsencode))
def test_what_comes_from_standard_input(data: bytes) -> None:
    code, told = run(["enqueue", "-f", "-"], data)
    assert code in CODES
    assert "-v shows where" not in told


@quick
@given(words, st.none() | words)
def test_the_meaning_of_words_is_found_or_refused(
    before: list[str], after: list[str] | None
) -> None:
    with contextlib.suppress(InvalidInput):
        source = read_words(before, after)
        given_sources = (source.command, source.json, source.file)
        assert sum(part is not None for part in given_sources) == 1


@given(words)
def test_what_follows_the_first_dashes_is_kept_as_typed(line: list[str]) -> None:
    before, after = split_at_dashes(line)
    assert "--" not in before
    assert before + (["--", *after] if after is not None else []) == line


@quick
@given(text | st.lists(spice, max_size=8).map("".join))
def test_json_is_read_or_refused(written: str) -> None:
    with contextlib.suppress(InvalidInput):
        job_input.parse(written)


@quick
@given(text | st.lists(spice, max_size=8).map(" ".join).map("enqueue ".__add__))
def test_a_line_of_the_shell_is_split_or_refused(line: str) -> None:
    is_continued(line)
    with contextlib.suppress(InvalidInput):
        assert all(isinstance(word, str) for word in split_line(line))


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=4))
def test_quoted_words_come_back_as_they_were(wanted: list[str]) -> None:
    import shlex

    if wanted[0] == PROGRAM:
        return
    assert split_line(f"{PROGRAM} {shlex.join(wanted)}") == wanted


@pytest.mark.parametrize("line", ["wait", "logs"])
@settings(quick, max_examples=25)
@given(rest=words)
def test_commands_that_may_stay(line: str, rest: list[str]) -> None:
    code, told = run([line, *rest])
    assert code in CODES
    assert "-v shows where" not in told


STAYING = frozenset("run wait logs watch shell start dashboard".split())
"""Commands that may wait for ever, or run what they are given."""


def paths(group: click.Group = root, before: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Yield the words of every command that comes to an end, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or name in STAYING:
            continue
        yield [*before, name]
        if isinstance(command, click.Group):
            yield from paths(command, (*before, name))


WHERE = st.sampled_from(list(paths()))


@quick
@given(WHERE, words)
def test_any_command(path: list[str], rest: list[str]) -> None:
    code, told = run([*path, *rest], b"n\n")
    assert code in CODES
    assert "-v shows where" not in told


@quick
@given(st.lists(st.tuples(WHERE, words), max_size=4), st.booleans())
def test_lines_for_the_shell(lines: list[tuple[list[str], list[str]]], keep_going: bool) -> None:
    script = [" ".join([*path, *rest]) for path, rest in lines]
    with captured(b"n\n") as err:
        code = run_script(script, Session(), keep_going=keep_going)
        err.flush()
        told = err.buffer.getvalue().decode()  # type: ignore[attr-defined]  # it is a BytesIO
    assert code in CODES
    assert "-v shows where" not in told
