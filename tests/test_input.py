"""What a job reads on its standard input is shown nowhere, and kept where it is needed."""

from __future__ import annotations

import json

import pytest

from queuectl.queue import open_queue
from tests.cli.harness import Cli, cli, home

__all__ = ["cli", "home"]

SECRET = "hunter2"


@pytest.fixture
def told(cli: Cli) -> Cli:
    """A job and a schedule that read a secret."""
    cli.ok("enqueue", "job1", "cat", "--input-text", SECRET)
    cli.ok("schedule", "add", "nightly", "0 3 * * *", "cat", "--input-text", SECRET)
    return cli


@pytest.mark.parametrize(
    "line",
    [
        "show job1", "show job1 --json", "list --json", "list", "schedule show nightly",
        "schedule show nightly --json", "schedule list --json", "export --mask",
    ],
)  # fmt: skip
def test_nothing_shows_it(told: Cli, line: str) -> None:
    assert SECRET not in told.ok(*line.split()).out


def test_that_there_is_one_is_told(told: Cli) -> None:
    assert told.job("job1")["input_text"] == "********"
    assert told.ok("schedule", "show", "nightly", "--json").json["job"]["input_text"] == "********"
    told.ok("enqueue", "job2", "cat")
    assert told.job("job2")["input_text"] is None


def test_an_export_to_a_file_has_it_as_it_has_variables(told: Cli) -> None:
    told.ok("export", "all.jsonl")
    told.ok("--home", "other", "import", "all.jsonl")
    assert told.ok("--home", "other", "export").out.count(SECRET) == 2


def test_a_mask_that_is_left_in_the_editor_changes_nothing(told: Cli) -> None:
    told.ok("set", "job1", "input_text=********", "priority=3")
    with open_queue() as queue:
        assert queue.get("job1").spec.input_text == SECRET
    told.ok("set", "job1", "input_text=")
    assert told.job("job1")["input_text"] is None


def test_what_is_too_long_is_refused(cli: Cli) -> None:
    line = json.dumps({"command": "cat", "input_text": "x" * 262_145})
    assert "COMMAND < FILE" in cli.refused(2, "enqueue", "--file", "-", stdin=line)


def test_a_mask_is_not_taken_for_a_text(told: Cli) -> None:
    listed = told.ok("list", "--json").out
    assert "is hidden there" in told.refused(2, "enqueue", "--file", "-", "--replace", stdin=listed)
