"""Listing some of many jobs: chosen by what they have in common, and page after page."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from queuectl.system import cgroups
from tests.cli.harness import Cli, bury, claim_next, fill, lose_next, run_next

LOST = Outcome(signal=15, duration=0.2, interrupted=True)
BROKEN = Outcome(exit_code=75, error="Exit code 75", duration=0.5)


def ids(table: str) -> list[str]:
    """Return the first column of a table."""
    return [line.split()[0] for line in table.splitlines()[1:]]


@pytest.fixture
def mixed(cli: Cli) -> None:
    """Jobs that differ in queue, label, command and end."""
    bury("broken-1", "broken-2", error="Disk is full")
    cli.ok("enqueue", "backup", "./Nightly.sh", "--queue", "io", "--label", "night")
    cli.ok("enqueue", "report", "./report.sh")
    with open_queue() as queue:
        run_next(queue, BROKEN)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("--queue io", ["backup"]),
        ("--label night", ["backup"]),
        ("--text NIGHTLY", ["backup"]),
        ("--text full", ["broken-1", "broken-2"]),
        ("--text full --text 2", ["broken-2"]),
        ("--exit-code 75", ["backup"]),
        ("--exit-code 1 --newest", ["broken-2", "broken-1"]),
        ("--since 1h --state pending", ["report"]),
        ("--until 1h", []),
        ("--until 2100-01-01 --text report", ["report"]),
        ("--since 14_days_ago --text report", ["report"]),
    ],
)
def test_jobs_are_listed_by_what_they_have_in_common(
    cli: Cli, options: str, found: list[str]
) -> None:
    words = [word.replace("_", " ") for word in options.split()]
    assert [job["id"] for job in cli.ok("list", *words, "--json").json] == found
    result = cli.ok("list", *words)
    assert ids(result.out) == found
    assert ("no such jobs" in result.err) == (not found)


@pytest.mark.usefixtures("mixed")
def test_dead_jobs_are_chosen_by_the_same_options(cli: Cli) -> None:
    assert ids(cli.ok("dlq", "list", "--text", "-2", "--exit-code", "1").out) == ["broken-2"]
    assert ids(cli.ok("dlq", "list", "--newest").out) == ["broken-2", "broken-1"]
    assert "no such dead jobs" in cli.ok("dlq", "list", "--label", "night").err
    assert "Would retry job 'broken-2'" in cli.ok("retry", "--text", "-2", "--dry-run").out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--since", "whenever"], "cannot read 'whenever' as a time"),
        (["--text", ""], "--text must not be empty"),
        (["--exit-code", "300"], "--exit-code"),
        (["--after"], "--after"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Cli, options: list[str], told: str) -> None:
    assert told in cli.refused(2, "list", *options)


def test_each_page_says_how_to_get_the_next(cli: Cli, home: Path) -> None:
    cli.ok("init")
    fill(home, 7, 1)
    every = ids(cli.ok("list").out)
    first = cli.ok("list", "--limit", "3")
    assert first.err == f"3 of 7 jobs: --after {every[2]} shows the next, --limit 0 all\n"
    second = cli.ok("list", "--limit", "3", "--after", every[2])
    third = cli.ok("list", "--limit", "3", "--after", every[5])
    assert ids(first.out) + ids(second.out) + ids(third.out) == every
    assert third.err == ""
    assert ids(cli.ok("list", "--newest", "--after", every[2]).out) == every[1::-1]
    assert cli.ok("list", "--after", every[-1]).err == f"no more jobs after '{every[-1]}'\n"
    assert "and there are more" in cli.ok("list", "--limit", "2", "--text", "true").err
    assert "'gone'" in cli.refused(3, "list", "--after", "gone")


def test_the_timeline_tells_of_every_run_and_what_came_of_it(cli: Cli) -> None:
    cli.ok("enqueue", "a", "false", "--backoff-base", "0", "--max-retries", "2")
    with open_queue() as queue:
        run_next(queue, BROKEN)
        queue.store.make_due_claimable()
        run_next(queue, LOST)
        run_next(queue, BROKEN)
        dead = cli.ok("show", "a").out.split("\n\n")[1].splitlines()
        assert dead[0].split() == "RUN STARTED TOOK WORKER RESULT THEN".split()
        assert [line.split()[0] for line in dead[1:]] == ["1", "2", "3"]
        assert "Exit code 75  again after 0s" in dead[1]
        assert "interrupted   not counted, again after 0s" in dead[2]
        assert dead[3].endswith("Exit code 75  dead")
        cli.ok("retry", "a")
        claim_next(queue)
    running = cli.ok("show", "a").out.split("\n\n")[1].splitlines()
    assert running[4].split()[0] == "4"
    assert "processing" in running[4]
    history = cli.job("a")["history"]
    assert [(run["n"], run["exit_code"], run["signal"]) for run in history] == [
        (1, 75, None), (2, None, 15), (3, 75, None),
    ]  # fmt: skip
    assert all(run["duration"] >= 0 for run in history)


def test_the_timeline_of_a_job_in_its_first_run_is_that_run(cli: Cli) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true"})])
        claim_next(queue)
    assert [row.split()[-2:] for row in cli.ok("show", "a").out.splitlines()[-1:]] == [
        ["processing", "-"]
    ]


def test_what_is_shown_of_a_suspect_says_why_it_runs_alone(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    why = "a suspect: its worker died while it ran beside others; it runs alone"
    with open_queue() as queue:
        lose_next(queue, alone=False)
        assert f"interruptions  {why} next time\n" in cli.ok("show", "a").out
        assert (cli.job("a")["suspect"], cli.job("a")["interruptions"]) == (True, 0)
        lose_next(queue)
        claim_next(queue)
        assert f"interruptions  1; {why} now\n" in cli.ok("show", "a").out


def test_what_the_latest_run_used_is_listed_where_it_is_asked_for(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    cli.ok("enqueue", "b", "true")
    used = Outcome(
        exit_code=0, duration=1.0, cpu_seconds=0.5, peak_memory=2**28, result='{"loss": 0.5}'
    )
    with open_queue() as queue:
        run_next(queue, used)
    listed = cli.ok("list", "--columns", "id,memory,cpu,result").out.splitlines()
    assert [line.split(maxsplit=3) for line in listed] == [
        ["ID", "MEMORY", "CPU", "RESULT"],
        ["a", "268435456", "0.5", '{"loss": 0.5}'],
        ["b", "-", "-", "-"],
    ]
    assert "MEMORY" not in cli.ok("list").out
    assert "256 MB" in cli.ok("list", "--columns", "id,memory", "--wide=no").out
    shown = cli.ok("show", "a").out
    assert "peak_memory  256 MB\nresult       {" in shown
    assert "1.0 s  0.5 s, 256 MB" in shown
    assert cli.job("a")["result"] == {"loss": 0.5}


def test_enqueue_tells_where_no_worker_of_the_host_can_hold_the_limits(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "read_text", lambda _path: "")
    told = "no worker of this host can run it: this host has no cgroup v2"
    assert told in cli.ok("enqueue", "a", "true", "--memory", "2G").err
    assert told in cli.ok("enqueue", '{"command": "true", "cpus": 2}').err
    kind = ("--memory-kind", "address-space")
    assert cli.ok("enqueue", "b", "true", "--memory", "2G", *kind).err == ""
    assert (cli.job("b")["memory"], cli.job("a")["memory_kind"]) == (2**31, "cgroup")
    assert "sizes have a unit" in cli.refused(2, "enqueue", "c", "true", "--memory", "2")
