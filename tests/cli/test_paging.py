"""Listings that are longer than the screen go through a pager, on a terminal and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

import pytest

from tests.cli.harness import Cli, environment, fill
from tests.cli.test_terminal import ESCAPES

pexpect = pytest.importorskip("pexpect")

MARK = "sed 's/^/> /'"


@pytest.fixture(autouse=True)
def many(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs than fit a terminal of 24 rows."""
    for name in ("PAGER", "QUEUECTL_PAGER", "LESS"):
        monkeypatch.delenv(name, raising=False)
    cli.ok("init")
    fill(home, 60, 2)


def paged(*args: str, keys: str = "", **variables: str) -> tuple[list[str], int]:
    """Return the lines that a command line leaves on a terminal, and its exit code."""
    child = pexpect.spawn(
        sys.executable, ["-m", "queuectl", *args], timeout=60, encoding="utf-8",
        env={**environment(), "TERM": "xterm", **variables}, dimensions=(24, 80),
    )  # fmt: skip
    if keys:
        child.expect_exact("job20")
        child.send(keys)
    child.expect(pexpect.EOF)
    child.close()
    return ESCAPES.sub("", child.before).splitlines(), child.exitstatus


def test_a_long_listing_goes_through_the_pager_and_its_hint_does_not() -> None:
    lines, code = paged("list", "-n", "50", PAGER=MARK)
    assert (len(lines), code) == (52, 0)
    assert all(line.startswith("> ") for line in lines[:51])
    assert lines[51] == "50 of 60 jobs: -a shows all"


def test_the_pager_of_queuectl_goes_before_that_of_all() -> None:
    assert paged("list", PAGER="false", QUEUECTL_PAGER=MARK)[0][0].startswith("> ID")


def test_who_leaves_the_pager_meets_no_error() -> None:
    lines, code = paged("list", "-a", PAGER="head -n 2")
    assert ([line.split()[0] for line in lines], code) == (["ID", "job00"], 0)


@pytest.mark.skipif(which("less") is None, reason="needs less")
def test_q_leaves_less() -> None:
    lines, code = paged("list", "-a", keys="q", PAGER="less", LESS="RX")
    assert (code, any("job50" in line for line in lines)) == (0, False)


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("list", {"PAGER": "cat"}),
        ("list", {"PAGER": ""}),
        ("list", {"PAGER": MARK, "TERM": "dumb"}),
        ("list --json", {"PAGER": MARK}),
        ("list --format {id}", {"PAGER": MARK}),
        ("list -n 10", {"PAGER": MARK}),
        ("queue list", {"PAGER": MARK}),
    ],
)
def test_what_is_short_or_for_programs_is_not_paged(line: str, variables: dict[str, str]) -> None:
    lines, code = paged(*line.split(), **variables)
    assert code == 0
    assert not any(line.startswith(">") for line in lines)
