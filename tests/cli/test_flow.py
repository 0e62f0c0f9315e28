"""Queues, dependencies and unique keys on the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from queuectl.domain.job import Outcome
from queuectl.queue import dependencies, open_queue, read
from queuectl.stores.base import Store
from queuectl.system.processes import this_process
from tests.cli.harness import Cli, bury, claim_next, run_next
from tests.stores.kit import worker_record

DONE = Outcome(exit_code=0)


def listed(cli: Cli, *args: str) -> dict[str, dict[str, object]]:
    """Return the jobs that `list --json` shows, by id."""
    return {job["id"]: job for job in cli.ok("list", "--json", *args).json}


def reason(cli: Cli, job_id: str) -> object:
    """Return why a job waits, as `show` says."""
    return cli.job(job_id)["reason"]


# queues


def test_a_queue_is_paused_and_resumed_by_name(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "gpu")
    assert cli.ok("queue", "pause", "gpu", "cpu").out == "Paused queue 'gpu'\nPaused queue 'cpu'\n"
    assert reason(cli, "a") == "queue gpu is paused"
    assert cli.ok("queue", "resume", "gpu").out == "Resumed queue 'gpu'\n"
    assert reason(cli, "a") == "no worker is running"


def test_a_queue_from_which_no_worker_takes_is_the_reason(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "other")
    with open_queue() as queue:
        record = worker_record(queue.store, "w9")
        queue.store.workers.register(replace(record, process=this_process(), queues=("gpu",)))
        assert reason(cli, "a") == "no worker takes from queue other"
        assert listed(cli)["a"]["reason"] == "no worker takes from queue other"
        assert "no worker takes from queue other" in cli.ok("list").out
        queue.store.workers.unregister("w9")
    assert reason(cli, "a") == "no worker is running"


def test_what_changes_nothing_is_told_by_the_exit_code(cli: Cli) -> None:
    cli.ok("queue", "pause", "gpu")
    assert "paused already" in cli.refused(1, "queue", "pause", "gpu")
    cli.ok("queue", "resume", "gpu")
    assert "no queue 'gpu'" in cli.refused(3, "queue", "resume", "gpu")
    cli.ok("enqueue", "a", "true")
    assert "is not paused" in cli.refused(1, "queue", "resume", "default")
    assert "not valid" in cli.refused(2, "queue", "pause", "two words")


def test_a_limit_shows_with_what_is_in_use(cli: Cli) -> None:
    cli.ok("queue", "limit", "gpu", "2")
    for number in range(3):
        cli.ok("enqueue", f"g{number}", "true", "--queue", "gpu")
    with open_queue() as queue:
        claim_next(queue)
        claim_next(queue)
    assert reason(cli, "g2") == "queue gpu is at its limit (2)"
    (shown,) = cli.ok("queue", "list", "--json").json
    assert (shown["limit"], shown["used"], shown["paused"]) == (2, 2, False)
    assert "2 of 2" in cli.ok("queue", "list").out
    assert "2 of 2" in cli.ok("status").out
    assert cli.ok("queue", "limit", "gpu", "0").out == "Removed the limit of queue 'gpu'\n"
    assert cli.ok("status", "--json").json["queues"][0]["limit"] is None


@pytest.mark.parametrize("number", ["-1", "many", "1.5", "1000001"])
def test_a_limit_is_a_whole_number(cli: Cli, number: str) -> None:
    assert "invalid value" in cli.refused(2, "queue", "limit", "gpu", "--", number)


def test_a_job_wider_than_its_queue_is_refused(cli: Cli) -> None:
    cli.ok("queue", "limit", "gpu", "2")
    line = cli.refused(2, "enqueue", "wide", "true", "--queue", "gpu", "--slots", "3")
    assert "slots 3 is more than the limit of queue 'gpu' (2)" in line
    cli.ok("enqueue", "wide", "true", "--queue", "gpu", "--slots", "2")
    cli.ok("queue", "limit", "gpu", "1")
    assert reason(cli, "wide") == "needs 2 slots, queue gpu has 1"
    cli.ok("enqueue", "narrow", "true", "--queue", "gpu")
    assert reason(cli, "narrow") == "behind wide, which needs 2 slots"
    cli.ok("jobs", "move", "narrow", "--first")
    assert reason(cli, "narrow") == "no worker is running"
    for slots in ("0", "-1", "x", "1.5", "99999999"):
        assert "slots" in cli.refused(2, "enqueue", f"--slots={slots}", "--command", "true")


def test_the_list_of_queues_begins_with_the_default_one(cli: Cli) -> None:
    assert "no queues yet" in cli.ok("queue", "list").err
    cli.ok("enqueue", "a", "true", "--queue", "alpha")
    cli.ok("enqueue", "b", "true")
    names = [view["name"] for view in cli.ok("queue", "list", "--json").json]
    assert names == ["default", "alpha"]


# dependencies


def test_the_reason_names_the_jobs_that_are_waited_for(cli: Cli) -> None:
    for job_id in ("p", "q", "r"):
        cli.ok("enqueue", job_id, "true")
    cli.ok("enqueue", "c", "true", "--after", "p", "--after-any", "q", "--after-fail", "r")
    assert reason(cli, "c") == "waits for p, r to fail, q to end"
    assert listed(cli)["c"]["after_fail"] == ["r"]
    assert "waits for p" in cli.ok("list").out


def test_a_parent_in_the_dlq_shows_as_the_reason_and_its_retry_revives(cli: Cli) -> None:
    bury("p")
    cli.ok("enqueue", "c", "true", "--after", "p")
    assert reason(cli, "c") == "waits for p (dead)"
    cli.ok("dlq", "retry", "p")
    assert reason(cli, "c") == "waits for p"
    with open_queue() as queue:
        run_next(queue, DONE)
    assert reason(cli, "c") == "no worker is running"


def test_an_unknown_parent_is_refused(cli: Cli) -> None:
    line = cli.refused(3, "enqueue", "c", "true", "--after", "nobody")
    assert "no job 'nobody' to wait for" in line
    assert listed(cli) == {}


def test_a_parent_may_be_named_by_the_beginning_of_a_made_id(cli: Cli) -> None:
    made = cli.ok("enqueue", "--print-id", "echo parent").out.strip()
    cli.ok("enqueue", "c", "true", "--after", made[:6])
    assert listed(cli)["c"]["after"] == [made]


def test_a_batch_may_hold_parents_after_their_children(cli: Cli) -> None:
    graph = [
        {"id": "site", "command": "true", "after": ["html", "css"]},
        {"id": "html", "command": "true", "after": "fetch"},
        {"id": "css", "command": "true", "after": ["fetch"]},
        {"id": "fetch", "command": "true"},
    ]
    cli.ok("enqueue", json.dumps(graph), "--atomic")
    with open_queue() as queue:
        ran = [run_next(queue, DONE).id for _ in graph]
    assert ran[0] == "fetch"
    assert ran[-1] == "site"


def test_every_circle_of_a_batch_is_refused_with_what_waits_for_it(cli: Cli) -> None:
    parents = {"a": "b", "b": "a", "c": "d", "d": "c"}
    jobs = [{"id": name, "command": "true", "after": parents[name]} for name in parents]
    jobs += [{"id": "e", "command": "true", "after_any": "b"}, {"id": "free", "command": "true"}]
    result = cli("enqueue", json.dumps(jobs))
    assert result.code == 2
    assert result.err.count("in a circle: ") == 4
    assert set(listed(cli)) == {"free"}


def test_a_circle_by_way_of_an_id_that_was_deleted_is_refused(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    cli.ok("enqueue", "b", "true", "--after", "a")
    cli.ok("enqueue", "c", "true", "--after", "b")
    cli.ok("delete", "a")
    assert "in a circle: a -> c -> b -> a" in cli.refused(2, "enqueue", "a", "true", "--after", "c")
    cli.ok("enqueue", "d", "true", "--after", "c")


def test_a_replacement_cannot_close_a_circle(cli: Cli) -> None:
    assert "in a circle: a -> a" in cli.refused(2, "enqueue", "a", "true", "--after", "a")
    cli.ok("enqueue", "a", "true")
    cli.ok("enqueue", "b", "true", "--after", "a")
    cli.ok("enqueue", "c", "true", "--after", "b")
    line = cli.refused(2, "enqueue", "a", "true", "--replace", "--after", "c")
    assert "in a circle: a -> c -> b -> a" in line
    assert listed(cli)["a"]["after"] == []


# unique keys


def test_a_second_job_with_a_unique_key_is_the_first_one(cli: Cli) -> None:
    cli.ok("enqueue", "first", "true", "--unique", "nightly")
    again = cli.ok("enqueue", "second", "true", "--unique", "nightly")
    assert again.out == "Job 'first' with this unique key waits or runs already\n"
    told = cli.ok("enqueue", "first", "true", "--unique", "nightly", "--json").json
    assert told == {"id": "first", "result": "exists"}
    assert set(listed(cli)) == {"first"}


def test_an_id_that_is_printed_alone_is_said_to_be_that_of_a_job_that_was_there(cli: Cli) -> None:
    made = cli.ok("enqueue", "-p", "echo hi", "--unique", "nightly")
    again = cli.ok("enqueue", "-p", "echo hi", "--unique", "nightly")
    job_id = made.out.strip()
    assert (made.err, again.out) == ("", made.out)
    assert again.err == f"Job '{job_id}' with this unique key waits or runs already\n"


def test_a_unique_key_is_free_again_once_its_job_has_ended(cli: Cli) -> None:
    cli.ok("enqueue", "first", "true", "--unique", "k")
    with open_queue() as queue:
        run_next(queue, DONE)
    assert cli.ok("enqueue", "second", "true", "--unique", "k").out == "Enqueued job 'second'\n"
    assert "unique key" in cli.refused(4, "retry", "first")


def test_a_unique_job_is_replaced_by_its_own_id(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--unique", "k")
    told = cli.ok("enqueue", "a", "echo new", "--unique", "k", "--replace").out
    assert told == "Replaced job 'a'\n"


def test_an_atomic_batch_with_a_taken_key_stores_nothing(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true", "--unique", "k")
    batch = '[{"command": "true"}, {"id": "b", "command": "true", "unique": "k"}]'
    line = cli.refused(4, "enqueue", "--atomic", batch)
    assert "another job has the unique key 'k'" in line
    assert set(listed(cli)) == {"a"}


def test_a_parent_of_many_is_looked_up_once(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("enqueue", "parent", "true")
    asked: list[str] = []
    with open_queue() as queue:
        real = read.resolve

        def resolve(store: Store, word: str) -> str:
            asked.append(word)
            return real(store, word)

        monkeypatch.setattr(dependencies, "resolve", resolve)
        requests = [
            queue.request({"id": f"child{n}", "command": "true", "after": "parent"})
            for n in range(50)
        ]
        assert not any(done.error for done in queue.enqueue(requests))
    assert asked == ["parent"]
    assert len(listed(cli)) == 51
