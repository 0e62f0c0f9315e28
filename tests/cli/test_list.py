"""`list`: what it shows first, what may be asked of it, and the words people use for that."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import Cli, bury, claim_next, fill, run_next
from tests.cli.test_terminal import ESCAPES, shown


@pytest.fixture
def going_on(cli: Cli) -> None:
    """What goes on: jobs that run, wait and have ended, which did not arrive in that order."""
    cli.ok("enqueue", "low", "true", "--priority", "low")
    cli.ok("enqueue", "hello", "true", "--priority", "9")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0, duration=0.5))
    bury("bad")
    cli.ok("enqueue", "runs", "true", "--priority", "8", "--queue", "gpu")
    with open_queue() as queue:
        claim_next(queue)
    cli.ok("enqueue", "later", "true", "--in", "1h")
    cli.ok("enqueue", "next", "true", "--priority", "high", "--label", "nightly")


ARRIVED = ["low", "hello", "bad", "runs", "later", "next"]
AT_A_GLANCE = ["runs", "next", "low", "later", "bad", "hello"]


@pytest.mark.usefixtures("going_on")
@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("", ARRIVED),
        ("-a", ARRIVED),
        ("--all", ARRIVED),
        ("-s dead", ["bad"]),
        ("--status dead", ["bad"]),
        ("failed,dead", ["bad"]),
        ("dead completed", ["hello", "bad"]),
        ("hello", ["hello"]),
        ("hello low", ["hello", "low"]),
        ("hello low --state completed", ["hello"]),
        ("--state running", ["runs"]),
        ("running", ["runs"]),
        ("--state done", ["hello"]),
        ("--state queued", ["low", "later", "next"]),
        ("-q gpu", ["runs"]),
        ("--group gpu", ["runs"]),
        ("-n 2", ARRIVED[:2]),
        ("--reverse", ARRIVED[::-1]),
        ("--newest --reverse", ARRIVED),
        ("--newest -n 1", ["next"]),
        ("--sort priority -n 4", ["next", "hello", "runs", "later"]),
        ("--sort priority -n 2 --reverse", ["low", "bad"]),
        ("--sort id", sorted(ARRIVED)),
        ("--sort ended -n 2", ["bad", "hello"]),
        ("--sort turn", ["next", "low", "later"]),
        ("--sort turn -n 2 --reverse", ["low", "next"]),
        ("--sort state -n 4", ["low", "later", "next", "runs"]),
        ("--wide=no", AT_A_GLANCE),
        ("--wide=no --reverse", AT_A_GLANCE[::-1]),
        ("--wide=no -n 2 --reverse", AT_A_GLANCE[1::-1]),
        ("--wide=no -s pending,dead", ["next", "low", "later", "bad"]),
        ("--wide=no --sort arrival", ARRIVED),
        ("--wide=no --after hello", ARRIVED[2:]),
        ("--wide hello", ["hello"]),
    ],
)
def test_a_listing_is_of_the_jobs_that_are_asked_for(cli: Cli, line: str, ids: list[str]) -> None:
    table = cli.ok("list", *line.split()).out
    assert [row.split()[0] for row in table.splitlines()[1:]] == ids
    if "--wide=no" not in line:
        for form in ("--ids", "--format ids", "-o ids", "--format {id}"):
            assert cli.ok("list", *line.split(), *form.split()).out.split() == ids, form
        for form in ("--json", "-o json"):
            found = cli.ok("list", *line.split(), *form.split()).json
            assert [job["id"] for job in found] == ids, form


@pytest.mark.usefixtures("going_on")
def test_on_a_terminal_a_listing_tells_what_is_going_on() -> None:
    rows = ESCAPES.sub("", shown("list")).splitlines()[1:]
    assert [row.split()[0] for row in rows] == AT_A_GLANCE
    assert "running for" in rows[0]
    assert "in 1h" in rows[3] or "in 60m" in rows[3]
    assert "Exit code 1" in rows[4]
    assert "took 0.5 s" in rows[5]
    assert json.loads(shown("list", "--json"))[0]["id"] == "low", "JSON is in order of arrival"


def test_of_many_jobs_a_person_sees_some_of_each_kind(cli: Cli, home: Path) -> None:
    cli.ok("init")
    fill(home, 300, 3)
    cli.ok("enqueue", "bad", "false", "--priority", "high", "--max-retries", "1")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=1, error="Exit code 1", duration=0.5))
    listing = cli.ok("list", "--wide=no")
    rows = [row.split()[0] for row in listing.out.splitlines()[1:]]
    assert rows == [*(f"job{n:03}" for n in range(99)), "bad"]
    assert listing.err == "100 of 301 jobs: -a shows all\n"
    every = cli.ok("list", "--wide=no", "-a")
    assert (len(every.out.splitlines()), every.err) == (302, "")
    assert cli.ok("list", "--sort", "id", "-n", "3").err == "3 of 301 jobs: -a shows all\n"


@pytest.mark.usefixtures("going_on")
def test_columns_are_those_that_are_named(cli: Cli) -> None:
    header, *lines = cli.ok("list", "--columns", "id,priority,finished-at,labels").out.splitlines()
    assert header.split("  ")[0] == "ID"
    assert "FINISHED AT" in header
    assert lines[-1].split() == ["next", "10", "-", "nightly"]
    text = cli.ok("list", "-o", "csv", "--columns", "id,labels,worker").out
    assert list(csv.reader(io.StringIO(text)))[-1] == ["next", "nightly", ""]
    titles, *rows = list(csv.reader(io.StringIO(cli.ok("list", "--format", "csv").out)))
    assert titles[:3] == ["id", "state", "attempts"]
    assert [row[0] for row in rows] == ARRIVED


@pytest.mark.usefixtures("going_on")
def test_a_template_says_what_a_line_holds(cli: Cli) -> None:
    lines = cli.ok("list", "bad", "--format", r"{id:>5}\t{state} {{{exit_code}}} {labels}").out
    assert lines == "  bad\tdead {1} []\n"
    assert cli.ok("list", "bad", "--format", "{stderr}").out == "oh no\\n\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--sort", "prio"], "there is no order 'prio' (did you mean 'priority'?)"),
        (["--columns", "id,statt"], "unknown column 'statt' (did you mean 'state'?)"),
        (["--format", "jsn"], "unknown format 'jsn' (did you mean 'json'?)"),
        (["--format", "{stat}"], "unknown field '{stat}' (did you mean 'state'?)"),
        (["--format", "{id.__class__}"], "unknown field '{id.__class__}'"),
        (["--format", "{id!r}"], "unknown field"),
        (["--format", "{id"], "cannot read the template"),
        (["--format", "{id:zz}"], "cannot read the template"),
        (["--json", "--ids"], "give one of --json, --ids and --format"),
        (["--ids", "--columns", "id"], "--columns is of tables and CSV"),
        (["--sort", "id", "--newest"], "leave out --sort"),
        (["--state", "runing"], "unknown state 'runing' (did you mean 'running'?)"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_what_is_near(
    cli: Cli, line: list[str], told: str
) -> None:
    cli.ok("enqueue", "a", "true")
    assert told in cli.refused(2, "list", *line)


def test_what_is_neither_a_state_nor_a_job_is_named_and_the_others_are_shown(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    result = cli("list", "a", "faild", "--ids")
    assert (result.code, result.out) == (3, "a\n")
    assert "no job 'faild' (did you mean 'failed'?)" in result.err
    assert "queuectl list -q default lists that queue" in cli.refused(3, "list", "default")


def test_who_looks_for_failed_jobs_is_told_of_dead_ones(cli: Cli) -> None:
    bury("bad")
    hint = "no job awaits a retry; dead: 1 job (queuectl list dead)\n"
    assert cli.ok("list", "failed").err == hint
