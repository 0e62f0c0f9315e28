"""The dead letter queue: in and out, nothing lost on the way."""

from __future__ import annotations

from queuectl.domain import state_machine
from queuectl.domain.job import State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Filter
from queuectl.stores.base import Store
from tests.stores.kit import (
    FAILURE,
    added,
    buried,
    claimed,
    existing,
    faults,
    listed,
    request,
    settled,
)

DEAD = Filter(states=frozenset({State.DEAD}))


def test_a_job_without_attempts_left_is_buried_with_output_and_history(store: Store) -> None:
    added(store, "a", command=("$x", "y z"), env=(("A", "1"),), labels=("l",))
    change = state_machine.finish(claimed(store), FAILURE, store.now())
    assert store.commit(change)
    dead = existing(store, "a")
    assert dead == change.after
    assert dead.outcome == FAILURE
    assert dead.failed_at is not None
    assert len(dead.history) == 1
    assert listed(store, DEAD) == ["a"]
    assert store.claim(request()) is None


def test_a_job_that_loses_its_workers_is_buried_by_an_expiry(store: Store) -> None:
    added(store, "a", max_retries=3)
    assert store.commit(state_machine.expire(claimed(store), store.now(), 1))
    dead = existing(store, "a")
    assert (dead.state, dead.attempts, dead.interruptions) == (State.DEAD, 0, 1)


def test_a_retried_job_starts_afresh_and_keeps_its_history(store: Store) -> None:
    dead = buried(store, "a")
    change = state_machine.retry(dead, store.now())
    assert store.commit(change)
    assert existing(store, "a") == change.after
    assert listed(store, DEAD) == []
    assert listed(store) == ["a"]
    again = claimed(store)
    assert (again.attempts, again.runs) == (1, 2)
    assert [run.n for run in settled(store, again).history] == [1, 2]


def test_a_job_can_die_and_be_retried_many_times(store: Store) -> None:
    dead = buried(store, "a")
    for runs in range(2, 5):
        assert store.commit(state_machine.retry(dead, store.now()))
        dead = settled(store, claimed(store), FAILURE)
        assert (dead.state, dead.runs, len(dead.history)) == (State.DEAD, runs, runs)
        assert listed(store, DEAD) == ["a"]


def test_a_dead_job_is_retried_once(store: Store) -> None:
    dead = buried(store, "a")
    change = state_machine.retry(dead, store.now())
    assert store.commit(change)
    assert not store.commit(change)
    claimed(store)
    assert not store.commit(change)
    assert existing(store, "a").state is State.PROCESSING


def test_a_retry_read_before_a_second_death_changes_nothing(store: Store) -> None:
    first_death = buried(store, "a")
    assert store.commit(state_machine.retry(first_death, store.now()))
    second_death = settled(store, claimed(store), FAILURE)
    assert not store.commit(state_machine.retry(first_death, store.now()))
    assert existing(store, "a") == second_death


def test_a_dead_job_is_replaced(store: Store) -> None:
    dead = buried(store, "a")
    change = state_machine.replace_job(dead, Spec("a", "echo $new"), None, store.now())
    assert store.commit(change)
    assert existing(store, "a") == change.after
    assert store.counts().of(State.DEAD) == 0
    assert claimed(store).spec.command == "echo $new"


def test_a_dead_job_is_deleted_and_its_id_is_free(store: Store) -> None:
    dead = buried(store, "a")
    assert store.commit(state_machine.delete(dead))
    assert store.get("a") is None
    assert listed(store) == []
    assert store.counts().total == 0
    assert not store.commit(state_machine.retry(dead, store.now()))
    fresh = added(store, "a")
    assert fresh.history == ()
    reburied = settled(store, claimed(store), FAILURE)
    assert len(reburied.history) == 1


def test_repair_finds_nothing_to_do_in_a_sound_store(store: Store) -> None:
    buried(store, "a")
    buried(store, "b")
    assert store.commit(state_machine.retry(existing(store, "a"), store.now()))
    assert store.repair() == 0
    assert faults(store) == []
    assert existing(store, "b").state is State.DEAD
