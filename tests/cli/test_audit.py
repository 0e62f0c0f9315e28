"""Who has changed what, as the command line notes and shows it."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from queuectl.domain.errors import StoreUnavailable
from queuectl.queue import audit, open_queue
from queuectl.queue.audit import person
from tests.cli.harness import Cli, bury, cli, home

__all__ = ["cli", "home"]

SECRET = "a-secret-that-nobody-is-to-see"


def noted(cli: Cli, *options: str) -> list[tuple[str, list[str], int, str]]:
    """Return the acts there are, the first one first."""
    found = cli.ok("audit", "--json", *options).json
    assert all(each["who"] == person() for each in found)
    return [
        (each["act"], each["targets"], each["number"], each["about"]) for each in reversed(found)
    ]


@pytest.fixture
def jobs(cli: Cli) -> Cli:
    """A command line with two jobs."""
    for name in ("a", "b"):
        cli.ok("enqueue", "--max-retries", "1", "--id", name, "--command", "true")
    return cli


ACTS = [
    (("cancel", "a", "b"), ("cancel", ["a", "b"], 2, "")),
    (("cancel", "--queue", "default", "-y"),
     ("cancel", [], 2, "state=failed,pending,processing queue=default")),
    (("pause", "a"), ("pause", ["a"], 1, "")),
    (("stash", "a"), ("stash", ["a"], 1, "")),
    (("switch", "a", "b"), ("switch", ["a", "b"], 2, "")),
    (("jobs", "move", "b", "--first"), ("jobs move", ["b"], 1, "")),
    (("set", "a", f'env={{"TOKEN": "{SECRET}"}}', "priority=4"),
     ("edit", ["a"], 1, "env priority")),
    (("delete", "a"), ("delete", ["a"], 1, "")),
    (("queue", "pause", "gpu"), ("queue pause", ["gpu"], 1, "")),
    (("queue", "limit", "gpu", "2"), ("queue limit", ["gpu"], 1, "2")),
    (("config", "set", "max-retries", "4"), ("config set", ["max_retries"], 1, "4")),
    (("config", "unset", "max_retries"), ("config unset", ["max_retries"], 1, "")),
    (("resource", "set", "licence", "4"), ("resource set", ["licence"], 1, "")),
    (("schedule", "add", "n", "0 3 * * *", f"echo {SECRET}"), ("schedule add", ["n"], 1, "")),
    (("hook", "add", "h", "--on", "dead", "--url", f"https://h.example/{SECRET}"),
     ("hook add", ["h"], 1, "")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "act"), ACTS, ids=[" ".join(line[:2]) for line, _ in ACTS])
def test_each_change_is_one_act_without_anything_secret(
    jobs: Cli, line: tuple[str, ...], act: tuple[str, list[str], int, str]
) -> None:
    jobs.ok(*line)
    assert noted(jobs) == [act]
    shown = jobs.ok("audit")
    assert SECRET not in shown.out
    assert act[0] in shown.out


def test_what_only_looks_enqueues_or_is_refused_is_not_noted(jobs: Cli) -> None:
    for line in (("list",), ("status",), ("config", "get"), ("cancel", "--queue", "none", "-y")):
        jobs.ok(*line)
    jobs("cancel", "nobody")
    jobs("config", "set", "max_retries", "many")
    jobs("schedule", "pause", "nobody")
    assert "nobody has changed anything yet" in jobs.ok("audit").err
    assert noted(jobs) == []


def test_dead_jobs_schedules_and_hooks_are_followed_to_their_end(jobs: Cli) -> None:
    bury("a", "b")
    jobs.ok("dlq", "retry", "a")
    jobs.ok("dlq", "purge", "-y", "--all")
    for verb in ("pause", "resume"):
        jobs.ok("queue", verb, "default")
    jobs.ok("schedule", "add", "n", "0 3 * * *", "true")
    for verb in ("pause", "resume", "remove"):
        jobs.ok("schedule", verb, "n")
    assert [act[0] for act in noted(jobs)] == [
        "retry", "purge", "queue pause", "queue resume",
        "schedule add", "schedule pause", "schedule resume", "schedule remove",
    ]  # fmt: skip


def test_it_can_be_asked_for_by_time_and_name_and_number(jobs: Cli) -> None:
    for name in ("a", "b"):
        jobs.ok("cancel", name)
    assert [act[1] for act in noted(jobs, "-n", "1")] == [["b"]]
    assert len(noted(jobs, "--since", "1h")) == 2
    assert noted(jobs, "--who", "token:") == []
    assert len(noted(jobs, "--who", socket.gethostname().upper())) == 2
    assert "that fits" in jobs.ok("audit", "--who", "nobody").err
    jobs.refused(2, "audit", "--since", "whenever")


def test_of_many_things_the_first_are_named_and_all_are_counted(cli: Cli) -> None:
    with open_queue() as queue:
        queue.enqueue([{"id": f"j{number:02}", "command": "true"} for number in range(30)])
    cli.ok("cancel", *(f"j{number:02}" for number in range(30)))
    ((act, targets, number, _),) = noted(cli)
    assert (act, len(targets), number) == ("cancel", 20, 30)
    assert "j19 and 10 more" in cli.ok("audit").out


@pytest.mark.usefixtures("home")
def test_python_is_not_a_person_unless_it_says_who_it_is() -> None:
    with open_queue() as queue:
        queue.enqueue_one("true", id="a")
        queue.pause("a")
        assert queue.audit() == []
        queue.actor = lambda: "nightly"
        queue.resume("a")
        queue.flush_notes()
        queue.flush_notes()
        (entry,) = queue.audit()
    assert (entry.who, entry.act, entry.targets) == ("nightly", "resume", ("a",))


def test_what_was_done_is_done_where_it_cannot_be_noted(
    jobs: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(audit, "write", fail)
    done = jobs("cancel", "a")
    assert (done.code, "warning: the audit trail could not be written" in done.err) == (0, True)
    assert jobs.job("a")["state"] == "cancelled"


def test_who_types_is_named_by_the_system_not_by_what_a_variable_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("LOGNAME", "somebody")
    assert person() == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
