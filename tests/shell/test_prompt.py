"""The prompt on a real terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import Cli, environment

if os.name == "nt":
    pytest.skip("pexpect needs a Unix terminal", allow_module_level=True)

import pexpect

PROMPT = "queuectl > "


@pytest.fixture
def shell() -> Iterator[pexpect.spawn[str]]:
    """A shell on a terminal of its own, at its prompt."""
    child = pexpect.spawn(
        sys.executable, ["-m", "queuectl"], timeout=60, encoding="utf-8",
        env={**environment(), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}, dimensions=(40, 160),
    )  # fmt: skip
    child.expect_exact(PROMPT)
    yield child
    child.close(force=True)


def type_line(shell: pexpect.spawn[str], line: str, expected: str) -> None:
    """Type a line, find what it shows, and be back at the prompt."""
    shell.send(line + "\r")
    shell.expect_exact(expected)
    shell.expect_exact(PROMPT)


def leave(shell: pexpect.spawn[str], how: str = "exit\r") -> None:
    """Leave the shell, which ends with 0."""
    shell.send(how)
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0


def test_commands_work_with_and_without_the_programs_name(
    shell: pexpect.spawn[str], cli: Cli
) -> None:
    type_line(shell, 'enqueue job3 "sleep 5 && echo Job 3 is done"', "Enqueued job 'job3'")
    type_line(shell, 'queuectl enqueue {"id": "j4", "command": "true"}', "Enqueued job 'j4'")
    type_line(shell, "status", "pending")
    type_line(shell, "help", "Examples:")
    leave(shell)
    assert len(cli.ok("list", "--json").json) == 2


def test_a_refused_line_leaves_the_shell_alive(shell: pexpect.spawn[str]) -> None:
    type_line(shell, "statuss", "did you mean 'status'")
    type_line(shell, 'enqueue a "open', "a quote is not closed")
    type_line(shell, "show missing", "no job 'missing'")
    type_line(shell, "list --bogus", "no such option")
    type_line(shell, "!echo $((6 * 7))", "42")
    leave(shell, "quit\r")


def test_a_backslash_continues_the_line(shell: pexpect.spawn[str]) -> None:
    shell.send("enqueue a \\\r")
    shell.expect_exact("         > ")
    type_line(shell, "'echo on'", "Enqueued job 'a'")
    leave(shell, "\x04")


def test_control_c_clears_the_line_or_stops_the_command(shell: pexpect.spawn[str]) -> None:
    shell.send("enqueue never 'true'\x03")
    shell.expect_exact(PROMPT)
    type_line(shell, "list", "no jobs yet")
    type_line(shell, "enqueue a 'true'", "Enqueued")
    shell.send("wait a\r")
    shell.expect_exact("no worker is running")  # it waits, and the keys are its own
    shell.send("\x03")
    shell.expect_exact(PROMPT)
    leave(shell)


def test_history_is_private_and_without_secrets(shell: pexpect.spawn[str], home: Path) -> None:
    type_line(shell, "enqueue a 'true' --env API_KEY=hunter2", "Enqueued")
    type_line(shell, "status", "pending")
    leave(shell)
    history = home / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "status" in history.read_text()
    assert "hunter2" not in history.read_text()


def test_workers_outlive_the_shell(shell: pexpect.spawn[str], cli: Cli) -> None:
    type_line(shell, "enqueue a 'echo hi'", "no worker is running")
    type_line(shell, "worker start --count 2", "Started 2 worker(s)")
    type_line(shell, "wait a", "job 'a' completed")
    leave(shell)
    assert len(cli.ok("status", "--json").json["workers"]) == 2
