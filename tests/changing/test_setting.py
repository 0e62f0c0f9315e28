"""Setting fields of a job that waits."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from queuectl.domain.job import Outcome, State
from queuectl.domain.times import UTC
from tests.changing.conftest import Cli
from tests.cli.harness import claim_next, run_next
from tests.stores.conftest import on_one_store
from tests.stores.kit import SUCCESS, settled
from tests.worker.fleet import Fleet


def fields(cli: Cli, job_id: str = "a") -> dict[str, Any]:
    """Return what `show --json` says of a job."""
    shown: dict[str, Any] = cli.ok("show", job_id, "--json").json
    return shown


def test_several_fields_are_changed_at_once(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a", labels=["old"], env={"A": "1", "B": "2"})
    cli.ok("config", "set", "max-retries", "7")
    done = cli.ok(
        "set", "a", "priority=high", "queue=gpu", "timeout=90", "max-retries=", "label=new",
        "env.A=3", "env.C=", "command=echo 'x = y'", "at=2099-01-01T00:00Z", "slots=2",
    )  # fmt: skip
    assert done.out == "Changed job 'a'\n"
    job = fields(cli)
    assert (job["priority"], job["queue"], job["timeout"], job["slots"]) == (10, "gpu", 90, 2)
    assert (job["max_retries"], job["labels"], job["command"]) == (7, ["new"], "echo 'x = y'")
    assert job["env"] == {"A": "3", "B": "2", "C": ""}
    assert job["run_at"] == "2099-01-01T00:00:00.000Z"
    assert fleet.queue.counts().by_queue["gpu"][State.PENDING] == 1


@on_one_store
def test_the_order_of_a_date_is_that_of_the_setting(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a")
    assert "can be" in cli.refused(2, "set", "a", "run_at=01/02/2099 12:00")
    cli.ok("config", "set", "date_order", "day-first")
    cli.ok("set", "a", "run_at=01/02/2099 12:00")
    assert fields(cli)["run_at"].startswith("2099-02-01T")


@on_one_store
def test_arrays_and_objects_are_json_and_nothing_means_the_default(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a", labels=["x"], timeout=5, priority=3)
    cli.ok("jobs", "set", "a", 'command=["make", "all tests"]', 'labels=["p", "q"]', 'env={"N": 1}')
    job = fields(cli)
    assert job["command"] == ["make", "all tests"]
    assert (job["labels"], job["env"]) == (["p", "q"], {"N": "1"})
    cli.ok("set", "a", "labels=", "env=", "priority=", "timeout=", "command=[ -e go ] && make")
    job = fields(cli)
    assert (job["labels"], job["env"], job["priority"], job["timeout"]) == ([], {}, 0, 0)
    assert job["command"] == "[ -e go ] && make"


@on_one_store
def test_one_need_of_a_job_is_changed_or_taken_away(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a", needs={"gpu": "2", "memory": "4G"})
    cli.ok("set", "a", "needs.gpu=1", "need.licence=3")
    assert fields(cli)["needs"] == {"gpu": "1", "licence": "3", "memory": "4G"}
    cli.ok("set", "a", "needs.gpu=0", "needs.memory=", "env.X=y")
    assert fields(cli)["needs"] == {"licence": "3"}
    cli.ok("set", "a", 'needs={"gpu": 2}')
    assert fields(cli)["needs"] == {"gpu": "2"}


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, ["needs.gpu=many"], "gpu must be an amount"),
        (2, ["timeout=soon"], "timeout must be a number"),
        (2, ["prioritty=6"], "did you mean 'priority'?"),
        (2, ["priority=6"], "given twice"),
        (2, ["at=now", "in=5m"], "given twice"),
        (2, ["state=dead"], "is a result"),
        (2, ["id=b"], "cannot be changed"),
        (2, ["command="], "cannot be empty"),
        (2, ["env.=x"], "cannot be the name of a variable"),
        (2, ["timeout"], "must be KEY=VALUE"),
        (2, ["slots=3", "queue=gpu"], "slots 3 is more than the limit"),
        (2, ["after=a"], "in a circle: a -> a"),
        (2, ["after=child"], "in a circle: a -> child -> a"),
        (3, ["after=nobody"], "no job 'nobody' to wait for"),
        (4, ["unique=k"], "unique key"),
    ],
)
@on_one_store
def test_nothing_is_changed_when_anything_is_wrong(
    fleet: Fleet, cli: Cli, code: int, words: list[str], said: str
) -> None:
    fleet.queue.store.set_queue_limit("gpu", limit=2)
    fleet.enqueue("true", "a")
    fleet.enqueue("true", "child", after=["a"], unique="k")
    before = fleet.job("a")
    assert said in cli.refused(code, "set", "a", "priority=5", *words)
    assert fleet.job("a") == before


def test_only_a_job_that_waits_exists_and_is_otherwise_is_changed(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a", priority=10)
    before = fleet.job("a")
    result = cli.ok("set", "a", "priority=high")
    assert (result.out, result.err) == ("", "job 'a' is like that already\n")
    assert fleet.job("a") == before
    claim_next(fleet.queue)
    assert "only a job that waits" in cli.refused(4, "set", "a", "priority=1")
    assert "no job 'b'" in cli.refused(3, "set", "b", "priority=1")


@on_one_store
def test_a_command_that_may_not_run_here_is_refused(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("make all", "a")
    fleet.enqueue("rm -rf x", "b")
    cli.ok("config", "set", "allowed_commands", "make *")
    before = fleet.job("a")
    assert "not allowed here" in cli.refused(2, "set", "a", "priority=5", "command=rm -rf y")
    assert "not allowed here" in cli.refused(2, "set", "a", 'command=["rm", "y"]')
    assert fleet.job("a") == before
    cli.ok("set", "a", "command=make some")
    cli.ok("set", "b", "priority=5")  # only a change of the command is looked at


def test_dependencies_are_edited(fleet: Fleet, cli: Cli) -> None:
    for job_id in ("p", "q", "done"):
        fleet.enqueue("true", job_id, priority=9 if job_id == "done" else 0)
    settled(fleet.queue.store, claim_next(fleet.queue), SUCCESS)
    fleet.enqueue("true", "a", after=["p"], run_at=datetime.now(UTC) - timedelta(hours=1))
    cli.ok("set", "a", "after=q,done")
    assert fields(cli)["waits_for"] == ["q"]
    cli.ok("set", "a", "after=done")
    assert claim_next(fleet.queue).id == "a"


@pytest.mark.parametrize("old", [None, ["p"]])
def test_a_parent_that_is_taken_on_later_frees_the_job_too(
    fleet: Fleet, cli: Cli, old: list[str] | None
) -> None:
    fleet.enqueue("true", "p", run_at="in 1 day")
    fleet.enqueue("true", "q")
    fleet.enqueue("true", "a", priority=-5, **({"after": old} if old else {}))
    running = claim_next(fleet.queue)
    assert running.id == "q"
    cli.ok("set", "a", "after=q")
    settled(fleet.queue.store, fleet.job("q"), SUCCESS)
    assert claim_next(fleet.queue).id == "a"


@on_one_store
def test_a_masked_secret_keeps_its_value(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a", env={"API_TOKEN": "s3cret", "B": "1"})
    shown = fields(cli)["env"]
    assert shown["API_TOKEN"] == "********"
    cli.ok("set", "a", "env=" + json.dumps({**shown, "B": "2"}))
    assert dict(fleet.job("a").spec.env) == {"API_TOKEN": "s3cret", "B": "2"}


NOON = datetime(2031, 3, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("enqueued", "change", "due"),
    [
        ({"between": "22-6 UTC"}, {"between": None}, NOON),
        ({"between": "22-6 UTC"}, {"between": "20-6 UTC"}, NOON.replace(hour=20)),
        ({"between": "22-6 UTC"}, {"between": "10-14 UTC"}, NOON),
        ({"between": "22-6 UTC"}, {"priority": 3}, NOON.replace(hour=22)),
        ({"between": "22-6 UTC", "in": "11h"}, {"between": None}, NOON.replace(hour=23)),
        ({}, {"between": "22-6 UTC"}, NOON.replace(hour=22)),
        ({"between": "22-6 UTC"}, {"between": "20-6 UTC", "in": "1h"}, NOON.replace(hour=13)),
    ],
)
@on_one_store
def test_when_a_job_is_due_follows_its_hours_and_a_time_that_is_named_stays(
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    enqueued: dict[str, object],
    change: dict[str, object],
    due: datetime,
) -> None:
    monkeypatch.setattr(fleet.queue.store, "now", lambda: NOON)
    fleet.enqueue("true", "a", **enqueued)
    fleet.queue.edit("a", change)
    assert fleet.job("a").run_at == due


@pytest.mark.parametrize(
    ("change", "is_due"),
    [({"load_below": None}, True), ({"preflight": "true"}, True), ({"priority": 3}, False)],
)
@on_one_store
def test_a_job_that_was_put_back_is_asked_at_once_after_a_change_of_what_it_waits_for(
    fleet: Fleet, change: dict[str, object], is_due: bool
) -> None:
    fleet.enqueue("true", "a", load_below=8)
    run_next(fleet.queue, Outcome(error="load 12.3, to be below 8", postponed=60.0))
    fleet.queue.edit("a", change)
    assert (fleet.job("a").run_at <= fleet.queue.now()) is is_due
