"""Who has changed what, as the command line notes and shows it."""

from __future__ import annotations

import ast
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import queuectl
from queuectl.cli.root import root
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


def test_what_changes_hosts_tokens_and_whole_stores_is_noted_too(jobs: Cli, tmp_path: Path) -> None:
    host, file = socket.gethostname(), tmp_path / "jobs.jsonl"
    jobs.ok("host", "drain", host)
    jobs.ok("host", "resume", host)
    file.write_text(jobs.ok("export").out)
    jobs.ok("import", "--skip-existing", str(file))
    jobs.ok("delete", "a", "b")
    jobs.ok("import", str(file))
    tab = tmp_path / "tab"
    tab.write_text(f"0 3 * * * echo {SECRET}\n")
    jobs.ok("import", "--from", "crontab", str(tab))
    jobs.ok("dashboard", "token", "new", "ci", "--read-only")
    jobs.ok("dashboard", "token", "revoke", "ci")
    targets = [each[1] for each in noted(jobs)]
    assert noted(jobs) == [
        ("host drain", [host], 1, ""),
        ("host resume", [host], 1, ""),
        ("delete", ["a", "b"], 2, ""),
        ("import", [], 2, "2 jobs"),
        ("schedule add", targets[4], 1, ""),
        ("import", [], 1, "from crontab"),
        ("token new", ["ci"], 1, "read-only"),
        ("token revoke", ["ci"], 1, ""),
    ]
    assert SECRET not in jobs.ok("audit").out


def test_a_store_tells_where_it_comes_from(jobs: Cli, tmp_path: Path) -> None:
    copy, other = str(tmp_path / "copy.db"), str(tmp_path / "other.db")
    jobs.ok("backup", copy)
    jobs.ok("restore", "--yes", copy)
    ((act, _, _, about),) = noted(jobs)
    assert (act, about.startswith("2 jobs")) == ("restore", True)
    jobs.ok("migrate", "--yes", "--to", other)
    jobs.ok("migrate", "--release")
    assert [act for act, *_ in noted(jobs)] == ["restore", "migrate release"]
    (*_, (act, _, number, about)) = noted(jobs, "--store", other)
    assert (act, number, about.startswith("from ")) == ("migrate", 2, True)


def test_a_token_is_made_where_there_is_no_store_to_note_it_in(cli: Cli, home: Path) -> None:
    assert len(cli.ok("dashboard", "token", "new", "ci").out) > 20
    assert [path.name for path in home.iterdir() if "db" in path.name] == []


def test_workers_that_are_started_and_stopped_by_somebody_are_noted(cli: Cli) -> None:
    cli.ok("worker", "start", "--count", "2")
    pids = [str(each["pid"]) for each in cli.ok("worker", "list", "--json").json]
    cli.ok("worker", "scale", "1")
    cli.ok("worker", "stop")
    (start, scaled, stop) = noted(cli)
    assert (start[0], sorted(start[1])) == ("worker start", sorted(pids))
    assert (scaled[0], stop[0]) == ("worker stop", "worker stop")
    assert sorted(scaled[1] + stop[1]) == sorted(pids)


LOOKS = """
    help, completion, status, list, show, logs, wait, watch, stats, metrics, audit, results, export
    doctor, batch list, batch show, batch wait, batch results, queue list, resource list, dlq list
    dlq show, schedule list, schedule show, schedule next, schedule history, hook list, hook show
    hook deliveries, hook check, worker list, worker logs, host list, config get, config show
    dashboard token list, key list, backup, shell
"""
"""What changes nothing of a store; the shell notes each of its commands."""

NOTED_AS = {
    **dict.fromkeys(("dlq retry", "batch retry"), "retry"),
    "dlq purge": "purge", "batch cancel": "cancel", "set": "edit",
    "worker scale": "worker stop", "worker restart": "worker stop",
    "parallel": "worker start",
    "dashboard token new": "token new", "dashboard token revoke": "token revoke",
}  # fmt: skip
"""Commands that are noted by other words than their own."""

NOT_NOTED = {
    "init": "makes the home, in which nothing has been done yet",
    **dict.fromkeys(("enqueue", "add", "run"), "a new job is its own record"),
    "attach": "what is typed belongs to the job, which has it in its output",
    "worker run": "a service manager starts it again and again; the log of the worker tells of it",
}


def test_every_command_that_changes_something_is_noted() -> None:
    looks = {words.strip() for line in LOOKS.splitlines() for words in line.split(",")}
    acts = acts_in_source()
    for words in leaves(root, click.Context(root)):
        if not (words in looks or words in NOT_NOTED or words.startswith("jobs ")):
            act = NOTED_AS.get(words, words)
            assert act in acts, f"'{words}' is not noted in the audit trail"
    assert {*NOT_NOTED, *NOTED_AS} <= {*leaves(root, click.Context(root))}


def acts_in_source() -> set[str]:
    """Return the words by which something is noted anywhere in the program."""
    acts = set[str]()
    for path in Path(queuectl.__file__).parent.rglob("*.py"):
        kind = {"schedules.py": "schedule ", "hooks.py": "hook "}.get(path.name, "")
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and called(call) in NOTING:
                words = [each for argument in call.args[:2] for each in ast.walk(argument)]
                texts = [each.value for each in words if isinstance(each, ast.Constant)]
                acts |= {f"{kind}{text}" for text in texts if isinstance(text, str)}
    return acts


NOTING = ("note", "note_beside", "_note", "_noted", "_changed", "Note")


def called(call: ast.Call) -> str:
    """Return the name of the function that is called, without what it belongs to."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def leaves(group: click.Command, context: click.Context, above: str = "") -> Iterator[str]:
    """Yield the words of every command below a group."""
    if not isinstance(group, click.Group):
        yield above
        return
    for name in group.list_commands(context):
        below = group.get_command(context, name)
        assert below is not None
        words = f"{above} {name}".strip()
        yield from leaves(below, click.Context(below, parent=context), words)
