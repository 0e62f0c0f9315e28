"""What is said of the time at which a new job is due."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from queuectl.domain.times import UTC
from queuectl.presentation.due import due_text
from queuectl.queue import open_queue
from tests.cli.harness import Cli, claim_next
from tests.local_zone import SetZone, zone

__all__ = ["zone"]

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def local_utc(zone: SetZone) -> None:
    """Be where the clock shows UTC."""
    zone("UTC")


@pytest.mark.parametrize(
    ("run_at", "said"),
    [
        (NOW + timedelta(seconds=40), ", due Sun 29 Nov 09:00:40 UTC (in 40 seconds)"),
        (NOW + timedelta(minutes=5), ", due Sun 29 Nov 09:05 UTC (in 5 minutes)"),
        (NOW + timedelta(hours=8), ", due Sun 29 Nov 17:00 UTC (in 8 hours)"),
        (NOW + timedelta(days=2), ", due Tue 1 Dec 09:00 UTC (in 2 days)"),
        (NOW + timedelta(days=400), ", due Mon 3 Jan 2028 09:00 UTC (in 400 days)"),
        (NOW, ""),
        (NOW - timedelta(days=1), ""),
    ],
)
def test_the_instant_is_named_by_the_local_clock_and_from_now(run_at: datetime, said: str) -> None:
    assert due_text(run_at, NOW) == said


def test_the_confirmation_names_when_the_job_is_due(cli: Cli) -> None:
    said = cli.ok("enqueue", "a", "true", "--at", "2 dec 2099 14:30").out
    assert said == "Enqueued job 'a', due Wed 2 Dec 2099 14:30 UTC (in " + said.split("(in ")[1]
    assert re.fullmatch(
        r"Replaced job 'a', due .* \(in 2 hours\)\n",
        cli.ok("enqueue", "a", "true", "--in", "2h", "--replace").out,
    )
    assert cli.ok("enqueue", "b", "true").out == "Enqueued job 'b'\n"
    answer = json.loads(cli.ok("enqueue", "c", "true", "--at", "2099-12-02", "--json").out)
    assert answer == {"id": "c", "result": "enqueued", "run_at": "2099-12-02T00:00:00.000Z"}


def test_a_dry_run_names_it_and_stores_nothing(cli: Cli) -> None:
    said = cli.ok("enqueue", "a", "true", "--at", "2099-12-02 14:30", "--dry-run").out
    assert said.startswith("Would enqueue job 'a', due Wed 2 Dec 2099 14:30 UTC")
    assert cli.ids() == []
    cli.ok("enqueue", "a", "true")
    assert "exists already" in cli.refused(4, "enqueue", "a", "true", "--dry-run")
    replaced = cli.ok("enqueue", "a", "true", "--dry-run", "--replace").out
    assert replaced == "Would replace job 'a'\n"
    lines = '{"id": "x", "command": "true"}\n{"id": "a", "command": "true"}\n{"command": 5}\n'
    result = cli("enqueue", "--file", "-", "--dry-run", "--json", stdin=lines)
    assert [row["id"] for row in json.loads(result.out)] == ["x"]
    assert result.code != 0
    assert [line.partition(":")[0] for line in result.err.splitlines()] == [
        "queuectl", "queuectl", "1 would be enqueued, 2 refused",
    ]  # fmt: skip
    assert cli.ids() == ["a"]


DRY_AND_IN_EARNEST: list[tuple[list[str], str | None]] = [
    (["enqueue", "there", "true"], None),
    (["enqueue", "there", "true", "--skip-existing"], None),
    (["enqueue", "there", "true", "--replace", "--after", "waits"], None),
    (["enqueue", "runs", "true", "--replace"], None),
    (["enqueue", "--id", "new", "--command", "true", "-p"], None),
    (["enqueue", "new", "true", "--after", "nosuch"], None),
    (["enqueue", "new", "true", "--slots", "7", "--queue", "gpu"], None),
    (["enqueue", "new", "true", "--unique", "k"], None),
    (["enqueue", "new", "true", "--unique", "k", "--skip-existing", "-p"], None),
    (["add", "--id", "new", "true"], None),
    (["enqueue", "-f", "-", "--refused", "refused.txt"],
     '{"id": "a", "command": "x"}\n{"id": "a", "command": "x"}\n{"bad": 1}\n'),
    (["enqueue", "-f", "-", "--atomic"], '{"id": "a", "command": "x"}\n{"bad": 1}\n'),
    (["enqueue", "-f", "-", "--atomic"], '[{"id": "a", "command": "x"},'
                                         ' {"id": "a", "command": "x"}]'),
    (["enqueue", "-f", "-"], '[{"id": "a", "command": "x", "after": ["b"]},'
                             ' {"id": "b", "command": "x"}]'),
    (["enqueue", "-f", "-"], '[{"id": "a", "command": "x", "after": ["a"]}]'),
    (["enqueue", "-f", "-"], '[{"id": "a", "command": "x", "unique": "n"},'
                             ' {"id": "b", "command": "x", "unique": "n"}]'),
    (["enqueue", "-f", "-", "--json"], '[{"id": "a", "command": "x"},'
                                       ' {"id": "there", "command": "x"}]'),
    (["enqueue", "new", "true", "--json"], None),
    (["enqueue", "-f", "-"], "[]"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "lines"), DRY_AND_IN_EARNEST)
def test_a_dry_run_says_what_is_said_in_earnest(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], lines: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.ok("queue", "limit", "gpu", "2")
    cli.ok("enqueue", "there", "true", "--unique", "k")
    cli.ok("enqueue", "waits", "true", "--after", "there")
    cli.ok("enqueue", "runs", "sleep 9", "--priority", "high")
    with open_queue() as queue:
        assert claim_next(queue).id == "runs"
    before = cli.ids()
    dry = cli(words[0], "--dry-run", *words[1:], stdin=lines or "")
    assert cli.ids() == before
    earnest = cli(*words, stdin=lines or "")
    assert dry.code == earnest.code
    for would, done in (("Would enqueue", "Enqueued"), ("Would replace", "Replaced"),
                        ("would enqueue", "enqueued"), ("would replace", "replaced"),
                        ("would be enqueued", "enqueued")):  # fmt: skip
        dry = replace(dry, out=dry.out.replace(would, done), err=dry.err.replace(would, done))
    hints = "no worker is running: queuectl worker start\n"
    assert (dry.out, dry.err) == (earnest.out, earnest.err.replace(hints, ""))


def test_a_time_that_is_over_is_refused_but_an_exact_instant_is_due_at_once(cli: Cli) -> None:
    assert "is over: it was" in cli.refused(2, "enqueue", "a", "true", "--at", "yesterday")
    line = cli.refused(2, "enqueue", "a", "true", "--at", "2020-01-01 9:00")
    assert "it was Wed 1 Jan 2020 09:00 UTC" in line
    cli.refused(2, "enqueue", "--file", "-", stdin='{"command": "true", "run_at": "2020-01-01"}')
    assert cli.ids() == []
    result = cli.ok("enqueue", "a", "true", "--at", "2020-01-01T00:00Z")
    assert (result.out, "due at once" in result.err) == ("Enqueued job 'a'\n", True)
    again = cli.ok("enqueue", "--file", "-", "--replace", stdin=cli.ok("list", "--json").out)
    assert again.out == "Replaced job 'a'\n"


def test_the_order_of_a_date_with_slashes_is_a_setting(cli: Cli) -> None:
    assert "can be" in cli.refused(2, "enqueue", "a", "true", "--at", "01/02/2099")
    cli.ok("config", "set", "date_order", "month-first")
    assert ", due Fri 2 Jan 2099" in cli.ok("enqueue", "a", "true", "--at", "01/02/2099 9:00").out
    cli.ok("config", "set", "date_order", "day-first")
    assert ", due Sun 1 Feb 2099" in cli.ok("enqueue", "b", "true", "--at", "01/02/2099 9:00").out


@pytest.mark.parametrize(
    "words",
    [["enqueue", "--dry-run", "a", "true"], ["add", "--dry-run", "true"],
     ["enqueue", "--dry-run", "--array", "1-2", "echo {}"],
     ["import", "--from", "commands", "--dry-run", "-"]],
)  # fmt: skip
def test_a_dry_run_does_not_say_that_there_are_no_jobs_yet(cli: Cli, words: list[str]) -> None:
    result = cli(*words, stdin="make all\n")
    assert (result.code, result.err) == (0, "")
    assert "does not exist" in cli.ok("list").err


def test_a_time_is_refused_where_tz_names_no_zone(cli: Cli, zone: SetZone) -> None:
    for value in ("europe/berlin", "Mars/Base", "berlin"):
        zone(value)
        told = cli.refused(2, "enqueue", "a", "true", "--at", "tomorrow 9:00")
        assert f"TZ='{value}' names no time zone" in told
        cli.ok("enqueue", "--dry-run", "a", "true", "--at", "2099-01-01T09:00Z")
        cli.ok("enqueue", "--dry-run", "a", "true", "--in", "5m")
    for value in ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3", "UTC-2", "utc", ""):
        zone(value)
        cli.ok("enqueue", "--dry-run", "a", "true", "--at", "tomorrow 9:00")
