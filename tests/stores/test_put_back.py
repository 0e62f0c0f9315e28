"""Jobs that were put back before they ran, and those that a host could not start."""

from __future__ import annotations

from datetime import timedelta

from queuectl.domain.job import Job, Outcome, State
from queuectl.stores.base import Store
from tests.stores.kit import SUCCESS, added, claimed, existing, faults, request, settled

LATER = Outcome(error="load 12.3, to be below 8", postponed=3600.0)
NO_HOST = Outcome(error="Command not found", unfit_host="host1")


def put_back(store: Store, job_id: str, outcome: Outcome = LATER) -> Job:
    """Put a job back that waits, and return it as the store has it."""
    return settled(store, claimed(store, only=job_id), outcome)


def test_a_job_that_is_put_back_waits_for_its_time_with_its_reason(store: Store) -> None:
    added(store, "a")
    added(store, "b")
    job = put_back(store, "a")
    assert (job.state, job.attempts, job.history) == (State.PENDING, 0, ())
    assert (job.put_back, job.put_backs) == (LATER.error, 1)
    assert job.run_at - store.now() > timedelta(minutes=50)
    assert claimed(store).id == "b", "it keeps no other from running"
    assert store.claim(request()) is None
    assert faults(store) == []


def test_once_it_has_run_nothing_is_left_of_that(store: Store) -> None:
    added(store, "a")
    put_back(store, "a", Outcome(error="preflight: exit code 1", postponed=0.001))
    while (job := store.claim(request())) is None:
        store.make_due_claimable()
    done = settled(store, job, SUCCESS)
    assert (done.state, done.put_back, done.put_backs) == (State.COMPLETED, None, 0)
    assert len(done.history) == 1


def test_the_hosts_that_could_not_start_a_job_are_kept_with_it(store: Store) -> None:
    added(store, "a")
    job = put_back(store, "a", NO_HOST)
    assert (job.state, job.not_on, job.attempts) == (State.PENDING, ("host1",), 0)
    assert [run.error for run in job.history] == ["Command not found"]
    again = claimed(store)
    assert (again.id, again.not_on) == ("a", ("host1",)), "another host may take it at once"
    last = Outcome(error="Command not found", unfit_host="host2", is_final=True)
    dead = settled(store, again, last)
    assert (dead.state, dead.not_on) == (State.DEAD, ("host1", "host2"))
    assert existing(store, "a").not_on == ("host1", "host2")
    assert faults(store) == []
