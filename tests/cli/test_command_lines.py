"""`enqueue --lines`: a file with one command a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.harness import Cli, cli, home

__all__ = ["cli", "home"]


def stored(cli: Cli) -> list[str]:
    """Return the commands of all jobs in their order."""
    return [job["command"] for job in cli.ok("list", "--json").json]


@pytest.mark.parametrize(
    "text",
    [
        b"echo 1\necho '2 3' # no comment\n",
        b"echo 1\r\necho '2 3' # no comment\r\n",
        b"\xef\xbb\xbfecho 1\n\n  # a comment\n\t\n#another\n  echo '2 3' # no comment  ",
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_each_line_is_a_command_but_blank_ones_and_comments(
    cli: Cli, text: bytes, many: bool
) -> None:
    more = b"\n#\ntrue\r\n" * 300 * many
    Path("commands.txt").write_bytes(text + more)
    cli.ok("enqueue", "--lines", "commands.txt", "--queue", "q")
    assert stored(cli) == ["echo 1", "echo '2 3' # no comment", *["true"] * 300 * many]


def test_lines_come_from_standard_input_and_belong_to_a_batch_that_is_named(cli: Cli) -> None:
    cli.ok("enqueue", "--lines", "-", "--batch", "b", stdin="a 1\nb 2\n")
    assert [job["batch"] for job in cli.ok("list", "--json").json] == ["b", "b"]


@pytest.mark.parametrize("number", [3, 300])
def test_a_line_that_is_wrong_is_told_with_its_number_and_the_others_are_stored(
    cli: Cli, number: int
) -> None:
    text = b"# list\n" + b"true\n" * number + b"a\xff\n\nx\0\n" + b"true\n"
    Path("commands.txt").write_bytes(text)
    result = cli("enqueue", "--lines", "commands.txt")
    assert result.code == 2
    assert f"commands.txt:{number + 2}: not UTF-8 at byte 2" in result.err
    assert f"commands.txt:{number + 4}: command must not contain a NUL byte" in result.err
    assert len(stored(cli)) == number + 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "commands.txt has no commands"),
        ("# a\n\n", "commands.txt has no commands"),
        ('{"command": "true"}\n', "commands.txt has JSON and no commands; --file reads"),
    ],
)
def test_a_file_without_commands_is_refused(cli: Cli, text: str, why: str) -> None:
    Path("commands.txt").write_text(text)
    assert why in cli.refused(2, "enqueue", "--lines", "commands.txt")
    assert stored(cli) == []


@pytest.mark.parametrize("first", ["echo 1", "# commands", "true", "1", '"a b" c', "[ -f x ] && y"])
def test_a_file_of_commands_that_is_given_as_json_is_told_at_once(cli: Cli, first: str) -> None:
    Path("my commands.txt").write_text(f"\n{first}\n" + "echo 2\n" * 5000)
    line = cli.refused(2, "enqueue", "--file", "my commands.txt")
    assert "for commands, one a line: queuectl enqueue --lines 'my commands.txt'" in line
    assert "--lines -" in cli.refused(2, "enqueue", "--file", "-", stdin=f"{first}\n")
    assert stored(cli) == []


@pytest.mark.parametrize("words", [["--file", "x"], ["--command", "x"], ["x"], ["--", "x"], ["@x"]])
def test_lines_are_the_only_source(cli: Cli, words: list[str]) -> None:
    assert "cannot both be given" in cli.refused(2, "enqueue", "--lines", "x", *words)
