"""Nobody waits for ever for a job that cannot start: it is said, with the root of the chain."""

from __future__ import annotations

import threading

import pytest

from queuectl.domain.errors import CannotStart
from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import Cli, bury, process, run_next
from tests.cli.test_flow import listed, reason


def chain(cli: Cli) -> None:
    """Enqueue b after a, which is dead, and c after b."""
    bury("a1")
    cli.ok("enqueue", "b1", "true", "--after", "a1")
    cli.ok("enqueue", "c1", "true", "--after", "b1")


def test_waiting_for_a_job_that_cannot_start_ends_and_says_why(cli: Cli) -> None:
    chain(cli)
    assert "job 'b1' cannot start: a1 is dead" in cli.refused(1, "wait", "b1")
    assert "job 'c1' cannot start: a1 is dead; queuectl retry a1" in cli.refused(1, "wait", "c1")


@pytest.mark.parametrize("which", [["--all"], ["--queue", "default"], ["b1", "a1", "c1"]])
def test_of_several_the_others_are_waited_for(cli: Cli, which: list[str]) -> None:
    chain(cli)
    waited = cli("wait", *which)
    assert waited.code == 1
    for name in ("b1", "c1"):
        assert f"job '{name}' cannot start: a1 is dead" in waited.err
    assert ("job 'a1' dead" in waited.out) is ("a1" in which)


def test_in_json_it_stands_with_its_reason(cli: Cli) -> None:
    chain(cli)
    waited = cli("wait", "--all", "--json")
    assert waited.code == 1
    assert [(job["id"], job["reason"]) for job in waited.json] == [
        ("b1", "waits for a1 (dead)"),
        ("c1", "waits for b1 (a1 is dead)"),
    ]


def test_a_parent_that_dies_meanwhile_ends_the_waiting(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "exit 1", "--max-retries", "1")
    cli.ok("enqueue", "b1", "true", "--after", "a1")
    dying = threading.Timer(0.3, lambda: process("cancel", "a1"))
    dying.start()
    try:
        waited = cli("wait", "b1")
        assert waited.code == 1
        assert "job 'b1' cannot start: a1 is cancelled" in waited.err
    finally:
        dying.join()


@pytest.mark.parametrize("command", ["list", "show"])
def test_the_root_of_a_chain_is_named_everywhere(cli: Cli, command: str) -> None:
    chain(cli)
    words = ["show", "c1"] if command == "show" else ["list"]
    assert "waits for b1 (a1 is dead)" in cli.ok(*words).out
    assert reason(cli, "c1") == listed(cli)["c1"]["reason"] == "waits for b1 (a1 is dead)"


def test_run_does_not_wait_for_a_parent_that_is_dead(cli: Cli) -> None:
    bury("a1")
    line = cli.refused(1, "run", "--id", "b1", "--command", "true", "--after", "a1")
    assert "job 'b1' cannot start: a1 is dead" in line
    assert reason(cli, "b1") == "waits for a1 (dead)"
    assert cli.ok("status", "--json").json["workers"] == [], "no worker was started for it"


def test_following_ends_too(cli: Cli) -> None:
    chain(cli)
    assert "job 'c1' cannot start: a1 is dead" in cli.refused(1, "logs", "-f", "c1")
    followed = cli("logs", "-f", "b1", "c1")
    assert followed.code == 1
    assert followed.err.count("cannot start: a1 is dead") == 2
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "m1", "command": "true"})])
        run_next(queue, Outcome(exit_code=0, stdout="fine\n"))
    followed = cli("logs", "-f", "m1", "b1")
    assert (followed.code, followed.out) == (1, "m1: fine\n")


def test_a_program_that_waits_is_told(cli: Cli) -> None:
    chain(cli)
    with (
        open_queue() as queue,
        pytest.raises(CannotStart, match="job 'c1' cannot start: a1 is dead"),
    ):
        next(queue.wait(["c1"]))


def test_a_retry_lets_the_chain_go_on(cli: Cli) -> None:
    chain(cli)
    cli.ok("retry", "a1")
    assert cli("wait", "c1", "--timeout", "0").code == 124
    assert reason(cli, "c1") == "waits for b1"


@pytest.mark.parametrize("is_used_again", [False, True])
def test_below_a_job_that_was_deleted_the_one_that_names_it_is_to_be_edited(
    cli: Cli, is_used_again: bool
) -> None:
    cli.ok("enqueue", "root", "true")
    for child, parent in (("a1", "root"), ("b1", "a1"), ("c1", "b1")):
        cli.ok("enqueue", child, "true", "--after", parent)
    cli.ok("delete", "root")
    if is_used_again:
        cli.ok("enqueue", "root", "true")
    for name in ("a1", "b1", "c1"):
        why = f"job '{name}' cannot start: root was deleted; queuectl edit a1"
        assert why in cli.refused(1, "wait", name)
    assert reason(cli, "a1") == "waits for root (deleted)"
    for name, parent in (("b1", "a1"), ("c1", "b1")):
        expected = f"waits for {parent} (root was deleted; edit a1)"
        assert listed(cli)[name]["reason"] == reason(cli, name) == expected
        assert expected in cli.ok("show", name).out
        assert expected in cli.ok("list").out
    cli.ok("jobs", "set", "a1", "after=")
    assert (reason(cli, "a1"), reason(cli, "c1")) == ("no worker is running", "waits for b1")


# --on-parent-failure


def test_the_option_cancels_a_child_with_its_parent(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "true")
    cli.ok("enqueue", "b1", "true", "--after", "a1", "--on-parent-failure", "cancel")
    cli.ok("enqueue", "c1", "true", "--after", "b1", "--on-parent-failure=cancel")
    cli.ok("cancel", "a1")
    jobs = listed(cli)
    assert [jobs[name]["state"] for name in ("b1", "c1")] == ["cancelled", "cancelled"]
    assert jobs["c1"]["last_error"] == "cannot start: a1 is cancelled"
    assert cli("wait", "c1").code == 143
    assert cli("run", "--id", "d1", "--command", "true", "--after", "c1",
               "--on-parent-failure", "cancel").code == 143  # fmt: skip


def test_the_setting_is_copied_into_the_job(cli: Cli) -> None:
    cli.ok("enqueue", "a1", "true")
    cli.ok("enqueue", "b1", "true", "--after", "a1")
    assert "on_parent_failure = wait" in cli.ok("config", "get").out
    cli.ok("config", "set", "on-parent-failure", "cancel")
    cli.ok("enqueue", '{"id": "c1", "command": "true", "after": "a1"}')
    cli.ok("enqueue", '{"id": "d1", "command": "true", "on_parent_failure": "wait"}')
    rules = {name: job["on_parent_failure"] for name, job in listed(cli).items()}
    assert rules == {"a1": "wait", "b1": "wait", "c1": "cancel", "d1": "wait"}
    assert "on_parent_failure  cancel" in cli.ok("show", "c1").out


def test_another_word_is_refused(cli: Cli) -> None:
    line = cli.refused(2, "enqueue", "a", "true", "--on-parent-failure", "skip")
    assert "on_parent_failure must be wait or cancel, not 'skip'" in line
    assert "on_parent_failure" in cli.refused(2, "config", "set", "on_parent_failure", "x")


def test_whoever_waits_for_the_failure_of_what_has_completed_is_to_be_edited(cli: Cli) -> None:
    cli.ok("enqueue", "ok1", "true")
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0))
    cli.ok("enqueue", "n1", "true", "--after-fail", "ok1")
    assert cli.refused(1, "wait", "n1") == (
        "queuectl: job 'n1' cannot start: ok1 is completed; queuectl edit n1\n"
    )
