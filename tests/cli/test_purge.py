"""`purge` and `dlq purge`: settled jobs by filter, and a question on a terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.domain.schedule import run_id
from queuectl.queue import open_queue
from queuectl.stores.exchange import Fired
from tests.cli.harness import Cli, answered, bury, run_next
from tests.stores.kit import new_job


def complete(*ids: str, **fields: object) -> None:
    """Let jobs be enqueued and completed."""
    with open_queue() as queue:
        for job_id in ids:
            queue.enqueue([queue.request({"id": job_id, "command": "true", **fields})])
            run_next(queue, Outcome(exit_code=0, duration=0.5))


def test_purge_deletes_completed_and_cancelled_jobs_but_not_the_dead(cli: Cli) -> None:
    complete("done")
    bury("dead")
    cli.ok("enqueue", "off", "true")
    cli.ok("cancel", "off")
    cli.ok("enqueue", "waiting", "true")
    assert cli.ok("purge", "-y").out == "Deleted 2 jobs\n"
    assert cli.ids() == ["dead", "waiting"]


def test_purge_takes_the_logs_with_the_jobs(cli: Cli, home: Path) -> None:
    complete("done")
    logs = home / "logs" / "jobs" / "done"
    logs.mkdir(parents=True)
    cli.ok("purge", "-y")
    assert not logs.exists()


def test_a_filter_narrows_what_is_purged(cli: Cli) -> None:
    complete("a", queue="q1")
    complete("b", labels=["x"])
    complete("c")
    assert cli.ok("purge", "-y", "--queue", "q1").out == "Deleted 1 job\n"
    assert cli.ok("purge", "-y", "--label", "x").out == "Deleted 1 job\n"
    assert cli.ok("purge", "--older-than", "7d").out == "Deleted 0 jobs\n"
    assert cli.ids() == ["c"]
    assert cli.ok("purge", "-y", "--state", "completed", "--older-than", "0").code == 0
    assert cli.ids() == []


def test_an_age_without_a_unit_is_refused(cli: Cli) -> None:
    complete("a")
    assert "write 7d" in cli.refused(2, "purge", "-y", "--older-than", "7")
    assert cli.ids() == ["a"]


def test_a_dry_run_only_counts(cli: Cli) -> None:
    complete("a", "b")
    assert cli.ok("purge", "--dry-run").out == "Would delete 2 completed or cancelled jobs\n"
    assert cli.ok("purge", "--dry-run", "--older-than", "1h").out.startswith("Would delete 0 ")
    assert cli.ids() == ["a", "b"]


def test_dlq_purge_deletes_dead_jobs_alone(cli: Cli) -> None:
    complete("done")
    bury("dead1", "dead2")
    assert cli.ok("dlq", "purge", "--older-than", "30d").out == "Deleted 0 jobs\n"
    assert cli.ok("dlq", "purge", "-y").out == "Deleted 2 jobs\n"
    assert cli.ids() == ["done"]


def test_jobs_that_do_not_rest_are_not_purged(cli: Cli) -> None:
    assert "pending jobs cannot be purged" in cli.refused(2, "purge", "--state", "pending")
    cli.refused(2, "purge", "--state", "sleeping")
    cli.refused(2, "purge", "--older-than", "long ago")


def test_a_parent_that_is_waited_for_is_kept_and_said_to_be(cli: Cli) -> None:
    bury("parent")
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "c", "command": "true", "after": ["parent"]})])
    result = cli.ok("dlq", "purge", "-y")
    assert result.out == "Deleted 0 jobs\n"
    assert "1 kept" in result.err
    assert cli.ids() == ["parent", "c"]


def test_the_latest_run_of_a_schedule_is_kept_for_it_might_be_enqueued_again(cli: Cli) -> None:
    cli.ok("schedule", "add", "often", "* * * * *", "true")
    with open_queue() as queue:
        schedule = queue.schedules.get("often")
        assert schedule.next_due
        job_id = run_id("often", schedule.next_due)
        job = new_job(queue.store, job_id)
        advanced = dataclasses.replace(schedule, last_due=schedule.next_due, rev=schedule.rev + 1)
        assert queue.store.schedules.fire(schedule, job, advanced) is Fired.ENQUEUED
        run_next(queue, Outcome(exit_code=0, duration=0.5))
    result = cli.ok("purge", "-y")
    assert (result.out, cli.ids()) == ("Deleted 0 jobs\n", [job_id])
    assert "1 kept" in result.err
    cli.ok("schedule", "remove", "often")
    assert cli.ok("purge", "-y").out == "Deleted 1 job\n"


@pytest.mark.parametrize(
    "line",
    [
        "purge", "purge --state completed", "clean", "delete --state completed", "delete --queue q",
        "rm --label l", "dlq purge", "dlq clear", "cancel --state pending", "kill --queue q",
    ],
)  # fmt: skip
def test_nothing_is_deleted_or_cancelled_by_a_filter_where_nobody_can_be_asked(
    cli: Cli, line: str
) -> None:
    complete("done", queue="q", labels=["l"])
    bury("dead")
    cli.ok("enqueue", "waiting", "true", "--queue", "q", "--label", "l")
    before = cli.ok("list", "--json").out
    told = cli.refused(2, *line.split())
    assert "1 " in told
    assert "add -y, or --dry-run" in told
    assert cli.ok("list", "--json").out == before
    assert "Nobody" not in cli.ok(*line.split(), "--dry-run").err
    cli.ok(*line.split(), "-y")
    assert cli.ok("list", "--json").out != before
    assert cli.ok(*line.split()).code == 0, "there is nothing left to be asked about"
    assert "needed where nobody can be asked" in cli.ok(*line.split(), "--help").out


@pytest.mark.parametrize("line", ["retry --state dead", "dlq retry --all"])
def test_what_deletes_nothing_is_done_without_a_question(cli: Cli, line: str) -> None:
    bury("dead")
    cli.ok(*line.split())
    assert cli.job("dead")["state"] == "pending"


@pytest.mark.parametrize(("answer", "code", "kept"), [("n", 1, ["a"]), ("y", 0, [])])
def test_a_person_is_asked_first(answer: str, code: int, kept: list[str], cli: Cli) -> None:
    complete("a")
    assert answered(["purge"], "Delete 1 completed or cancelled job", answer) == code
    assert cli.ids() == kept
