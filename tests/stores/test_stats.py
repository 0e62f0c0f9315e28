"""What happens is told once: counted into figures by queue and minute, and for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.events import RunFinished, RunResult
from queuectl.domain.frozen import replace
from queuectl.domain.job import Outcome
from queuectl.domain.stats import Figures, counted, minute_of
from queuectl.domain.times import EPOCH
from queuectl.queue.events import process_all_events, process_events
from queuectl.stores.base import Store
from queuectl.stores.mongo import stats
from tests.stores.kit import (
    FAILURE,
    INTERRUPTED,
    SUCCESS,
    added,
    buried,
    claimed,
    existing,
    new_job,
    request,
    settled,
)

Opener = Callable[[], Store]


def pending_events(store: Store) -> list[RunFinished]:
    """Return the endings that are in no figures yet."""
    return list(store.stats.pending_events().finished)


def told(store: Store, queue: str = "default") -> Figures:
    """Return the figures of a queue once everything is told; both kinds must agree."""
    process_all_events(store)
    minutes = [each for (name, _), each in store.stats.figures(EPOCH).items() if name == queue]
    total = store.stats.totals().get(queue, Figures())
    assert sum(minutes, Figures()) == total
    return total


def test_an_ending_says_what_became_of_a_run(store: Store) -> None:
    added(store, "a", max_retries=2, backoff_base=0, labels=("x",), queue="q", command="c" * 999)
    for outcome in (INTERRUPTED, FAILURE, FAILURE):
        settled(store, claimed(store, "q"), outcome)
        store.make_due_claimable()
    job = existing(store, "a")
    first, second, third = pending_events(store)
    assert [each.outcome for each in (first, second, third)] == [
        RunResult.INTERRUPTED, RunResult.FAILED, RunResult.DEAD,
    ]  # fmt: skip
    assert [(each.run, each.attempts) for each in (first, second, third)] == [
        (1, 0),
        (2, 1),
        (3, 2),
    ]
    run = job.history[-1]
    assert third == RunFinished(
        job.seq,
        job.rev,
        "a",
        3,
        "q",
        RunResult.DEAD,
        run.finished_at,
        2,
        "c" * 200,
        ("x",),
        run.started_at,
        third.waited,
        FAILURE.duration,
        1,
        None,
        False,
        "Exit code 1",
    )
    assert third.waited is not None
    assert third.waited >= 0


def test_what_does_not_end_a_run_leaves_no_ending(store: Store) -> None:
    added(store, "a")
    held = claimed(store)
    store.commit(state_machine.cancel(held, store.now()))
    store.commit(state_machine.release(existing(store, "a"), store.now()))  # cancelled by that
    added(store, "b")
    store.commit(state_machine.release(claimed(store), store.now()))
    store.commit(state_machine.pause(existing(store, "b"), store.now()))
    store.commit(state_machine.resume(existing(store, "b"), store.now()))
    store.commit(state_machine.cancel(existing(store, "b"), store.now()))
    store.commit(state_machine.retry(existing(store, "b"), store.now()))
    store.commit(state_machine.delete(existing(store, "b")))
    assert [(each.job_id, each.outcome) for each in pending_events(store)][:1] == [
        ("a", RunResult.CANCELLED)
    ]


def test_a_commit_that_is_refused_or_repeated_leaves_no_second_ending(store: Store) -> None:
    added(store, "a")
    job = claimed(store)
    change = state_machine.finish(job, SUCCESS, store.now())
    assert store.commit(change)
    assert store.commit(change)
    assert not store.commit(state_machine.finish(job, FAILURE, store.now() + timedelta(seconds=1)))
    assert [each.outcome for each in pending_events(store)] == [RunResult.COMPLETED]


def test_every_ending_and_every_new_job_is_counted_once(store: Store) -> None:
    store.insert([new_job(store, f"j{n}", max_retries=1 + n % 2, queue="a.b") for n in range(6)])
    store.insert([new_job(store, "other"), new_job(store, "j0")], atomic=True)  # refused whole
    store.insert([new_job(store, "other"), new_job(store, "j0")])
    store.insert([new_job(store, f"one{n}") for n in range(3)], atomic=True)
    job = claimed(store, "a.b")
    for outcome in (SUCCESS, FAILURE, FAILURE, INTERRUPTED):
        end = state_machine.finish(job, outcome, store.now())
        _, (job,) = store.commit_and_claim([end], [request("a.b")])
    store.commit(state_machine.cancel(existing(store, "j5"), store.now()))
    figures = told(store, "a.b")
    counts = [getattr(figures, name) for name in ("enqueued", *(each.value for each in RunResult))]
    assert counts == [6, 1, 1, 1, 1, 1]
    assert (figures.run.total, figures.wait.total) == (3, 4)
    assert figures.run.micros == 1_000_000
    assert told(store).enqueued == 4
    assert told(store, "a.b") == figures
    assert store.stats.pending_events().is_empty


def test_what_has_been_told_by_somebody_else_is_not_told_again(opened: Opener) -> None:
    mine, other = opened(), opened()
    added(mine, "a")
    settled(mine, claimed(mine))
    read = mine.stats.pending_events()
    assert process_events(other) is False
    added(other, "b")
    settled(other, claimed(other))
    assert not mine.stats.record(read, counted(read.finished, read.enqueued))
    figures = told(mine)
    assert (figures.enqueued, figures.completed) == (2, 2)


def test_runs_that_end_while_a_batch_is_told_are_told_next(store: Store) -> None:
    added(store, "a", max_retries=9, backoff_base=0)
    settled(store, claimed(store), FAILURE)
    read = store.stats.pending_events()
    store.make_due_claimable()
    settled(store, claimed(store), FAILURE)
    assert store.stats.record(read, counted(read.finished, read.enqueued))
    assert [each.run for each in pending_events(store)] == [2]
    assert told(store).failed == 2


def test_a_batch_has_the_oldest_endings(store: Store) -> None:
    store.insert([new_job(store, f"j{n}") for n in range(5)])
    for _ in range(5):
        settled(store, claimed(store))
    assert [each.job_id for each in store.stats.pending_events(2).finished] == ["j0", "j1"]


@pytest.mark.parametrize("how", ["alone", "with others", "as old"])
@pytest.mark.parametrize("is_dead", [False, True])
def test_an_ending_outlives_the_deletion_of_its_job(store: Store, is_dead: bool, how: str) -> None:
    added(store, "a", max_retries=1)
    other = buried(store, "other", queue="q") if is_dead else added(store, "other", queue="q")
    job = settled(store, claimed(store, "default"), FAILURE if is_dead else SUCCESS)
    if how == "alone":
        assert store.commit(state_machine.delete(job))
    elif how == "with others":
        changes = [state_machine.delete(each) for each in (job, other)]
        assert store.commit_all(changes) == [True, True]
    else:
        assert store.retention.remove([job]) == {"a"}
    assert store.get("a") is None
    process_events(store, 1)
    added(store, "a")
    again = settled(store, claimed(store, "default"))
    assert store.commit(state_machine.delete(again))
    figures = told(store)
    assert (figures.enqueued, figures.dead, figures.completed) == (2, is_dead, 2 - is_dead)
    assert told(store) == figures
    assert pending_events(store) == []


@pytest.mark.parametrize("leave", ["buried", "revived", "replaced"])
def test_an_ending_outlives_the_moves_of_its_job(store: Store, leave: str) -> None:
    dead = buried(store, "a")
    if leave == "revived":
        assert store.commit(state_machine.retry(dead, store.now()))
        settled(store, claimed(store))
    elif leave == "replaced":
        change = state_machine.replace_job(
            dead, new_job(store, "a", queue="z").spec, None, store.now()
        )
        assert store.commit(change)
    figures = told(store)
    assert (figures.dead, figures.completed) == (1, int(leave == "revived"))
    assert told(store) == figures


def test_old_minutes_are_forgotten_and_totals_are_not(store: Store) -> None:
    added(store, "a")
    settled(store, claimed(store))
    before = told(store)
    (minute,) = {minute for _, minute in store.stats.figures(EPOCH)}
    assert store.stats.figures(minute + timedelta(minutes=1)) == {}
    assert store.stats.forget(minute) == 0
    assert store.stats.forget(minute + timedelta(minutes=1)) > 0
    assert store.stats.figures(EPOCH) == {}
    assert store.stats.totals() == {"default": before}


def test_minutes_are_those_in_which_runs_ended(store: Store) -> None:
    added(store, "a")
    job = claimed(store)
    late = store.now() + timedelta(minutes=3)
    store.commit(state_machine.finish(job, Outcome(exit_code=0, duration=7.0), late))
    process_all_events(store)
    assert store.stats.figures(EPOCH)["default", minute_of(late)].completed == 1


@pytest.mark.parametrize("cut_after", range(1, 6))
def test_a_telling_that_a_crash_cut_short_is_finished_once(
    watched_store: Any, database: Any, cut_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        """The process is gone."""

    added(watched_store, "a", max_retries=2, backoff_base=0)
    settled(watched_store, claimed(watched_store), FAILURE)
    steps = ["_add", "_add", "_forget_arrivals", "_forget_events"]
    left = [cut_after]

    def counting(step: Callable[..., None]) -> Callable[..., None]:
        def cut(*args: Any) -> None:
            left[0] -= 1
            if not left[0]:
                raise Cut
            step(*args)

        return cut

    with monkeypatch.context() as patched:
        for name in set(steps):
            patched.setattr(stats, name, counting(getattr(stats, name)))
        if cut_after <= len(steps):
            with pytest.raises(Cut):
                process_events(watched_store)
        else:
            process_events(watched_store)
    watched_store.make_due_claimable()
    settled(watched_store, claimed(watched_store), FAILURE)
    figures = told(watched_store)
    assert (figures.enqueued, figures.failed, figures.dead) == (1, 1, 1)
    assert database["jobs"].find_one({"pending_events": {"$exists": True}}) is None


def test_the_oldest_due_job_of_a_queue_is_found_at_every_priority(store: Store) -> None:
    now = store.now()
    for n, (queue, priority) in enumerate([("b", 9), ("b", -3), ("b", 0), ("a.x", 0)]):
        added(store, f"j{n}", now - timedelta(seconds=(10, 30, 20, 5)[n]), queue=queue,
              priority=priority)  # fmt: skip
    added(store, "later", now + timedelta(hours=1), queue="c")
    store.set_queue_limit("b", paused=True)
    expected = {"a.x": now - timedelta(seconds=5), "b": now - timedelta(seconds=30)}
    assert store.oldest_due() == expected
    claimed(store, "a.x")
    assert list(store.oldest_due()) == ["b"]


def test_what_runs_used_is_counted_and_of_the_most_the_greatest_stays(store: Store) -> None:
    for name, seconds, size in (("a", 0.5, 2**28), ("b", 2.0, 2**30), ("c", 1.0, 2**20)):
        added(store, name)
        used = replace(SUCCESS, cpu_seconds=seconds, peak_memory=size)
        settled(store, claimed(store), used)
        process_all_events(store)
    found = told(store)
    assert (found.cpu.total, found.cpu.seconds, found.cpu.longest) == (3, 3.5, 2.0)
    sizes = found.memory
    assert (sizes.total, sizes.bytes, sizes.largest) == (3, 2**28 + 2**30 + 2**20, 2**30)
    assert sizes.quantile(0.95) == pytest.approx(2**30, rel=0.1)
    history = existing(store, "b").history
    assert [(run.cpu_seconds, run.peak_memory) for run in history] == [(2.0, 2**30)]
