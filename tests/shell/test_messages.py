"""What the prompt says: in its own words, broken between words, and after type-ahead."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.shell.messages import without_program
from tests.cli.harness import Cli
from tests.shell.conftest import OpenShell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("queuectl: no job 'a'; queuectl list shows the jobs there are",
         "no job 'a'; list shows the jobs there are"),
        ("queuectl: 'queuectl dlq' needs a command: list; queuectl dlq --help",
         "'dlq' needs a command: list; dlq --help"),
        ("queuectl: no such command 'x'; queuectl --help lists the commands",
         "no such command 'x'; help lists the commands"),
        ("no jobs yet (/home/me/.queuectl does not exist)",
         "no jobs yet (/home/me/.queuectl does not exist)"),
        ("tail -n +5 jobs | queuectl enqueue -f -", "tail -n +5 jobs | queuectl enqueue -f -"),
        ('eval "$(queuectl completion bash)"', 'eval "$(queuectl completion bash)"'),
        ("on Windows run queuectl in WSL", "on Windows run queuectl in WSL"),
    ],
)  # fmt: skip
def test_messages_name_commands_as_one_types_them_there(text: str, shown: str) -> None:
    assert without_program(text) == shown


def test_messages_at_the_prompt_do_not_say_queuectl_nor_break_inside_words(
    open_shell: OpenShell,
) -> None:
    shell = open_shell(columns=44, rows=60)
    shell.enter("enqueue a true")
    shell.enter("show not-there")
    shell.shows("\nno job 'not-there'; list shows the jobs\nthere are\n")
    shell.enter("dlq --help")
    shell.shows("Usage: dlq [OPTIONS]", "  dlq list")


def test_a_pasted_value_alone_is_enqueued(open_shell: OpenShell, cli: Cli) -> None:
    shell = open_shell()
    shell.enter('{"id": "a", "command": "true"}')
    shell.shows("Enqueued job 'a'")
    shell.frees()
    shell.press('\x1b[200~{\n  "id": "b",\n  "command": "true"\n}\x1b[201~')
    shell.shows('"command": "true"')
    shell.press("enter")
    shell.shows("Enqueued job 'b'")
    assert cli.ids() == ["a", "b"]


def test_what_is_typed_while_a_command_runs_stands_behind_the_next_prompt_alone(
    open_shell: OpenShell,
) -> None:
    shell = open_shell()
    shell.enter("!printf left-open; while [ ! -e go ]; do sleep 0.02; done")
    shell.shows("\nleft-open")
    shell.press("list --st")
    shell.shows("left-openlist --st")
    Path("go").touch()
    shell.is_at("list --st")
    assert "left-open" in shell.lines
    shell.clear()
    shell.enter("!while [ ! -e gone ]; do sleep 0.02; done")
    shell.settles()
    shell.press("ctrl-c", "stat")
    shell.is_at("stat")
