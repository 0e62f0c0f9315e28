"""What one enqueue made, as a whole: `batch`, `results`, and `--batch` of other commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pexpect
import pytest

from queuectl.domain.batch import advance
from queuectl.domain.frozen import replace
from queuectl.domain.job import Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.presentation.batches import Estimate
from queuectl.queue import Queue, open_queue
from queuectl.queue.batches import look_after
from queuectl.queue.lazy import LazyJobs
from queuectl.web.api.read import page_of
from tests.cli.harness import Cli, bury, environment, run_next, running

DONE = Outcome(exit_code=0, duration=0.25, stdout="loss: 3\nlast line\n")
FAILED = Outcome(exit_code=3, error="Exit code 3", duration=1.5, stderr="oh no\n")
TOTAL = 20_001


@pytest.fixture
def queue(cli: Cli) -> Iterator[Queue]:
    """An open store with a batch of three jobs, each with a parameter."""
    cli.ok("enqueue", "--batch", "b", "--param", "lr=0.1,0.2,0.3", "--max-retries", "1", "--",
           "train", "{lr}")  # fmt: skip
    with open_queue() as found:
        yield found


@pytest.fixture
def lazy(cli: Cli) -> Iterator[Queue]:
    """An open store with a batch of whose jobs only the first thousand exist."""
    cli.ok("enqueue", "--batch", "b", "--array", f"1-{TOTAL}", "--", "true", "{}")
    with open_queue() as found:
        assert found.store.batches.unmade()
        yield found


def counts(cli: Cli, name: str = "b") -> dict[str, int]:
    found = cli.ok("batch", "show", name, "--json").json["counts"]
    return {state: number for state, number in found.items() if number}


@pytest.mark.usefixtures("queue")
def test_a_batch_is_listed_and_counted(cli: Cli) -> None:
    cli.ok("enqueue", "other", "true")
    assert counts(cli) == {"pending": 3, "total": 3}
    assert cli.ok("status", "--batch", "b", "--json").json["name"] == "b"
    assert [each["name"] for each in cli.ok("batch", "list", "--json").json] == ["b"]
    assert cli.ids("--batch", "b") == ["b-1", "b-2", "b-3"]
    assert "total" in cli.ok("batch", "show", "b").out
    assert "b" in cli.ok("batch").out


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize("line", ["batch show x", "wait --batch x", "results x", "batch cancel x"])
def test_a_batch_that_is_not_there_is_no_batch(cli: Cli, line: str) -> None:
    assert "no batch 'x'" in cli.refused(3, *line.split())


@pytest.mark.parametrize(
    "line",
    ["list", "dlq list", "cancel -y", "cancel --dry-run", "retry", "delete -y", "purge -y",
     "purge --dry-run", "export", "wait", "status", "results"],
)  # fmt: skip
def test_a_mistyped_batch_is_refused_alike_everywhere(cli: Cli, line: str) -> None:
    cli.ok("enqueue", "--batch", "night1", "--", "true")
    said = cli.refused(3, *line.split(), "--batch", "nigth1")
    assert "no batch 'nigth1' (did you mean 'night1'?)" in said
    assert "queuectl batch list" in said
    assert cli.ids("--batch", "night1")


@pytest.mark.usefixtures("queue")
def test_a_second_enqueue_adds_to_a_batch_and_says_so(cli: Cli) -> None:
    result = cli.ok("enqueue", "--batch", "b", "--", "true")
    assert result.err == "added to batch 'b', which had 3 jobs\n"
    assert counts(cli)["total"] == 4


@pytest.mark.parametrize("option", ["--at-once", "--max-fails"])
def test_a_limit_of_no_batch_is_refused(cli: Cli, option: str) -> None:
    assert f"{option} is of a batch; name it: --batch NAME" in cli.refused(
        2, "enqueue", option, "2", "--", "true"
    )


def test_wait_ends_with_0_only_if_all_are_completed(cli: Cli, queue: Queue) -> None:
    assert "is not done: 3 pending" in cli.refused(124, "wait", "--batch", "b", "--timeout", "0")
    for _ in range(3):
        run_next(queue, DONE)
    assert cli.ok("wait", "--batch", "b").out == "Batch 'b' is done: 3 completed\n"
    cli.ok("enqueue", "bad", "false", "--batch", "b", "--max-retries", "1")
    run_next(queue, FAILED)
    assert cli("batch", "wait", "b").code == 1


def test_what_did_not_complete_is_tried_again(cli: Cli, queue: Queue) -> None:
    run_next(queue, DONE)
    run_next(queue, FAILED)
    cli.ok("cancel", "--batch", "b", "--yes")
    assert counts(cli) == {"completed": 1, "dead": 1, "cancelled": 1, "total": 3}
    cli.ok("batch", "retry", "b")
    assert counts(cli) == {"completed": 1, "pending": 2, "total": 3}


def test_the_results_of_a_batch_have_parameters_and_what_came_of_each(
    cli: Cli, queue: Queue
) -> None:
    run_next(queue, replace(DONE, peak_memory=640 * 2**10))
    run_next(queue, FAILED)
    rows = cli.ok("results", "--batch", "b", "--format", "csv").out.splitlines()
    assert rows[0].split(",")[:5] == ["id", "lr", "state", "exit_code", "duration"]
    assert rows[1].startswith("b-1,0.1,completed,0,0.25,")
    assert rows[1].endswith(",last line")
    assert rows[2].startswith("b-2,0.2,dead,3,1.5,")
    first, _, last = cli.ok("batch", "results", "b", "--json").json
    assert (first["params"], first["exit_code"], first["last_line"]) == (
        {"lr": "0.1"}, 0, "last line",
    )  # fmt: skip
    assert (last["index"], last["state"], last["exit_code"]) == (3, "pending", None)
    text = cli.ok("results", "b").out
    assert "0.3" in text
    assert "640 KB" in text


def test_the_end_of_a_batch_is_told_to_hooks_once(cli: Cli, queue: Queue) -> None:
    cli.ok("hook", "add", "h", "--on", "batch-done", "--command", "true")
    for _ in range(3):
        run_next(queue, DONE)
    for _ in range(2):
        for record in [*queue.store.batches.open(), *queue.store.batches.all()]:
            look_after(queue.store, record)
    (told,) = cli.ok("list", "--deliveries", "--json").json
    facts = json.loads(told["env"]["QUEUECTL_FACTS"])
    assert facts["batch"] | {"created_at": ""} == {
        "name": "b", "created_at": "", "end": 1, "total": 3, "completed": 3, "dead": 0,
        "cancelled": 0,
    }  # fmt: skip
    assert "batch b is done: 3 completed" in cli.ok("list", "--deliveries").out


@pytest.mark.usefixtures("queue")
def test_a_job_waits_for_a_batch_that_is_there_and_not_for_its_own(cli: Cli) -> None:
    cli.ok("enqueue", "child", "true", "--after", "batch:b")
    assert cli.job("child")["reason"] == "waits for batch:b"
    assert "no batch 'x'" in cli.refused(3, "enqueue", "y", "true", "--after", "batch:x")
    own = cli.refused(2, "enqueue", "z", "true", "--after", "batch:b", "--batch", "b")
    assert "cannot wait for all of it" in own
    assert "means a batch" in cli.refused(2, "enqueue", "batch:z", "true")


# batches that are made while they run


@pytest.mark.usefixtures("lazy")
def test_what_is_not_made_yet_is_counted_listed_and_shown(cli: Cli) -> None:
    assert counts(cli) == {"pending": TOTAL, "total": TOTAL}
    assert cli.ok("status", "--json").json["counts"]["pending"] == TOTAL
    ids = cli.ids("--batch", "b")
    assert (len(ids), ids[0], ids[-1]) == (TOTAL, "b-1", f"b-{TOTAL}")
    assert cli.job(f"b-{TOTAL}")["command"] == ["true", str(TOTAL)]
    assert "no job" in cli.refused(3, "show", f"b-{TOTAL + 1}")


@pytest.mark.usefixtures("lazy")
@pytest.mark.parametrize("order", [(), ("--newest",)])
def test_a_listing_goes_on_behind_a_job_that_is_not_made_yet(
    cli: Cli, order: tuple[str, ...]
) -> None:
    cli.ok("enqueue", "--batch", "c", "--array", f"1-{TOTAL}", "--", "true", "{}")
    seen: list[str] = []
    for _ in range(4):
        after = ["--after", seen[-1]] if seen else []
        seen += cli.ids("--limit", "9999", *order, *after)
    assert len(set(seen)) == len(seen) == 4 * 9999, "so many pages have no job twice"


def test_the_pages_of_the_api_go_on_where_jobs_are_not_made_yet(lazy: Queue) -> None:
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page, after = page_of(lazy, {"limit": 6000, **({"after": after} if after else {})})
        seen += [job.id for job in page]
    assert len(set(seen)) == len(seen) == TOTAL


def test_one_job_that_is_not_made_yet_is_made_to_be_changed(cli: Cli, lazy: Queue) -> None:
    cli.ok("cancel", "b-15000")
    assert cli.job("b-15000")["state"] == "cancelled"
    assert counts(cli) == {"pending": TOTAL - 1, "cancelled": 1, "total": TOTAL}
    record = lazy.store.batches.get("b")
    assert record is not None
    before = advance(record, 14_999)
    assert lazy.store.batches.save(before, record)
    assert LazyJobs(lazy.store).make(before) == 1000
    assert cli.job("b-15000")["state"] == "cancelled", "and is not made again in its turn"


def test_a_whole_batch_is_cancelled_retried_and_purged(cli: Cli, lazy: Queue) -> None:
    cli.ok("cancel", "--batch", "b", "--yes")
    assert counts(cli) == {"cancelled": TOTAL, "total": TOTAL}
    assert cli("wait", "--batch", "b").code == 1
    cli.ok("retry", "--batch", "b")
    assert counts(cli) == {"pending": TOTAL, "total": TOTAL}
    run_next(lazy, DONE)
    cli.ok("batch", "cancel", "b", "--yes")
    (record,) = lazy.store.batches.open()
    look_after(lazy.store, record)
    cli.ok("purge", "--batch", "b", "--yes")
    assert cli.ok("batch", "list", "--json").json == []


def test_a_whole_batch_is_deleted_with_what_is_not_made_yet(cli: Cli, lazy: Queue) -> None:
    assert "not made yet are deleted" in cli.ok("delete", "--batch", "b", "--yes").out
    assert lazy.counts().total == 0
    assert cli.ok("batch", "list", "--json").json == []


def test_a_purge_of_nothing_but_what_was_not_made_counts_it(cli: Cli, lazy: Queue) -> None:
    rest = sum(record.unmade for record in lazy.store.batches.unmade())
    cli.ok("cancel", "--batch", "b", "--yes")
    for job in list(lazy.store.find(Filter(), Page())):
        lazy.delete(job.id)
    assert cli.ok("purge", "--batch", "b", "--yes").out == f"Deleted {rest:,} jobs\n"


def test_a_backup_counts_what_is_not_made_yet(cli: Cli, lazy: Queue) -> None:
    said = f"{TOTAL:,} jobs"
    assert said in cli.ok("backup", "copy.db").out
    LazyJobs(lazy.store).top_up(2000)
    for _ in range(1001):  # of which the last one was not made when the copy was
        run_next(lazy, DONE)
    tried = cli.ok("restore", "--dry-run", "copy.db").out
    assert f"Would restore {said}" in tried
    assert f"{said} in it will run: 1,001 of them again" in tried
    cli.ok("restore", "--yes", "copy.db")
    assert counts(cli) == {"pending": TOTAL, "total": TOTAL}


def test_whoever_waits_for_all_waits_for_such_a_batch_as_a_whole(cli: Cli, lazy: Queue) -> None:
    cli.ok("enqueue", "other", "--queue", "q", "--", "true")
    ids, batches = lazy.unsettled()
    assert (ids, batches) == (["other"], ["b"])
    assert lazy.unsettled("q") == (["other"], [])
    assert cli("wait", "--all", "--timeout", "0.5").code == 124
    cli.ok("cancel", "other")
    assert "batch 'b' is not done: 20,001 pending" in cli("wait", "--all", "--timeout", "0").err
    with running("wait", "--all") as waiting, running("wait", "--all", "--json") as as_json:
        for each in (waiting, as_json):
            assert "no worker is running" in each.err.readline()  # so it has seen the batch
        cli.ok("cancel", "--batch", "b", "--yes")
        told, _ = waiting.popen.communicate(timeout=120)
        jobs = json.loads(as_json.popen.communicate(timeout=120)[0])
    assert told == "Batch 'b' is done: 20,001 cancelled\n"
    assert len(jobs) == TOTAL
    assert {job["state"] for job in jobs} == {"cancelled"}


def test_a_batch_that_cannot_start_is_not_waited_for(cli: Cli) -> None:
    bury("parent")
    cli.ok("enqueue", "--batch", "b", "--array", f"1-{TOTAL}", "--after", "parent", "--", "x", "{}")
    waited = cli("wait", "--all")
    assert waited.code == 1
    assert "cannot start" in waited.err


def test_no_job_is_made_twice_or_lost_over_an_export(cli: Cli, lazy: Queue) -> None:
    run_next(lazy, DONE)
    said = f"{TOTAL:,} jobs"
    assert said in cli.ok("export", "all.jsonl").out
    assert said in cli.ok("export", "--batch", "b", "some.jsonl").out
    assert said in cli.ok("--home", "some", "import", "some.jsonl").out
    assert said in cli.ok("--home", "second", "import", "all.jsonl").out
    there = cli.ok("--home", "second", "batch", "show", "b", "--json").json
    assert there["counts"] == cli.ok("batch", "show", "b", "--json").json["counts"]
    assert there["unmade"] == TOTAL - 1000
    assert said in cli.ok("migrate", "--to", "third.db", "--yes").out
    assert said in cli.ok("migrate", "--to", "third.db", "--yes").out, "and so the second time"
    moved = cli.ok("--store", "third.db", "batch", "show", "b", "--json").json
    assert (moved["counts"], moved["unmade"]) == (there["counts"], there["unmade"])


@pytest.mark.usefixtures("lazy")
def test_nothing_is_added_to_a_batch_that_is_made_while_it_runs(cli: Cli) -> None:
    assert "exists already" in cli.refused(2, "enqueue", "--batch", "b", "--", "true")
    assert "already" in cli.refused(4, "enqueue", "--batch", "b", "--array", "1-20002", "--", "x")


# waiting


def test_the_rest_is_estimated_by_what_has_ended_lately() -> None:
    estimate = Estimate()
    estimate.note(0.0, 10)
    assert estimate.seconds(90) is None
    estimate.note(10.0, 20)
    assert estimate.seconds(80) == 80.0


@pytest.mark.usefixtures("queue")
def test_a_bar_shows_on_a_terminal_how_far_a_batch_has_come() -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "queuectl", "wait", "--batch", "b", "--timeout", "2"], timeout=30,
        encoding="utf-8", env={**environment(), "TERM": "xterm"}, dimensions=(24, 100),
    )  # fmt: skip
    child.expect_exact("[........................] 0 %, 0 of 3: 3 pending")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 124


def test_the_states_of_a_batch_are_those_of_its_jobs(queue: Queue) -> None:
    run_next(queue, DONE)
    status = queue.batch("b")
    assert (status.total, status.done, status.is_over) == (3, 1, False)
    assert status.counts == {State.COMPLETED: 1, State.PENDING: 2}
    assert [each.name for each in queue.batches()] == ["b"]
