"""Crontabs are taken as Debian's cron reads them, or refused line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.system.local_zone import LocalZone
from queuectl.transfer.foreign import crontab
from tests.transfer.foreign.kit import entries_of, entry_of, fields_of


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of the machine, and programs that it has."""
    monkeypatch.setattr(crontab, "local_zone", lambda: LocalZone("Europe/Berlin"))


def test_a_line_runs_as_cron_would_run_it() -> None:
    entry = entry_of("crontab", "15  3 * *\t1-5   make  all\n")
    assert (entry.line, entry.cron, entry.tz, entry.overlap, entry.catch_up) == (
        1, "15 3 * * 1-5", None, True, False,
    )  # fmt: skip
    assert fields_of(entry) == {
        "command": "make  all",
        "cwd": "/home/ada",
        "env": {
            "PATH": "/usr/bin:/bin", "LOGNAME": "ada", "USER": "ada", "HOME": "/home/ada",
            "SHELL": "/bin/sh",
        },
        "clean_env": True,
        "max_retries": 1,
        "timeout": 0,
    }  # fmt: skip


def test_variables_hold_for_the_lines_below_them() -> None:
    text = (
        "LOGNAME=x\nUSER=y\n"
        "@daily one\nA = 'b c' \n\"D\"=$HOME/x\nSHELL=/bin/bash\nHOME=/srv/app\n@daily two\n"
        "A=1 # no comment\n@daily three\n"
    )
    one, two, three = entries_of("crontab", text)
    assert "A" not in fields_of(one)["env"]
    assert (fields_of(one)["env"]["LOGNAME"], fields_of(one)["env"]["USER"]) == ("ada", "y")
    env = fields_of(two)["env"]
    assert (env["A"], env["D"]) == ("b c", "$HOME/x")
    assert fields_of(two)["command"] == ["/bin/bash", "-c", "two"]
    assert fields_of(two)["cwd"] == "/srv/app"
    assert "D: cron does not expand the $ in it" in two.changes
    assert fields_of(three)["env"]["A"] == "1 # no comment"
    assert any("comment is part" in change for change in three.changes)


@pytest.mark.parametrize(
    ("written", "command", "standard_input"),
    [
        (r"date +\%F", "date +%F", None),
        ("mail joe%Hi,%%bye%", "mail joe", "Hi,\n\nbye\n"),
        (r"cat%50\% of it", "cat", "50% of it\n"),
        (r"echo a\\%b", "echo a\\", "b\n"),
        (r"grep a\b", r"grep a\b", None),
        (r"sed 's/\\./\\\\/' \\\%", r"sed 's/\./\\/' \%", None),
        (r"cat%a\\b\\\%", "cat", "a\\\\b\\\\%\n"),
        ("cat%", "cat", "\n"),
        ("echo # not a comment of cron's", "echo # not a comment of cron's", None),
    ],
)
def test_a_percent_sign_ends_the_command(
    written: str, command: str, standard_input: str | None
) -> None:
    fields = fields_of(entry_of("crontab", f"* * * * * {written}"))
    assert (fields["command"], fields.get("input_text")) == (command, standard_input)


def test_what_stands_behind_the_percent_sign_is_not_shown() -> None:
    for line in ("* * * * * cat%hunter2", "*/99 * * * * cat%hunter2"):
        assert "hunter2" not in entry_of("crontab", line).text


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot x", "does not see the machine start"),
        ("@every 5m x", "schedule add NAME --every"),
        ("@fortnightly x", "is not of cron"),
        ("0 9 * * fri-mon x", "a range that falls never ran in Debian's cron: write 5-7,0-1"),
        ("0 9 * * mon-sun x", "write mon-7"),
        ("0 22-6 * * * x", "write 22-23,0-6"),
        ("0 9 * * 5#2 x", "ran in each week, or never"),
        ("0 9 L * * x", "'L' is of other schedulers"),
        ("0 9 15W * * x", "'W' is of other schedulers"),
        ("0 9 ? * 1 x", "write *"),
        ("H * * * * x", "is of Jenkins"),
        ("0~30 * * * * x", "random"),
        ("*/90 * * * * x", "once in the whole range"),
        ("5/15 * * * * x", "write 5-59/15"),
        ("60 * * * * x", "60 is not from 0 to 59"),
        ("0 9 * * monday x", "is not a number"),
        ("0 9 0 * * x", "0 is not from 1 to 31"),
        ("*/0 * * * * x", "a step of 0"),
        ("1 5 cron.daily nice run-parts", "day of the month"),
        ("* * * * * * six", "more than five fields"),
        ("0 0 9 * * MON-FRI /x", "more than five fields"),
        ("0 0 12 * * ? /x", "more than five fields"),
        ("@monthly 45 cron.monthly nice run-parts", "anacrontab"),
        ("0 3 * * * node cd /srv && npm run x", "say --system"),
        ("make all", "neither NAME=VALUE nor five fields"),
        ("0 9 * * *", "there is no command"),
        ("@daily", "there is no command"),
        ("* * * * * %only input", "there is no command"),
    ],
)
def test_a_line_that_cron_reads_otherwise_or_not_at_all_is_refused(line: str, why: str) -> None:
    assert why in entry_of("crontab", line).refused


@pytest.mark.parametrize(
    "time", ["*/5 * * * *", "0,30 8-18/2 * * mon-fri", "0 0 1 JAN,jul *", "7 4 * * 7", "@Hourly"]
)
def test_the_times_of_cron_are_taken(time: str) -> None:
    assert entry_of("crontab", f"{time} x").cron == (time.lower() if time[0] == "@" else time)


SYSTEM = "17 * * * *\troot\tcd / && run-parts /etc/cron.hourly\n0 3 * * * ada /srv/own.sh\n"


def test_lines_with_users_are_of_the_system_and_only_ones_own_are_taken() -> None:
    other, own = entries_of("crontab", SYSTEM)
    assert "it runs as root" in other.refused
    assert fields_of(own)["command"] == "/srv/own.sh"
    (third,) = entries_of("crontab", f"{SYSTEM}5 5 * * * /srv/none.sh")[2:]
    assert "it names no user" in third.refused


@pytest.mark.parametrize(
    "rest",
    [
        "php /srv/artisan schedule:run", "git pull", "mail -s hi joe", "node /srv/app.js",
        "root", "/usr/bin/env bash x", "sync", "root --help",
    ],
)  # fmt: skip
def test_a_command_is_no_user(rest: str) -> None:
    assert fields_of(entry_of("crontab", f"0 1 * * * {rest}"))["command"] == rest


def test_what_may_be_a_user_or_a_command_is_asked() -> None:
    line = "0 1 * * * backup /srv/data"
    assert "say --system" in entry_of("crontab", line).refused
    assert fields_of(entry_of("crontab", line, is_system=False))["command"] == "backup /srv/data"
    assert "it runs as backup" in entry_of("crontab", line, is_system=True).refused
    own = entry_of("crontab", "0 1 * * * ada x", path=Path("/etc/cron.d/own"))
    assert fields_of(own)["command"] == "x"


def test_a_first_word_that_is_no_program_here_is_remarked_on() -> None:
    line = "0 1 * * * deployer /srv/run.sh"
    assert "if it is a user, say --system" in entry_of("crontab", line).changes[0]
    assert entry_of("crontab", line, is_system=False).changes == ()
    assert entry_of("crontab", "0 1 * * * ls /srv").changes == ()
    assert entry_of("crontab", "0 1 * * * source /srv/env && /srv/run").changes == ()


@pytest.mark.parametrize(
    ("text", "dialect", "tz", "why"),
    [
        ("CRON_TZ=Asia/Tokyo", None, None, "say --dialect"),
        ("TZ=Asia/Tokyo", None, None, "say --dialect"),
        ("CRON_TZ=Asia/Tokyo", "debian", None, ""),
        ("TZ=Asia/Tokyo", "debian", None, ""),
        ("CRON_TZ=Asia/Tokyo", "cronie", "Asia/Tokyo", ""),
        ("TZ=Asia/Tokyo", "cronie", None, "cronie reads CRON_TZ alone"),
        ("CRON_TZ=Europe/Berlin", None, None, ""),
        ("TZ=", None, None, ""),
    ],
)
def test_a_zone_moves_the_time_where_it_did(
    text: str, dialect: str | None, tz: str | None, why: str
) -> None:
    entry = entry_of("crontab", f"{text}\n0 9 * * * x", dialect=dialect)
    assert entry.tz == tz
    assert why in entry.refused if why else entry.is_taken


def test_all_names_of_utc_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontab, "local_zone", lambda: LocalZone("UTC"))
    assert entry_of("crontab", "CRON_TZ=Etc/UTC\n0 9 * * * x").is_taken


def test_mail_is_named_with_the_hook_that_would_replace_it() -> None:
    first, second = entries_of("crontab", 'MAILTO=ops@x\n@daily a\nMAILTO=""\n@daily b')
    assert "hook add NAME --on dead --mail ops@x" in first.changes[0]
    assert second.changes == ()


def test_the_line_ends_of_windows_and_a_byte_order_mark_are_no_part_of_it() -> None:
    entry = entry_of("crontab", "\ufeff# one\r\n\r\n  @daily x y\r\n")
    assert (entry.line, fields_of(entry)["command"]) == (3, "x y")
