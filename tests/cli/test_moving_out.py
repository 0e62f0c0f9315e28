"""`export --to`: schedules and jobs as other programs read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.harness import Cli, cli, home
from tests.transfer.foreign.kit import entry_of, fields_of

__all__ = ["cli", "home"]

LINES = [
    "15 3 * * 1-5 make all",
    "@daily date +\\%F | mail -s 'a b' ops",
    "0 9 * * * cat%one%two\\%",
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_cron_comes_back_as_it_was(cli: Cli, line: str) -> None:
    cli.ok("import", "--from", "crontab", stdin=f"{line}\n")
    comment, back = cli.ok("export", "--to", "crontab").out.splitlines()
    assert comment.startswith("# ")
    assert back == line


@pytest.mark.parametrize(
    "command", [r"a\%b", r"a\\%", r"a\\b\c\\\d%%", r"x\\", "y\\", "%", r"\\\%"]
)
def test_backslashes_and_percent_signs_come_back_as_they_were(cli: Cli, command: str) -> None:
    cli.ok("schedule", "add", "x", "@daily", command, "--input-text", f"{command}x\n%\n")
    fields = fields_of(entry_of("crontab", cli.ok("export", "--to", "crontab").out))
    assert fields["command"].endswith(f"&& {command}")
    assert fields["input_text"] == f"{command}x\n%\n"


def test_what_cron_does_not_give_by_itself_is_in_the_line(cli: Cli, tmp_path: Path) -> None:
    cli.ok(
        "schedule", "add", "x", "0 3 * * *", "--overlap", "--max-retries", "1", "--timeout", "9",
        "--env", "A=b c", "--cwd", str(tmp_path / "work"), "--", "sh", "-c", 'echo "$A" $PWD',
    )  # fmt: skip
    line = cli.ok("export", "--to", "crontab").out.splitlines()[-1]
    fields = fields_of(entry_of("crontab", line))
    ended = subprocess.run(
        ["/bin/sh", "-c", fields["command"]], cwd="/", check=True, capture_output=True, text=True
    )
    assert ended.stdout == f"b c {tmp_path}/work\n"
    assert "timeout 9 sh" in line


def test_what_a_line_loses_is_said(cli: Cli) -> None:
    cli.ok("schedule", "add", "x", "0 3 * * *", "true", "--catch-up", "--priority", "5")
    said = cli.ok("export", "--to", "crontab").err
    for what in ("not made up for", "though an earlier run", "not tried again", "priority"):
        assert what in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["true", "--tz", "Asia/Tokyo"], "its zone is Asia/Tokyo"),
        (["a\nb"], "several lines"),
        (["x" * 1000], "more than 998"),
        (["cat", "--input-text", "a\\\nb"], "backslash at the end of a line"),
        (["cat", "--input-text", "a\\"], "backslash at the end of a line"),
    ],
)
def test_what_cron_cannot_say_is_left_out_with_the_reason(
    cli: Cli, options: list[str], why: str
) -> None:
    cli.ok("schedule", "add", "x", "0 3 * * *", *options)
    result = cli.ok("export", "--to", "crontab", "out")
    assert why in result.err
    assert result.out == "Exported 0 schedules, 1 left out to out\n"
    assert Path("out").read_text() == ""


def test_jobs_that_wait_are_commands(cli: Cli) -> None:
    here = str(Path.cwd())
    cli.ok("enqueue", "a", "echo one; echo two")
    cli.ok("enqueue", "b", "true", "--after", "a")
    cli.ok("enqueue", "c", "true", "--hold")
    cli.ok("enqueue", "d", "true", "--in", "1h")
    cli.ok("enqueue", "e", "cat", "--input-text", "x")
    cli.ok("enqueue", "--env", "API_TOKEN=hunter2", "f", "--", "printf", "%s", "a b")
    result = cli.ok("export", "--to", "commands")
    assert result.out.splitlines() == [
        f"cd {here} && {{ echo one; echo two; }}",
        f"cd {here} && export API_TOKEN=hunter2 && printf %s 'a b'",
    ]
    assert result.err.count("is left out") == 4
    assert "hunter2" not in cli.ok("export", "--to", "commands", "--mask").out
    ran = subprocess.run(["/bin/sh", "-c", result.out], check=True, capture_output=True, text=True)
    assert ran.stdout == "one\ntwo\na b"


@pytest.mark.parametrize("command", ["echo a & wait; echo b &", "echo a; echo b\\", "echo a b #c"])
def test_a_command_is_one_whatever_it_ends_with(cli: Cli, command: str) -> None:
    cli.ok("enqueue", "--command", command)
    line = cli.ok("export", "--to", "commands").out
    here, there = (subprocess.check_output(["/bin/sh", "-c", each]) for each in (command, line))
    assert here == there


def test_a_format_that_is_not_written_is_refused(cli: Cli) -> None:
    assert "did you mean 'crontab'?" in cli.refused(2, "export", "--to", "crontabs")
