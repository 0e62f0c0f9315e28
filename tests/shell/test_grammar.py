"""What each word of a line is, and the help on it."""

from __future__ import annotations

import pytest

from queuectl.cli.root import root
from queuectl.shell.grammar import Role, help_at, options_of, read, warm_up
from tests.cli.harness import Cli

C, OPT, A, V, U = Role.COMMAND, Role.OPTION, Role.ARGUMENT, Role.VALUE, Role.UNKNOWN


@pytest.mark.parametrize(
    ("line", "roles"),
    [
        ("", []),
        ("status", [C]),
        ("queuectl status --json", [C, C, OPT]),
        ("ls", [C]),
        ("exit", [C]),
        ("statuss", [U]),
        ("kill job1", [C, A]),
        ("workers", [C]),
        ("clean -y", [C, OPT]),
        ("config ls", [C, C]),
        ("shutdown", [U]),
        ("worker start --count 3", [C, C, OPT, V]),
        ("worker begin", [C, U]),
        ("jobs show job1", [C, C, A]),
        ("--home /tmp list", [OPT, V, C]),
        ("list --state=dead --bogus", [C, OPT, U]),
        ("logs -n5 a", [C, OPT, A]),
        ("enqueue b -- make -j4 --bogus", [C, A, OPT, A, A, A]),
        ("config set max_retries -1", [C, C, A, A]),
        ('enqueue {"id": "a"} --queue q # why', [C, Role.JSON, OPT, V, Role.COMMENT]),
        ("  !ls -l", [Role.SYSTEM]),
        ("enqueue a 'echo --json", [C, A, A]),
    ],
)
def test_every_word_has_its_role(line: str, roles: list[Role]) -> None:
    assert [marked.role for marked in read(line).marked] == roles


_LIMIT = "At most N jobs, 100 unless said; 0 is all. JSON and CSV have all."


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("", "", ""),
        ("li", "list [STATE | ID]...", "List jobs: what runs, what runs next, what has ended."),
        (
            "statu",
            "status [ID]",
            "Count the jobs in each state, and show the workers that are alive.",
        ),
        ("w", "wait watch worker", ""),
        ("list --limit ", "-n, --limit N", _LIMIT),
        ("list --limit 5", "-n, --limit N", _LIMIT),
        ("show job1", "show [ID]", "Show everything about one job, with every attempt."),
        ("worker ", "worker COMMAND [ARGS]...", "The processes that run jobs."),
        ("wait ", "wait [ID]...", "Wait until jobs are completed, dead or cancelled."),
        ("!ls", "!COMMAND", "Run a command with the system's shell."),
        ("quit", "quit", "Leave the shell; workers go on."),
        (
            "kill ",
            "cancel [ID]...",
            "Cancel jobs: at once when they wait, else their worker stops them.",
        ),
        (
            "workers ",
            "worker list",
            "List the workers that are alive, with the job each has in hand.",
        ),
        (
            "kil",
            "cancel [ID]...",
            "Cancel jobs: at once when they wait, else their worker stops them.",
        ),
        ("shutdown ", "no such command 'shutdown'", "queuectl worker stop stops the workers"),
        ("limit gpu 1", "no such command 'limit'", "(did you mean 'queue limit'?)"),
        ("exti ", "no such command 'exti'", "(did you mean 'exit'?)"),
        ("lsit x", "no such command 'lsit'", "(did you mean 'list'?)"),
        ("list --lmit 5", "no such option '--lmit'", "(did you mean '--limit'?)"),
    ],
)
def test_the_word_at_the_end_is_explained(line: str, name: str, text: str) -> None:
    assert help_at(line, len(line)) == (name, text)


def test_the_word_at_the_cursor_is_explained_and_not_the_last_one() -> None:
    assert help_at("list --limit 5 --queue q", len("list --limit 5"))[0] == "-n, --limit N"


def test_commands_that_were_loaded_beforehand_are_as_they_were(cli: Cli) -> None:
    warm_up()
    assert cli.ok("list", "-h").out == cli.ok("list", "--help").out
    assert {"-h", "--help", "--home"} <= options_of(root).keys()
