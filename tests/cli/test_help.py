"""The help: one page of groups for all places, and texts that say what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from queuectl.cli.overview import FIRST_LINES, names_in, page
from queuectl.cli.root import COMMANDS, HELP_GROUPS, root
from queuectl.presentation.layout import width
from tests.cli.harness import Cli
from tests.shell.conftest import OpenShell, open_shell

__all__ = ["open_shell"]

PLACED = [name for names in HELP_GROUPS.values() for name in names_in(names)]


def commands(
    group: click.Command = root, path: str = "queuectl"
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its path, `jobs` excepted, which holds those of the top again."""
    yield path, group
    if isinstance(group, click.Group) and path != "queuectl jobs":
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, f"{path} {name}")


OPTIONS = [
    (path, option)
    for path, command in commands()
    for option in command.params
    if isinstance(option, click.Option)
]


def test_every_command_is_in_one_group_and_those_in_brackets_are_theirs() -> None:
    assert sorted(PLACED) == sorted(COMMANDS)
    context = click.Context(root)
    for names in HELP_GROUPS.values():
        for name, below in re.findall(r"(\S+) \(([^)]*)\)", names):
            group = root.get_command(context, name)
            assert isinstance(group, click.Group)
            assert set(below.split()) <= set(group.list_commands(context))


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_the_page_has_every_command_and_fits(columns: int) -> None:
    lines = page(HELP_GROUPS, columns).splitlines()
    assert all(width(line) <= columns for line in lines if " " in line.strip())
    assert set(PLACED) <= set(" ".join(lines).split())
    if columns == 80:
        assert len(lines) <= 18


def test_the_first_lines_come_first_and_the_page_is_the_same_everywhere(
    cli: Cli, open_shell: OpenShell
) -> None:
    text = cli.ok("--help").out
    assert cli.ok("-h").out == cli.ok("help").out == text
    assert text.index(FIRST_LINES[0][0]) < text.index("Start here")
    shell = open_shell()
    shell.enter("help")
    shell.frees()
    shell.shows('enqueue "echo Hello"  ', "Start here  enqueue run", "Only here: exit, quit")
    shell.shows("help COMMAND explains one, help --all lists them all.")
    manual = cli.ok("help", "--man").out
    for title, names in HELP_GROUPS.items():
        assert f".TP\n{title}\n{names}\n" in manual
    assert manual.index("FIRST STEPS") < manual.index("COMMANDS")


def test_a_line_on_every_command_is_one_option_away(cli: Cli) -> None:
    text = " ".join(cli.ok("help", "--all").out.split())
    for name, (_, line) in COMMANDS.items():
        assert f"{name} {line}" in text
    assert "--keep-going" in text


def test_no_letter_has_two_meanings_but_f() -> None:
    meanings: dict[str, set[str]] = {}
    for _, option in OPTIONS:
        for word in option.opts:
            if len(word) == 2:
                kind = max(option.opts, key=len).replace("--lines", "-n").replace("--limit", "-n")
                meanings.setdefault(word, set()).add(kind)
    two = {letter for letter, kinds in meanings.items() if len(kinds) > 1}
    assert two == {"-f"}
    assert meanings["-n"] == {"-n"}  # a number of lines or rows


def test_the_help_of_each_option_is_a_sentence() -> None:
    for path, option in OPTIONS:
        text = re.sub(r" \[[^\]]*\]$", "", option.help or "")
        assert re.fullmatch(r"[A-Z].* .*\.", text), (path, option.opts, text)


def test_help_names_fields_defaults_and_exit_codes_where_they_are_used(cli: Cli) -> None:
    fields = " ".join(cli.ok("set", "--help").out.partition("Fields:\n")[2].split())
    assert fields.startswith("command, at, in, env.NAME, needs.NAME, queue, priority, timeout")
    options = " ".join(cli.ok("enqueue", "--help").out.split())
    assert "Default: the setting max_retries. [" in options
    for verb in ("run", "logs"):
        assert "124 where it took too long" in " ".join(cli.ok(verb, "--help").out.split())
