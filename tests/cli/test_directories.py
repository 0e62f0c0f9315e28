"""Working directories that are not there when they are named: told, and not refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queuectl.queue import open_queue
from tests.cli.harness import Cli, cli, home

__all__ = ["cli", "home"]


def warning(cwd: object, *, where: str = "", what: str = "does not exist") -> str:
    """Return the line that is to be expected."""
    return (
        f"warning: {where}the working directory {cwd} {what} on this host; "
        "a worker that does not have it fails the job\n"
    )


def test_a_directory_that_does_not_exist_here_is_told_and_the_job_enqueued(cli: Cli) -> None:
    result = cli.ok("enqueue", "a", "true", "--cwd", "/no/such/directory")
    assert result.out == "Enqueued job 'a'\n"
    assert result.err == warning("/no/such/directory")
    assert cli.job("a")["cwd"] == "/no/such/directory"


def test_a_file_is_no_directory_and_nothing_is_said_of_one_that_is(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    err = cli.ok("enqueue", json.dumps({"command": "true", "cwd": f"{tmp_path}/file"})).err
    assert err == warning(tmp_path / "file", what="is no directory")
    assert cli.ok("enqueue", "a", "true", "--cwd", str(tmp_path)).err == ""
    assert cli.ok("enqueue", "b", "true", "--queue", "other").err == ""


def test_of_a_file_of_jobs_each_directory_is_told_once(cli: Cli, tmp_path: Path) -> None:
    directories = ["/missing/0", "/missing/0", str(tmp_path), *(f"/missing/{n}" for n in range(30))]
    lines = [json.dumps({"command": "true", "cwd": cwd}) + "\n" for cwd in directories]
    (tmp_path / "jobs.jsonl").write_text("".join(lines))
    told = cli.ok("enqueue", "--json", "--file", str(tmp_path / "jobs.jsonl")).err.splitlines(True)
    assert told[0] == warning("/missing/0", where=f"{tmp_path}/jobs.jsonl:1: ")
    assert told[1] == warning("/missing/1", where=f"{tmp_path}/jobs.jsonl:5: ")
    assert told[10:] == [
        "warning: nothing is said of further working directories that are missing\n"
    ]


def test_a_schedule_and_a_change_tell_it_too(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = cli.ok("schedule", "add", "nightly", "@daily", "true", "--cwd", "/missing").err
    assert told == warning("/missing")
    cli.ok("enqueue", "a", "true")
    assert cli.ok("set", "a", "cwd=/missing").err == warning("/missing")
    assert cli.ok("set", "a", "priority=5").err == ""
    (tmp_path / "editor").write_text('sed -i s,/missing,/elsewhere, "$1"\n')
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"sh {tmp_path}/editor")
    assert cli.ok("edit", "a").err == warning("/elsewhere")
    with open_queue() as queue:
        assert queue.get("a").spec.cwd == "/elsewhere"


@pytest.mark.parametrize("line", ["import x.jsonl", "shell x.q"])
def test_a_file_in_a_directory_that_was_removed_is_not_said_to_be_missing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = cli.refused(2, *line.split())
    assert told == (
        "queuectl: the working directory does not exist any more; go to one that does: cd DIR\n"
    )
    assert "No such file" in cli.refused(2, *line.replace(" x", f" {tmp_path}/x").split())
