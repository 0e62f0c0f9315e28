"""From a typed line to the words of a command."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from queuectl.shell.history import holds_secret
from queuectl.shell.script import joined
from queuectl.shell.tokenizer import Kind, is_continued, lines_of, scan, split_line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("   ", []),
        ("# a comment", []),
        ("status", ["status"]),
        ("queuectl status", ["status"]),
        ("queuectl", []),
        ("status # how is it", ["status"]),
        ("enqueue a 'echo # hi'", ["enqueue", "a", "echo # hi"]),
        ("enqueue a#b true", ["enqueue", "a#b", "true"]),
        (r"enqueue a \# x", ["enqueue", "a", "#", "x"]),
        ('enqueue job3 "sleep 5 && echo done"', ["enqueue", "job3", "sleep 5 && echo done"]),
        ('enqueue {"id": "a", "command": "x"}', ["enqueue", '{"id": "a", "command": "x"}']),
        (
            'queuectl enqueue {"id": "a b#"}  --queue q # x',
            ["enqueue", '{"id": "a b#"}', "--queue", "q"],
        ),
        ('jobs enqueue [{"id": "a"}] -p', ["jobs", "enqueue", '[{"id": "a"}]', "-p"]),
        ('run {"command": "x"}', ["run", '{"command": "x"}']),
        ('{"id": "a", "command": "x"}', ["enqueue", '{"id": "a", "command": "x"}']),
        ('queuectl [{"id": "a"}] --queue q', ["enqueue", '[{"id": "a"}]', "--queue", "q"]),
        ("{ echo hi; }", ["{", "echo", "hi;", "}"]),
        ("enqueue '{\"id\": 1}'", ["enqueue", '{"id": 1}']),
        ("enqueue { echo hi; }", ["enqueue", "{", "echo", "hi;", "}"]),
        ("enqueue b -- make -j4 'all tests'", ["enqueue", "b", "--", "make", "-j4", "all tests"]),
    ],
)
def test_a_line_is_split(line: str, words: list[str]) -> None:
    assert split_line(line) == words


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('enqueue a "open', "a quote is not closed"),
        ("enqueue a 'open", "a quote is not closed"),
        ('enqueue {"id": "a"', "not valid JSON"),
        ('enqueue {"id": "a"}x', "a blank must follow"),
        ("enqueue " + "[" * 100_000, "not valid JSON"),
    ],
)
def test_a_line_that_is_not_whole_is_refused(line: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        split_line(line)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("status\nlist", ["status", "list"]),
        ("status\n\nlist\n", ["status", "", "list"]),
        ('{\n  "id": "a"\n} --queue q\nlist', ['{\n  "id": "a"\n} --queue q', "list"]),
        ('enqueue [{"id": "a"},\n {"id": "b"}]', ['enqueue [{"id": "a"},\n {"id": "b"}]']),
        ('enqueue {"id":\nlist', ['enqueue {"id":', "list"]),
        ("show {\nlist", ["show {", "list"]),
    ],
)
def test_a_pasted_value_may_go_over_several_lines(text: str, lines: list[str]) -> None:
    assert lines_of(text) == lines


def test_a_final_backslash_continues_a_line() -> None:
    assert is_continued("enqueue a \\")
    assert not is_continued("enqueue a \\\\")
    lines = ["enqueue a \\\n", "'echo b'\n", "list\n", "status \\\n"]
    assert list(joined(lines)) == [(2, "enqueue a 'echo b'"), (3, "list"), (4, "status ")]


@pytest.mark.parametrize(
    ("line", "is_secret"),
    [
        ("list --store mongodb://me:hunter2@host/db", True),
        ("list --store mongodb://host/db", False),
        ("hook add a --on dead --url https://example.com/token", True),
        ("hook add a --on dead --url-file url", False),
        ("enqueue a 'x' --env API_KEY=abc", True),
        ("enqueue a 'x' --env COLOR=abc", False),
        ('enqueue {"command": "x", "env": {"DB_PASSWORD": "x"}}', True),
        ("enqueue a 'keyboard --test'", False),
    ],
)
def test_lines_with_secrets_are_known(line: str, is_secret: bool) -> None:
    assert holds_secret(line) == is_secret


@given(st.text(alphabet="ab \\\"'\t{é#"))
def test_words_are_those_of_a_posix_shell(line: str) -> None:
    line = "x " + line.replace("#", "x#")
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(InvalidInput):
            split_line(line)
    else:
        assert split_line(line) == expected


@given(st.text(alphabet="enqueue {}[]\"'\\ #-a1:,\n"))
def test_tokens_of_any_line_are_in_order_and_within_it(line: str) -> None:
    end = 0
    for token in scan(line):
        assert end <= token.start <= token.end <= len(line)
        assert token.start < token.end
        end = token.end


def test_a_line_that_is_still_typed_has_tokens_too() -> None:
    assert [token.text for token in scan("enqueue a 'echo hi")] == ["enqueue", "a", "echo hi"]
    assert scan('enqueue {"id": ')[-1].kind is Kind.JSON
    assert scan("status # why")[-1].kind is Kind.COMMENT
