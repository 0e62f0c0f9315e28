"""Rules on the command line: what is tried again, when a job may start, and in which tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import Cli, run_next
from tests.cli.test_flow import listed
from tests.system.test_git_snapshot import git

WAITS = Outcome(error="load 12.3, to be below 8", postponed=60.0)


def ended(outcome: Outcome) -> None:
    """Claim the next job, and let it end."""
    with open_queue() as queue:
        run_next(queue, outcome)


def details(cli: Cli, job_id: str) -> dict[str, str]:
    """Return the lines of `show`."""
    lines = cli.ok("show", job_id).out.splitlines()
    return dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)


def test_the_policy_stands_in_show_and_a_dead_job_says_which_rule_it_was(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "make all", "--retry-on", "75,64-70,signal:KILL", "--no-retry-on", "2")
    shown = details(cli, "a1")
    assert (shown["retry_on"], shown["no_retry_on"]) == ("75, 64-70, signal:9", "2")
    ended(Outcome(exit_code=2, error="Exit code 2"))
    why = "exit code 2 is not tried again (no_retry_on)"
    job = cli.job("a1")
    assert (job["state"], job["attempts"], job["reason"]) == ("dead", 1, why)
    assert job["last_error"] == "Exit code 2"
    assert details(cli, "a1")["reason"] == why
    assert why in cli.ok("list").out
    assert "Exit code 2" in cli.ok("dlq", "list").out


def test_the_rules_go_as_json_and_can_be_changed_while_a_job_waits(cli: Cli) -> None:
    cli.ok("enqueue", '{"id": "a1", "command": "true", "retry_on": [75, "oom"]}')
    assert cli.job("a1")["retry_on"] == ["75", "oom"]
    cli.ok("set", "a1", "retry_on=", "no_retry_on=timeout,2")
    assert (cli.job("a1")["retry_on"], cli.job("a1")["no_retry_on"]) == ([], ["timeout", "2"])


@pytest.mark.parametrize("field", ["snapshot", "capture-env", "env_file"])
def test_what_is_of_the_moment_of_enqueueing_is_not_set_later(cli: Cli, field: str) -> None:
    cli.ok("enqueue", "a1", "true")
    said = cli.refused(2, "set", "a1", f"{field}=true")
    assert f"field '{field}' cannot be changed: it is of the moment" in said


def test_a_word_that_is_no_end_is_refused_with_the_right_form(cli: Cli) -> None:
    said = cli.refused(2, "enqueue", "a1", "true", "--retry-on", "75,SIGKILL")
    assert "retry_on: 'SIGKILL' is no end of a run" in said
    assert "--retry-on signal:KILL" in said
    assert "timeout, oom" in cli.refused(2, "enqueue", "a1", "true", "--no-retry-on", "never")


def test_a_job_without_rules_shows_none(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "true")
    shown = cli.ok("show", "a1").out
    for name in ("retry_on", "load_below", "between", "preflight", "snapshot"):
        assert name not in shown


def test_why_a_job_was_put_back_stands_wherever_it_is_shown(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "true", "--load-below", "8", "--preflight", "test -e ready")
    ended(WAITS)
    why = "waits: load 12.3, to be below 8"
    job = listed(cli)["a1"]
    assert (job["state"], job["attempts"], job["history"]) == ("pending", 0, [])
    assert (job["reason"], job["put_back"], job["put_backs"]) == (why, WAITS.error, 1)
    assert why in cli.ok("list").out
    shown = cli.ok("show", "a1").out
    assert why in shown
    assert "load_below" in shown
    assert "test -e ready" in shown


def test_hours_get_their_zone_and_say_when_the_job_is_due(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "true", "--between", "mon-fri 22-6 Europe/Berlin")
    assert cli.job("a1")["between"] == "mon-fri 22:00-06:00 Europe/Berlin"
    cli.ok("enqueue", "a2", "true", "--between", "22:00-06:00")
    assert cli.job("a2")["between"].startswith("22:00-06:00 ")
    cli.ok("set", "a2", "between=8-20 Asia/Tokyo")
    assert cli.job("a2")["between"] == "08:00-20:00 Asia/Tokyo"
    said = cli.refused(2, "enqueue", "a3", "true", "--between", "22-6 Europe/Berlim")
    assert "unknown time zone 'Europe/Berlim' (did you mean 'Europe/Berlin'?)" in said
    assert "22:00-06:00" in cli.refused(2, "enqueue", "a3", "true", "--between", "nights")


def test_hours_of_a_schedule_get_their_zone_as_it_is_added(cli: Cli) -> None:
    cli.ok("schedule", "add", "nightly", "* * * * *", "true", "--between", "22-6")
    between = cli.ok("schedule", "show", "nightly", "--json").json["job"]["between"]
    assert between.startswith("22:00-06:00 ")
    cli.ok("schedule", "add", "n3", "* * * * *", "true", "--retry-on", "75,signal:9",
           "--memory", "2G")  # fmt: skip
    shown = cli.ok("schedule", "show", "n3").out
    assert "retry_on     75, signal:9\n" in shown
    assert "memory       2 GB\n" in shown
    assert "snapshot" in cli.refused(2, "schedule", "add", "n2", "* * * * *", "true", "--snapshot")


@pytest.fixture
def tree(cli: Cli) -> Path:  # noqa: ARG001  # which goes to a directory of the test's own
    """A work tree with one commit and a change: the directory in which commands are typed."""
    here = Path.cwd()
    (here / ".gitignore").write_text("home\n*.db*\n")
    (here / "version.txt").write_text("first\n")
    git(here, "init", "-q")
    git(here, "add", "-A")
    git(here, "commit", "-q", "-m", "first")
    (here / "version.txt").write_text("second\n")
    return here


def test_show_names_the_commit_of_a_snapshot(cli: Cli, tree: Path) -> None:
    cli.ok("enqueue", "a1", "true", "--snapshot")
    commit, host, root = cli.job("a1")["snapshot"].split(" ")
    assert git(tree, "show", f"{commit}:version.txt") == "second"
    assert f"{commit[:12]} of {root} on {host}\n" in cli.ok("show", "a1").out
    lines = "".join(f'{{"id": "b{n}", "command": "true"}}\n' for n in range(200))
    cli.ok("enqueue", "--file", "-", "--snapshot", stdin=lines)
    assert cli.job("b199")["snapshot"] == cli.job("a1")["snapshot"]


def test_a_snapshot_comes_along_with_an_export(cli: Cli, tree: Path) -> None:
    cli.ok("enqueue", "a1", "true", "--snapshot")
    text = cli.ok("export").out
    cli.ok("--home", str(tree / "home"), "import", "-", stdin=text)
    with open_queue(str(tree / "home")) as queue:
        assert queue.get("a1").spec.snapshot == cli.job("a1")["snapshot"]


def test_a_snapshot_that_is_only_tried_leaves_nothing(cli: Cli, tree: Path) -> None:
    cli.ok("enqueue", "a1", "true", "--snapshot", "--dry-run")
    assert git(tree, "for-each-ref", "refs/queuectl") == ""
    assert not (tree / "home").exists()
    git(tree, "config", "core.bare", "true")
    said = cli.refused(2, "enqueue", "a1", "true", "--snapshot", "--dry-run")
    assert "no snapshot can be taken in" in said


def test_the_home_and_the_store_are_no_part_of_a_snapshot(cli: Cli, tree: Path) -> None:
    (tree / ".gitignore").unlink()
    for store in ((), ("--store", str(tree / "jobs.db"))):
        at = (*store, "--home", str(tree / "home"))
        cli.ok(*at, "enqueue", "a1", "true", "--snapshot")
        commit = cli.ok(*at, "show", "a1", "--json").json["snapshot"].split()[0]
        assert git(tree, "ls-tree", "-r", "--name-only", commit).split() == ["version.txt"]
