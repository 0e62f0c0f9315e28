"""Ageing out, taking in whole jobs, notes and captured environments, on every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import Job, Outcome, State
from queuectl.stores.base import Store
from tests.stores.kit import (
    FAILURE,
    SUCCESS,
    added,
    buried,
    claimed,
    existing,
    faults,
    listed,
    new_job,
    settled,
)

HOUR = timedelta(hours=1)


def completed(store: Store, job_id: str, **spec: Any) -> Job:
    """Return a job that has succeeded."""
    added(store, job_id, **spec)
    return settled(store, claimed(store, only=job_id))


def cancelled(store: Store, job_id: str) -> Job:
    """Return a job that was cancelled before it ran."""
    change = state_machine.cancel(added(store, job_id), store.now())
    assert store.commit(change)
    return existing(store, job_id)


def ended(store: Store, state: State, before: datetime, limit: int = 10) -> list[str]:
    """Return the ids of the jobs of a state that ended before an instant."""
    return [job.id for job in store.retention.ended(state, before, limit)]


# ageing


def test_jobs_that_ended_before_an_instant_are_found_by_their_state(store: Store) -> None:
    completed(store, "done")
    cancelled(store, "off")
    buried(store, "dead")
    added(store, "waiting")
    soon = store.now() + HOUR
    assert ended(store, State.COMPLETED, soon) == ["done"]
    assert ended(store, State.CANCELLED, soon) == ["off"]
    assert ended(store, State.DEAD, soon) == ["dead"]


def test_those_that_ended_longest_ago_come_first_and_newer_ones_not_at_all(store: Store) -> None:
    jobs = [completed(store, f"job{n}") for n in range(3)]
    last = jobs[-1].finished_at
    assert last is not None
    assert ended(store, State.COMPLETED, store.now() + HOUR, limit=2) == ["job0", "job1"]
    assert "job2" not in ended(store, State.COMPLETED, last)
    assert (
        store.retention.ended(State.COMPLETED, store.now() + HOUR, 5, since=store.now() + HOUR)
        == []
    )


def test_removed_jobs_are_gone_with_their_history_and_their_count(store: Store) -> None:
    jobs = [completed(store, "done"), cancelled(store, "off"), buried(store, "dead")]
    added(store, "waiting")
    assert store.retention.remove(jobs) == {"done", "off", "dead"}
    assert listed(store) == ["waiting"]
    assert store.counts().total == 1
    assert faults(store) == []
    assert existing_again(store, "dead").history == ()


def existing_again(store: Store, job_id: str) -> Job:
    """Return a new job of an id that is free again."""
    return added(store, job_id)


def test_a_job_that_does_not_rest_is_not_removed(store: Store) -> None:
    waiting = added(store, "waiting")
    running = claimed(store)
    assert store.retention.remove([waiting, running]) == frozenset()
    assert listed(store) == ["waiting"]


@pytest.mark.parametrize("end", [completed, buried])
def test_a_job_that_was_started_afresh_meanwhile_is_not_removed(store: Store, end: object) -> None:
    assert callable(end)
    old = end(store, "job")
    assert store.commit(state_machine.retry(old, store.now()))
    assert store.retention.remove([old]) == frozenset()
    assert existing(store, "job").state is State.PENDING


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
def test_a_job_that_has_ended_once_more_is_not_removed_for_its_first_end(
    store: Store, outcome: Outcome
) -> None:
    added(store, "job")
    old = settled(store, claimed(store), outcome)
    assert store.commit(state_machine.retry(old, store.now()))
    fresh = settled(store, claimed(store), outcome)
    assert store.retention.remove([old]) == frozenset()
    assert store.retention.remove([fresh]) == {"job"}


def test_a_dead_parent_whose_children_have_gone_on_is_removed(store: Store) -> None:
    added(store, "parent")
    added(store, "child", after_any=("parent",))
    settled(store, claimed(store, only="parent"), FAILURE)
    while store.notify_children():
        pass
    assert store.retention.remove([existing(store, "parent")]) == {"parent"}
    assert claimed(store).id == "child"


def test_a_parent_for_which_a_child_still_waits_is_kept(store: Store) -> None:
    # the child wants its success; it failed, and its retry may yet release the child
    added(store, "parent")
    added(store, "child", after=("parent",))
    parent = settled(store, claimed(store, only="parent"), FAILURE)
    while store.notify_children():
        pass
    assert store.retention.remove([existing(store, "parent")]) == frozenset()
    assert store.retention.remove([parent]) == frozenset()
    assert existing(store, "child").blocked_by == ("success:parent",)


def test_a_parent_whose_children_have_gone_on_is_removed(store: Store) -> None:
    added(store, "parent")
    added(store, "child", after=("parent",))
    settled(store, claimed(store, only="parent"))
    while store.notify_children():
        pass
    assert store.retention.remove([existing(store, "parent")]) == {"parent"}
    assert existing(store, "child").blocked_by == ()
    assert claimed(store).id == "child"


def test_a_parent_that_got_its_first_child_meanwhile_is_kept(store: Store) -> None:
    dead = buried(store, "parent")
    added(store, "child", after=("parent",))
    assert store.retention.remove([dead]) == frozenset()
    assert existing(store, "child").blocked_by == ("success:parent",)


def test_the_ids_that_are_present_are_told_apart(store: Store) -> None:
    added(store, "here")
    buried(store, "dead")
    assert store.present(["here", "dead", "gone"]) == {"here", "dead"}
    assert store.present([]) == frozenset()


# past runs


def rerun(store: Store, job_id: str, times: int, **spec: Any) -> Job:
    """Return a job that was run so often, each run at an instant of its own, and completed."""
    added(store, job_id, **spec)
    for number in range(times):
        if number:
            assert store.commit(state_machine.retry(existing(store, job_id), store.now()))
        settled(store, claimed(store, only=job_id), FAILURE if number < times - 1 else SUCCESS)
    return existing(store, job_id)


def forgotten(store: Store, before: datetime, limit: int = 100) -> list[tuple[str, int]]:
    """Forget past runs until there are no more; return them in order."""
    gone: list[tuple[str, int]] = []
    is_more = True
    while is_more:
        some, is_more = store.retention.forget_runs(before, limit)
        gone += some
    return sorted(gone)


def test_past_runs_are_forgotten_but_the_latest_and_the_counters_stay(store: Store) -> None:
    job = rerun(store, "job", 4)
    completed(store, "once")
    soon = store.now() + HOUR
    assert store.retention.has_past_runs(soon)
    assert forgotten(store, soon) == [("job", 1), ("job", 2), ("job", 3)]
    assert existing(store, "job") == replace(job, history=job.history[-1:])
    assert len(existing(store, "once").history) == 1
    assert not store.retention.has_past_runs(soon)
    assert faults(store) == []


def test_only_runs_that_ended_before_the_instant_are_forgotten(store: Store) -> None:
    job = rerun(store, "job", 4)
    moments = [run.finished_at for run in job.history]
    job = restored_with_history(store, job, [at - (3 - n) * HOUR for n, at in enumerate(moments)])
    assert forgotten(store, moments[0] - 4 * HOUR) == []
    assert not store.retention.has_past_runs(moments[0] - 4 * HOUR)
    before = moments[1] - HOUR
    assert forgotten(store, before) == [("job", 1), ("job", 2)]
    assert not store.retention.has_past_runs(before)
    assert [run.n for run in existing(store, "job").history] == [3, 4]
    assert forgotten(store, store.now()) == [("job", 3)]


def restored_with_history(store: Store, job: Job, ends: list[datetime]) -> Job:
    """Put a settled job back with other ends of its runs."""
    assert store.retention.remove([job])
    runs = zip(job.history, ends, strict=True)
    older = replace(job, history=tuple(replace(run, finished_at=at) for run, at in runs))
    assert store.restore([older], keep_numbers=True) == frozenset()
    return existing(store, job.id)


def test_a_job_that_runs_keeps_its_past_until_it_rests(store: Store) -> None:
    rerun(store, "job", 2)
    assert store.commit(state_machine.retry(existing(store, "job"), store.now()))
    running = claimed(store)
    soon = store.now() + HOUR
    assert not store.retention.has_past_runs(soon)
    assert forgotten(store, soon) == []
    assert len(settled(store, running).history) == 3
    assert forgotten(store, soon) == [("job", 1), ("job", 2)]


def test_the_dead_forget_too_and_go_on_with_what_is_left_when_revived(store: Store) -> None:
    rerun(store, "job", 2)
    assert store.commit(state_machine.retry(existing(store, "job"), store.now()))
    dead = settled(store, claimed(store), FAILURE)
    assert dead.state is State.DEAD
    soon = store.now() + HOUR
    assert forgotten(store, soon) == [("job", 1), ("job", 2)]
    assert store.commit(state_machine.retry(existing(store, "job"), store.now()))
    job = settled(store, claimed(store))
    assert [run.n for run in job.history] == [3, 4]
    assert (job.runs, job.attempts) == (4, 1)
    assert forgotten(store, soon) == [("job", 3)]
    assert faults(store) == []


def test_past_runs_are_forgotten_a_stretch_a_call(store: Store) -> None:
    for name in ("a", "b", "c"):
        rerun(store, name, 2)
    soon = store.now() + HOUR
    some, is_more = store.retention.forget_runs(soon, 2)
    assert len(some) == 2
    assert is_more
    assert len(forgotten(store, soon, 2)) == 1


# whole jobs


def copied(store: Store, job: Job) -> Job:
    """Remove a settled job and put it back whole."""
    assert store.retention.remove([job]) == {job.id}
    assert store.restore([job], keep_numbers=True) == frozenset()
    return existing(store, job.id)


@pytest.mark.parametrize("end", [completed, cancelled, buried])
def test_a_restored_job_is_as_it_was(store: Store, end: object) -> None:
    assert callable(end)
    job = end(store, "job")
    assert copied(store, job) == job
    assert store.counts().of(job.state) == 1
    assert faults(store) == []


def test_a_restored_dead_job_can_be_revived(store: Store) -> None:
    dead = copied(store, buried(store, "job"))
    assert store.commit(state_machine.retry(dead, store.now()))
    assert claimed(store).id == "job"


def test_a_restored_job_that_waits_is_claimed_in_its_turn(store: Store) -> None:
    jobs = [new_job(store, "first"), new_job(store, "later", store.now() + HOUR)]
    assert store.restore(jobs) == frozenset()
    assert claimed(store).id == "first"
    assert store.next_due() == jobs[1].run_at


def test_restoring_refuses_ids_and_unique_keys_that_are_taken(store: Store) -> None:
    added(store, "here", unique="key")
    dead = buried(store, "dead")
    jobs = [new_job(store, "here"), dead, new_job(store, "keyed", unique="key")]
    assert store.restore([*jobs, new_job(store, "new")]) == {"here", "dead", "keyed"}
    assert store.present(["new", "keyed"]) == {"new"}


def test_a_settled_job_may_have_the_unique_key_of_one_that_waits(store: Store) -> None:
    done = completed(store, "done", unique="key")
    assert store.retention.remove([done])
    added(store, "here", unique="key")
    assert store.restore([done]) == frozenset()


def test_numbers_that_are_kept_are_not_given_again(store: Store) -> None:
    job = replace(new_job(store, "far"), seq=1000)
    dead = replace(buried(store, "dead"), seq=2000)
    assert store.retention.remove([existing(store, "dead")])
    store.restore([job, dead], keep_numbers=True)
    assert existing(store, "far").seq == 1000
    assert added(store, "next").seq > 2000


def test_a_restored_child_hears_of_a_parent_that_had_ended_here(store: Store) -> None:
    completed(store, "parent")
    child = new_job(store, "child", after=("parent",))
    assert child.blocked_by
    store.restore([child])
    while store.notify_children():
        pass
    assert existing(store, "child").blocked_by == ()


def test_a_restored_child_hears_of_a_parent_that_ends_later(store: Store) -> None:
    added(store, "parent")
    store.restore([new_job(store, "child", after=("parent",))])
    settled(store, claimed(store))
    while store.notify_children():
        pass
    assert claimed(store).id == "child"


# notes and environments


def test_a_note_stays_until_it_is_removed(store: Store) -> None:
    assert store.meta.get("moved") is None
    store.meta.set("moved", "there")
    store.meta.set("moved", "elsewhere")
    assert store.meta.get("moved") == "elsewhere"
    store.meta.set("moved", None)
    assert store.meta.get("moved") is None


def test_an_environment_is_kept_once_by_its_name(store: Store) -> None:
    variables = (("PATH", "/bin"), ("TITLE", "a=b\nc"))
    store.environments.save("abc", variables)
    store.environments.save("abc", variables)
    assert store.environments.get("abc") == variables
    assert store.environments.names() == ["abc"]
    assert store.environments.get("other") is None


def test_an_environment_is_forgotten_when_no_job_names_it_any_more(store: Store) -> None:
    for name in ("waiting", "dead", "unused"):
        store.environments.save(name, ())
    added(store, "waiting", environment="waiting", queue="other")
    dead = buried(store, "dead", environment="dead")
    assert store.environments.forget(store.now() - HOUR) == 0
    assert store.environments.forget(store.now() + HOUR) == 1
    assert store.environments.names() == ["dead", "waiting"]
    store.retention.remove([dead])
    assert store.environments.forget(store.now() + HOUR) == 1
    assert store.environments.names() == ["waiting"]


def test_a_dead_parent_can_be_started_afresh_once_its_children_know(store: Store) -> None:
    added(store, "parent")
    added(store, "child", after=("parent",))
    settled(store, claimed(store, only="parent"), FAILURE)
    while store.notify_children():
        pass
    change = state_machine.retry(existing(store, "parent"), store.now())
    assert store.commit(change)
    settled(store, claimed(store))
    assert claimed(store).id == "child"


def test_a_snapshot_is_needed_as_long_as_a_job_names_it(store: Store) -> None:
    assert not store.retention.needs_snapshot("c0ffee host /tree")
    buried(store, "a", snapshot="c0ffee host /tree", max_retries=1)
    added(store, "b", snapshot="c0ffee host /other")
    assert store.retention.needs_snapshot("c0ffee host /tree"), "a dead job may be retried"
    assert not store.retention.needs_snapshot("c0ffee")
    assert store.commit(state_machine.delete(existing(store, "a")))
    assert not store.retention.needs_snapshot("c0ffee host /tree")
    assert store.retention.needs_snapshot("c0ffee host /other")
