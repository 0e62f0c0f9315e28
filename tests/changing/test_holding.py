"""Jobs that are held from the start, queues that are paused, and places that are exchanged."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from queuectl.domain.errors import Conflict, InvalidInput
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import UTC
from queuectl.domain.views import reason
from tests.changing.conftest import Cli
from tests.cli.harness import claim_next, run_next
from tests.stores.conftest import on_one_store
from tests.worker.fleet import Fleet


def order(fleet: Fleet) -> list[str]:
    """Return the ids of the jobs that can be claimed, in the order in which they are."""
    ids = []
    while fleet.queue.store.first_ready("default"):
        ids.append(run_next(fleet.queue, Outcome(exit_code=0)).id)
    return ids


@pytest.mark.parametrize(
    "words",
    [
        ["enqueue", "--hold", "a", "true"],
        ["enqueue", "--paused", "a", "true"],
        ["enqueue", '{"id": "a", "command": "true", "hold": true}'],
        ["enqueue", "--hold", '{"id": "a", "command": "true"}'],
        ["add", "--hold", "--id", "a", "true"],
        ["enqueue", "--hold", "a", "true", "--replace"],
    ],
)
def test_a_job_that_is_enqueued_as_held_is_not_claimed_until_it_is_resumed(
    fleet: Fleet, cli: Cli, words: list[str]
) -> None:
    if "--replace" in words:
        fleet.enqueue("false", "a")
    assert cli.ok(*words).out.endswith("queued job 'a'\n" if "--replace" not in words else "'a'\n")
    assert reason(fleet.job("a"), fleet.queue.now()) == "paused"
    fleet.enqueue("true", "b")
    assert order(fleet) == ["b"]
    assert cli.ok("release", "a").out == "Resumed job 'a'\n"
    assert order(fleet) == ["a"]
    cli.ok("retry", "a")
    assert order(fleet) == ["a"], "it was held once, and not for ever"


@on_one_store
def test_a_file_of_jobs_is_held_as_a_whole(fleet: Fleet, cli: Cli) -> None:
    lines = "".join(f'{{"id": "j{n}", "command": "true"}}\n' for n in range(150))
    cli.ok("enqueue", "--hold", "-f", "-", stdin=lines)
    assert all(job.paused for job in fleet.queue.find())
    cli.ok("resume", "--all")
    assert not any(job.paused for job in fleet.queue.find())


def test_holding_is_for_new_jobs_and_not_for_schedules_and_edits(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a")
    assert "queuectl stash a" in cli.refused(2, "set", "a", "hold=true")
    with pytest.raises(InvalidInput, match="hold"):
        fleet.queue.schedules.add("s", "* * * * *", {"command": "true", "hold": True})
    held = '{"id": "b", "command": "true", "hold": true}'
    assert "cannot follow" in cli.refused(2, "run", held)
    assert "true or false" in cli.refused(2, "enqueue", held.replace("true}", '"maybe"}'))


def test_a_waiting_job_is_stashed_and_a_running_or_ended_one_is_not(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "ended")
    run_next(fleet.queue, Outcome(exit_code=0))
    fleet.enqueue("true", "running")
    claim_next(fleet.queue)
    fleet.enqueue("true", "a")
    assert cli.ok("stash", "a").out == "Held job 'a'\n"
    assert "paused already" in cli.refused(1, "hold", "a")
    assert "queuectl pause running" in cli.refused(4, "stash", "running")
    assert "has ended" in cli.refused(4, "stash", "ended")
    assert "has ended" in cli.refused(4, "pause", "ended")
    assert cli.ok("start", "a").out == "Resumed job 'a'\n"


@pytest.mark.parametrize("word", ["pause", "resume", "start"])
def test_pause_and_resume_alone_say_what_can_be_named(cli: Cli, word: str) -> None:
    told = cli.refused(2, word)
    assert all(form in told for form in (" ID,", " -q QUEUE,", " -a\n"))
    cli.refused(2, word, "a", "-q", "gpu")


def test_a_queue_is_paused_and_resumed_by_the_same_words_as_a_job(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "a", queue="gpu")
    assert cli.ok("pause", "-q", "gpu").out == "Paused queue 'gpu'\n"
    assert "paused already" in cli.refused(1, "pause", "-q", "gpu")
    assert fleet.queue.queue_limits()["gpu"].paused
    assert cli.ok("resume", "-q", "gpu").out == "Resumed queue 'gpu'\n"
    assert cli.ok("pause", "-q", "typo").err == "no job is in queue 'typo' yet\n"


def test_everything_is_paused_and_goes_on(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "running", queue="gpu")
    claim_next(fleet.queue)
    fleet.enqueue("true", "a")
    paused = cli.ok("pause", "-a")
    assert paused.out.splitlines() == [
        "Paused queue 'default'", "Paused queue 'gpu'", "Pausing job 'running'",
    ]  # fmt: skip
    assert all(limit.paused for limit in fleet.queue.queue_limits().values())
    assert "it is so already" in cli.ok("pause", "--all").err
    cli.ok("resume", "-a")
    assert not fleet.job("running").paused
    assert order(fleet) == ["a"]


@pytest.mark.parametrize(("first", "second"), [("a", "c"), ("c", "a")])
@pytest.mark.parametrize("priority", [0, 5])
def test_two_jobs_that_wait_take_each_others_place(
    fleet: Fleet, cli: Cli, first: str, second: str, priority: int
) -> None:
    for name, minutes in (("a", 3), ("b", 2), ("c", 1)):
        more = {"priority": priority} if name == "a" else {}
        fleet.enqueue("true", name, run_at=datetime.now(UTC) - timedelta(minutes=minutes), **more)
    assert cli.ok("switch", first, second).out == f"Switched jobs '{first}' and '{second}'\n"
    assert order(fleet) == ["c", "b", "a"]


def test_two_jobs_that_came_at_one_instant_are_switched(fleet: Fleet, cli: Cli) -> None:
    for name in ("a", "b"):
        fleet.enqueue("true", name, run_at="2020-01-01T00:00:00Z")
    cli.ok("swap", "a", "b")
    assert order(fleet) == ["b", "a"]


def test_only_jobs_that_wait_in_one_queue_are_switched(fleet: Fleet, cli: Cli) -> None:
    fleet.enqueue("true", "running")
    claim_next(fleet.queue)
    fleet.enqueue("true", "a")
    fleet.enqueue("true", "other", queue="gpu")
    before = fleet.job("a")
    assert "two queues" in cli.refused(4, "switch", "a", "other")
    assert "processing" in cli.refused(4, "switch", "a", "running")
    cli.refused(2, "switch", "a", "a")
    cli.refused(3, "switch", "a", "nobody")
    assert fleet.job("a") == before


def test_a_job_whose_partner_is_claimed_meanwhile_keeps_its_place(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.enqueue("true", "a", run_at=datetime.now(UTC) - timedelta(minutes=3), queue="x")
    fleet.enqueue("true", "b", run_at=datetime.now(UTC) - timedelta(minutes=5), queue="x")
    before = fleet.job("b")
    real, claimed = fleet.queue.store.commit, list[Job]()

    def commit(change: Transition) -> bool:
        result = real(change)
        if not claimed:
            claimed.append(claim_next(fleet.queue))
        return result

    monkeypatch.setattr(fleet.queue.store, "commit", commit)
    with pytest.raises(Conflict, match="'a' is processing"):
        fleet.queue.switch("b", "a")
    after = fleet.job("b")
    assert (after.run_at, after.spec) == (before.run_at, before.spec)
