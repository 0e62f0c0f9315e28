"""A store in which somebody wrote by hand: what cannot be read is in nobody's way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.stores import serialization
from tests.cli.harness import Cli


@pytest.fixture
def spoilt(cli: Cli, home: Path) -> Cli:
    """A home whose job `bad` is in a state that nobody knows; `child` waits for it."""
    for job_id in ("good", "bad"):
        cli.ok("enqueue", job_id, "true")
    cli.ok("enqueue", "--id", "child", "--command", "true", "--after", "bad")
    with closing(sqlite3.connect(home / "queue.db", isolation_level=None)) as connection:
        connection.execute("UPDATE jobs SET state = 'weird' WHERE id = 'bad'")
    serialization.known_state.cache_clear()
    serialization.note_unreadable.cache_clear()
    return cli


@pytest.mark.parametrize(
    "line",
    ["status", "status --json", "queue list", "list", "list --json", "metrics",
     "show child"],
)  # fmt: skip
def test_whoever_looks_sees_all_others(spoilt: Cli, line: str) -> None:
    result = spoilt.ok(*line.split())
    assert result.out


def test_doctor_names_the_job(spoilt: Cli) -> None:
    result = spoilt("doctor")
    assert result.code == 1
    assert "the record of job 'bad' cannot be read" in result.out


def test_a_backup_that_holds_it_is_restored_with_a_warning(spoilt: Cli, tmp_path: Path) -> None:
    file = str(tmp_path / "b.db")
    spoilt.ok("backup", file)
    warning = "jobs in it whose records cannot be read, and which will not run: bad\n"
    assert warning in spoilt.ok("restore", "--dry-run", file).err
    assert warning in spoilt.ok("restore", "--yes", file).err


@pytest.mark.parametrize("line", ["export {}", "migrate --yes --to {}", "purge --yes"])
def test_what_is_left_behind_is_told(
    spoilt: Cli, tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt.ok(*line.format(tmp_path / "other").split())
    assert "'bad'" in caplog.text or "'weird'" in caplog.text
