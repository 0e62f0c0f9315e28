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
from queuectl.queue import Queue
from tests.cli.harness import Cli, bury, environment

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
    titles, job1 = plain[0].split(), plain[1].split()
    assert (titles[:3], titles[-2:]) == (["ID", "STATE", "ATTEMPTS"], ["REASON", "COMMAND"])
    assert "QUEUE" not in titles
    assert (job1[:4], job1[-4:]) == (["job1", "dead", "(1)", "1/1"], ["Exit", "code", "1", "false"])
    assert "in 2h" in plain[2]
    assert plain[2].rstrip().endswith("…")
    narrow = ESCAPES.sub("", shown("list", columns=30)).splitlines()
    assert narrow[1].startswith("job1  dead (1)")


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
    assert "dead" in lines[1]


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
