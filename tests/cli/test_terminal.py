"""What a person at a terminal sees."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

import pytest

from queuectl.cli import progress
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.presentation.layout import width
from queuectl.queue import Queue, open_queue
from tests.cli.harness import Cli, bury, environment, play_worker

if os.name == "nt":
    pytest.skip("pexpect needs a Unix terminal", allow_module_level=True)

import pexpect

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def shown(*args: str, columns: int = 80) -> str:
    """Return what a command line shows on a terminal, with its escape sequences."""
    child = pexpect.spawn(
        sys.executable, ["-m", "queuectl", *args], timeout=60, encoding="utf-8",
        env={**environment(), "TERM": "xterm-256color", "COLUMNS": str(columns)},
        dimensions=(40, columns),
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


def test_a_table_keeps_its_columns_and_cuts_the_command(cli: Cli) -> None:
    bury("job1")
    cli.ok("enqueue", "wide", "echo 漢字 " + "long " * 50, "--in", "2h")
    # in eighty columns there is no room for the date of a job that is due tomorrow
    plain = ESCAPES.sub("", shown("list", columns=100)).splitlines()
    titles, job1 = plain[0].split(), plain[2].split()
    assert (titles[:3], titles[-2:]) == (["ID", "STATE", "ATTEMPTS"], ["REASON", "COMMAND"])
    assert "QUEUE" not in titles
    assert (job1[:4], job1[-4:]) == (["job1", "dead", "(1)", "1/1"], ["Exit", "code", "1", "false"])
    assert "in 2h" in plain[1]
    assert plain[1].endswith("…")
    narrow = ESCAPES.sub("", shown("list", columns=30)).splitlines()
    assert narrow[2].startswith("job1  dead (1)")


@pytest.mark.parametrize("option", ["--no-color", ""])
def test_colours_can_be_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    bury("job1")
    assert "\x1b[31m" in shown("list")
    if not option:
        monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown("list", *option.split())
    assert "\x1b" not in cli.ok("list").out


def test_a_person_is_told_when_no_worker_runs() -> None:
    assert "no worker is running: queuectl worker start" in shown("enqueue", "a", "true")
    assert "'ls' is taken as the id" in shown("enqueue", "ls", "true")


def test_a_person_who_retries_is_told_too_when_no_worker_runs() -> None:
    bury("job1", "job2")
    assert "no worker is running" in shown("dlq", "retry", "job1")
    assert "no worker is running" in shown("retry", "job2")


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 200])
def test_a_table_is_never_wider_than_the_terminal(cli: Cli, columns: int) -> None:
    bury("job1")
    cli.ok("enqueue", "an-id-of-some-length", "echo 🎉 漢字 \x1b[2J " + "long " * 50,
           "--queue", "gpu", "--priority", "7", "--label", "nightly", "--in", "2h")  # fmt: skip
    lines = ESCAPES.sub("", shown("list", columns=columns)).splitlines()
    assert all(width(line) <= columns for line in lines)
    assert len(lines) == 3
    assert lines[0].split()[:2] == ["ID", "STATE"]
    assert ("LABELS" in lines[0]) == (columns == 200)
    assert "dead" in lines[2]


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_long_ids_neither_break_a_table_nor_a_row(cli: Cli, columns: int) -> None:
    cli.ok("enqueue", "i" * 42, "echo " + "long " * 50)
    cli.ok("hook", "add", "h" * 30, "--on", "dead", "--command", "true " * 50)
    with open_queue() as queue:
        play_worker(queue, jobs=1)
    for words in (["worker", "list"], ["hook", "list"], ["list"]):
        lines = ESCAPES.sub("", shown(*words, columns=columns)).splitlines()
        assert len(lines) == 2, lines
        assert all(width(line) <= columns for line in lines), lines


def test_what_says_why_a_job_waits_goes_last(cli: Cli) -> None:
    bury("an-id-of-twenty-chars")
    cli.ok("enqueue", "wide", "echo " + "long " * 50, "--in", "2h", "--label", "nightly")
    for columns in (80, 50):
        titles, *rows = ESCAPES.sub("", shown("list", columns=columns)).splitlines()
        assert "REASON" in titles
        assert "scheduled" in rows[0]
        assert "Exit code 1" in rows[1]


def test_a_search_that_takes_long_is_told_of_until_something_is_found(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("enqueue", "job1", "true")
    screen, terminal = os.openpty()
    find, seen = Queue.find, bytearray()

    def slowly(queue: Queue, chosen: Filter, page: Page) -> Iterator[Job]:
        while b"looking through 1 jobs" not in seen:
            seen.extend(os.read(screen, 1024))
        yield from find(queue, chosen, page)

    monkeypatch.setattr(Queue, "find", slowly)
    monkeypatch.setattr(progress, "_SLOW_SECONDS", 0.0)
    with os.fdopen(terminal, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setenv("TERM", "xterm")
        assert cli.ok("list", "--text", "job").out.splitlines()[1].startswith("job1")
        assert os.read(screen, 1024).endswith(progress._ERASE.encode())
    os.close(screen)


def test_the_next_runs_are_told_with_their_zone(cli: Cli) -> None:
    cli.ok("schedule", "add", "a", "0 3 * * *", "true", "--tz", "Asia/Tokyo")
    assert "times are in UTC, cron is in Asia/Tokyo" in cli.ok("schedule", "next", "a").err
    told = ESCAPES.sub("", shown("schedule", "next", "a", "-n", "1"))
    assert re.search(r"\w{3} \d{4}-\d\d-\d\d 03:00 JST \(in \d+[hm]\)", told)
    assert "times are of Asia/Tokyo" in told
    assert "03:00 JST" in shown("schedule", "show", "a")
    again = shown("schedule", "add", "a", "0 3 * * *", "true", "--tz", "Asia/Tokyo", "--replace")
    assert "03:00 JST" in again
