"""Cancelling, retrying and deleting all jobs that fit a filter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from queuectl.domain.job import Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.queue import Queue
from queuectl.stores.base import Store
from tests.changing.conftest import Cli
from tests.cli.harness import claim_next, environment, run_next
from tests.stores.conftest import on_one_store
from tests.terminal import Terminal
from tests.worker.fleet import Fleet

GOOD, BAD = Outcome(exit_code=0), Outcome(exit_code=1, error="Exit code 1")


@pytest.fixture
def many(fleet: Fleet) -> Fleet:
    """A job of every state in each of two queues, named by both."""
    for queue in ("x", "y"):
        for name, outcome, retries in [
            ("completed", GOOD, 1), ("dead", BAD, 1), ("failed", BAD, 3), ("processing", None, 1),
        ]:  # fmt: skip
            fleet.enqueue(
                "true", f"{queue}-{name}", queue=queue, max_retries=retries, backoff_base=1000
            )
            if outcome:
                run_next(fleet.queue, outcome)
            else:
                claim_next(fleet.queue)
    for queue in ("x", "y"):
        fleet.enqueue("true", f"{queue}-pending", queue=queue, labels=["nightly"])
        fleet.enqueue("true", f"{queue}-cancelled", queue=queue)
        fleet.queue.cancel(f"{queue}-cancelled")
    return fleet


def states(fleet: Fleet) -> dict[str, State]:
    """Return the state of every job."""
    return {job.id: job.state for job in fleet.queue.find()}


def test_a_queue_is_cancelled(many: Fleet, cli: Cli) -> None:
    before = states(many)
    result = cli.ok("cancel", "--queue", "x", "-y")
    assert sorted(result.out.splitlines()) == [
        "Cancelled job 'x-failed'", "Cancelled job 'x-pending'", "Stopping job 'x-processing'",
    ]  # fmt: skip
    assert many.job("x-processing").cancel_requested
    cancelled = {"x-pending": State.CANCELLED, "x-failed": State.CANCELLED}
    assert states(many) == {**before, **cancelled}


def test_what_failed_is_retried_unless_other_states_are_named(many: Fleet, cli: Cli) -> None:
    cli.ok("retry", "--queue", "x")
    found = states(many)
    assert found["x-dead"] == found["x-failed"] == State.PENDING
    assert (found["x-completed"], found["y-dead"]) == (State.COMPLETED, State.DEAD)
    assert cli.ok("retry", "--state", "completed,cancelled", "--queue", "y").out == (
        "Retried job 'y-completed': it is pending again\n"
        "Retried job 'y-cancelled': it is pending again\n"
    )


def test_jobs_are_deleted_by_state_and_age_but_not_while_they_run(
    many: Fleet, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.ok("delete", "--state", "completed", "--older-than", "7d").out == ""
    real = Queue.now
    monkeypatch.setattr(Queue, "now", lambda queue: real(queue) + timedelta(days=8))
    cli.ok("rm", "--state", "completed", "--older-than", "7d", "-y")
    assert set(states(many).values()) == set(State) - {State.COMPLETED}
    cli.ok("delete", "--label", "nightly", "--queue", "x", "-y")
    assert "x-pending" not in states(many)
    cli.ok("delete", "--queue", "y", "-y")
    assert {name: s for name, s in states(many).items() if name[0] == "y"} == {
        "y-processing": State.PROCESSING
    }


@pytest.mark.parametrize("command", ["cancel", "retry", "delete"])
def test_a_dry_run_names_the_jobs_and_changes_nothing(many: Fleet, cli: Cli, command: str) -> None:
    before = list(many.queue.find())
    would = cli.ok(command, "--queue", "x", "--dry-run").out.splitlines()
    assert would
    assert all(line.startswith(f"Would {command} job 'x-") for line in would)
    assert cli.ok(command, "x-failed", "--dry-run").out == f"Would {command} job 'x-failed'\n"
    running = "completed" if command == "cancel" else "processing"
    said = cli.refused(4, command, f"x-{running}", "--dry-run")
    assert "no way to" in said
    if command == "delete":
        assert "without --force" in said
        forced = cli.ok("delete", "x-processing", "--force", "--dry-run").out
        assert forced == "Would delete job 'x-processing'\n"
    nothing = cli.ok(command, "--queue", "none")
    assert (nothing.out, nothing.err) == ("", "no such jobs: nothing to do\n")
    assert list(many.queue.find()) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cancel"], "name the jobs"),
        (["delete", "a", "--queue", "x"], "name the jobs"),
        (["cancel", "--state", "dead"], "no way to cancel jobs that are dead"),
        (["retry", "--state", "pending"], "no way to retry"),
        (["delete", "--state", "processing"], "no way to delete"),
        (["delete", "--state", "nope"], "unknown state"),
        (["delete", "--older-than", "soon"], "not a duration"),
        (["delete", "--queue", "a b"], "not valid"),
        (["delete", "--queue", ""], "not valid"),
        (["cancel", "--older-than", "99999999999w"], "a hundred years"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(cli: Cli, words: list[str], said: str) -> None:
    assert said in cli.refused(2, *words)


def test_a_job_that_is_refused_does_not_hide_the_others(fleet: Fleet, cli: Cli) -> None:
    for job_id in ("a", "b"):
        fleet.enqueue("true", job_id, unique=job_id, max_retries=1)
        run_next(fleet.queue, BAD)
    fleet.enqueue("true", "other", unique="a", run_at="in 1 day")
    result = cli("retry", "--state", "dead")
    assert result.code == 4
    assert result.out == "Retried job 'b': it is pending again\n"
    assert "unique key" in result.err


CHANGES: list[tuple[str, Callable[[Queue], object], str]] = [
    ("completed", lambda queue: queue.retry("a"), "delete"),
    ("pending", lambda queue: queue.edit("a", {"labels": []}), "cancel"),
    ("dead", lambda queue: queue.delete("a"), "retry"),
]


@pytest.mark.parametrize(("state", "meanwhile", "command"), CHANGES)
def test_a_job_that_fits_no_more_when_its_turn_comes_is_left_alone(
    fleet: Fleet,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    meanwhile: Callable[[Queue], object],
    command: str,
) -> None:
    fleet.enqueue("true", "a", labels=["l"], max_retries=1)
    if state != "pending":
        run_next(fleet.queue, GOOD if state == "completed" else BAD)
    kind = type(fleet.queue.store)
    real = kind.find

    def find(store: Store, chosen: Filter, page: Page) -> object:
        for job in real(store, chosen, page):
            monkeypatch.undo()  # what happens meanwhile looks at jobs as well
            meanwhile(fleet.queue)
            yield job

    monkeypatch.setattr(kind, "find", find)
    assert cli.ok(command, "--state", state, "--label", "l", "-y").out == ""
    monkeypatch.undo()
    assert [job.state for job in fleet.queue.find()] in ([State.PENDING], [])


@on_one_store
def test_on_a_terminal_a_person_is_asked_first(fleet: Fleet) -> None:
    for number in range(12):
        fleet.enqueue("true", f"job{number}")
    for answer, left in [("n", 12), ("y", 0)]:
        with Terminal(["delete", "--state", "pending"], environment(), 120) as terminal:
            terminal.shows("Delete 12 jobs (12 pending)? [y/N]")
            terminal.press(answer, "enter")
            assert terminal.ends() == (1 if left else 0)
            assert fleet.queue.counts().total == left
    assert "… 12 jobs in all" in terminal.text
