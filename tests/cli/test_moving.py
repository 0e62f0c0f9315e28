"""`import --from` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queuectl.transfer.foreign import FORMATS
from tests.cli.harness import ROOT, Cli, cli, home

__all__ = ["cli", "home"]

TABLE = "MAILTO=ops@x\n15 3 * * * ./backup.sh\n@reboot ./start.sh\n@daily cat%hunter2\n"


def test_each_line_is_told_of_and_a_refusal_is_the_exit_code(cli: Cli) -> None:
    result = cli("import", "--from", "crontab", "-", stdin=TABLE)
    assert result.code == 2
    first, *rows, last = result.out.splitlines()
    assert first.split() == ["LINE", "AS", "NAME", "COMMAND", "REMARKS"]
    assert [row.split()[:2] for row in rows] == [
        ["2", "schedule"], ["3", "refused"], ["4", "schedule"],
    ]  # fmt: skip
    assert last == "Imported 2 schedules"
    assert "1 refused" in result.err
    assert "hunter2" not in result.out + result.err


def test_as_json_each_line_says_what_became_of_it(cli: Cli) -> None:
    rows = cli("import", "--from", "crontab", "--json", stdin=TABLE).json
    assert [(row["line"], row["result"]) for row in rows] == [
        (2, "taken"), (3, "refused"), (4, "taken"),
    ]  # fmt: skip
    assert rows[0]["imported_from"].startswith("crontab:")
    assert rows[0]["cron"] == "15 3 * * *"
    assert "hook add" in rows[0]["changes"][0]
    shown = cli.ok("schedule", "list", "--json").json
    assert {each["job"]["imported_from"] for each in shown} == {
        rows[0]["imported_from"], rows[2]["imported_from"],
    }  # fmt: skip
    assert [each["overlap"] for each in shown] == [True, True]
    assert [each["job"]["max_retries"] for each in shown] == [1, 1]


def test_a_limit_is_told_of_where_all_jobs_go_to_another_queue(cli: Cli) -> None:
    script = "#!/bin/sh\n#SBATCH -J a --array=1-3%2\nmake\n"
    rows = cli("import", "--from", "sbatch", "--queue", "q", "--json", stdin=script).json
    assert rows[0]["result"] == "left"
    assert rows[0]["reason"].endswith("without its limit: queuectl queue limit q 2")
    assert "limit" not in str(rows[1]["changes"])


def test_a_second_import_adds_nothing_twice(cli: Cli) -> None:
    text = "make one\nmake one\n"
    assert cli.ok("import", "--from", "commands", stdin=text).out.endswith("Imported 2 jobs\n")
    again = cli.ok("import", "--from", "commands", stdin=f"{text}make two\n")
    assert again.out.endswith("Imported 1 job\n")
    assert "2 imported before" in again.err
    assert len(cli.ids()) == 3


@pytest.mark.parametrize("source", ["crontab", "commands"])
def test_a_dry_run_takes_and_makes_nothing(cli: Cli, home: Path, source: str) -> None:
    result = cli("import", "--from", source, "--dry-run", stdin="@daily x\n")
    assert "Would import 1" in result.out
    assert not home.exists()


def test_options_go_before_what_the_lines_say(cli: Cli) -> None:
    options = ("--queue", "night", "--max-retries", "4", "--no-overlap")
    cli.ok("import", "--from", "crontab", *options, stdin="@daily x\n")
    (shown,) = cli.ok("schedule", "list", "--json").json
    assert (shown["job"]["queue"], shown["job"]["max_retries"]) == ("night", 4)
    assert shown["overlap"] is False


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import --from crontabs x", "did you mean 'crontab'?"),
        ("import --from crontab missing", "cannot read missing"),
        ("import --from crontab .", "is a directory"),
        ("import --from crontab", "nothing in it"),
        ("import", "name the file"),
        ("import x --dry-run", "--dry-run goes with --from"),
        ("import x --no-overlap", "--no-overlap goes with --from"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_store_is_made(
    cli: Cli, home: Path, line: str, why: str
) -> None:
    assert why in cli.refused(2, *line.split())
    assert not home.exists()


def test_the_run_of_an_imported_line_reads_what_stands_behind_the_percent_sign(cli: Cli) -> None:
    cli.ok("import", "--from", "crontab", stdin="* * * * * tr a-z A-Z%hello%world\n")
    (shown,) = cli.ok("schedule", "list", "--json").json
    assert shown["job"]["command"] == "tr a-z A-Z"
    assert shown["job"]["input_text"] == "********"


TASK = {
    "id": 3, "command": "make", "path": "/tmp", "group": "gpu", "dependencies": [],
    "status": "Queued", "envs": {"API_TOKEN": "hunter2"},
}  # fmt: skip
STATE = json.dumps(
    {"tasks": {"3": TASK}, "groups": {"gpu": {"status": "Running", "parallel_tasks": 2}}}
)


def test_a_captured_environment_and_the_limit_of_a_group_come_over(cli: Cli) -> None:
    result = cli.ok("import", "--from", "pueue", "--with-env", stdin=STATE)
    assert result.out.endswith("Imported 1 job and 1 queue\n")
    (job,) = cli.ok("list", "--json").json
    assert (job["queue"], job["capture_env"]) == ("gpu", True)
    (queue,) = cli.ok("queue", "list", "--json").json
    assert (queue["name"], queue["limit"]) == ("gpu", 2)
    assert "hunter2" not in result.out
    again = cli.ok("import", "--from", "pueue", stdin=STATE)
    assert again.out.endswith("Imported 0 jobs\n")


def test_the_page_shows_what_an_import_prints(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    page = (ROOT / "docs/moving-in.md").read_text(encoding="utf-8")
    table = page.partition("```crontab\n")[2].partition("```")[0]
    shown = page.partition("--dry-run\n")[2].partition("```")[0]
    Path("my.crontab").write_text(table, encoding="utf-8")
    assert cli("import", "--from", "crontab", "my.crontab", "--dry-run").out == shown


def test_the_page_has_a_section_for_each_format(cli: Cli) -> None:
    page = (ROOT / "docs/moving-in.md").read_text(encoding="utf-8")
    helped = cli.ok("import", "--help").out
    for name in FORMATS:
        assert f"\n## {name}\n" in page
        assert name in helped
