"""The prompt as programs drive it (expect and the like), which wait for it to the last blank."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect

from tests.cli.harness import Cli, environment

PROMPT = "queuectl > "


def test_a_program_types_lines_and_waits_for_the_prompt(cli: Cli, home: Path) -> None:
    shell = pexpect.spawn(
        sys.executable, ["-m", "queuectl"], timeout=60, encoding="utf-8", dimensions=(40, 160),
        env={**environment(), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
    )  # fmt: skip
    shell.expect_exact(PROMPT)
    shell.send("enqueue never 'true'\x03")
    shell.expect_exact(PROMPT)
    for line, answer in (
        ("list\r", "no jobs yet"),
        ('enqueue job3 "sleep 5 && echo Job 3 is done"\r', "Enqueued job 'job3'"),
        ('queuectl enqueue {"id": "j4", "command": "true"}\r', "Enqueued job 'j4'"),
        ('enqueue a "open\r', "a quote is not closed"),
    ):
        shell.send(line)
        shell.expect_exact(answer)
        shell.expect_exact(PROMPT)
    shell.send("enqueue a \\\r")
    shell.expect_exact("         > ")
    shell.send("'true' --env API_KEY=hunter2\r")
    shell.expect_exact("Enqueued job 'a'")
    shell.expect_exact(PROMPT)
    shell.send("wait a\r")
    shell.expect_exact("no worker is running")  # it waits, and the keys are its own
    shell.send("\x03")
    shell.expect_exact(PROMPT)
    shell.send("exit\r")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0
    assert [job["id"] for job in cli.ok("list", "--json").json] == ["job3", "j4", "a"]
    history = home / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "job3" in history.read_text()
    assert "hunter2" not in history.read_text()
