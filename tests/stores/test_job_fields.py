"""No field of a job is lost in a store, whatever the job goes through, nor between two stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.dependencies import parents as parents_of
from queuectl.domain.job import SETTLED, Job, Run, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Filter
from queuectl.domain.state_machine import Fence, Transition
from queuectl.queue.environments import name_of
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.mongo.store import MongoStore
from queuectl.transfer import jsonl, migration
from tests.job_fields import START, filled, flat, full_job, survives, untried
from tests.stores.kit import EVERYTHING, FAILURE, SUCCESS, added, claimed, existing

COURSE = (
    State.FAILED, State.PROCESSING, State.PENDING, State.PROCESSING, State.DEAD, State.PENDING,
    State.PROCESSING, State.COMPLETED, State.PENDING, State.CANCELLED,
)  # fmt: skip
"""The states that a job goes through here, from its beginning in PENDING."""


def kind_of(store: Store) -> str:
    """Return the word under which the excuses of a store stand."""
    return "mongo" if isinstance(store, MongoStore) else "sqlite"


def found(store: Store, job_id: str) -> Job:
    """Return a job that a listing and a look at it alone show to be the same."""
    job = existing(store, job_id)
    assert [each for each in store.find(Filter(), EVERYTHING) if each.id == job_id] == [job]
    return job


@pytest.fixture
def parents(store: Store) -> None:
    """Jobs for those that are filled to wait for."""
    for turn in range(len(COURSE)):
        for name in parents_of(filled(Spec, turn)):
            added(store, name)


@pytest.mark.parametrize("at_once", ["one", "many"])
@pytest.mark.usefixtures("parents")
def test_what_a_change_says_of_each_field_is_read_again_in_every_state(
    store: Store, at_once: str
) -> None:
    added(store, "job")
    seen = []
    for turn, state in enumerate(COURSE):
        before = existing(store, "job")
        run = None
        if before.state is State.PROCESSING:
            run = filled(Run, turn, n=turn)
        after = full_job(
            state, "job", turn, seq=before.seq, rev=before.rev + 1, children_pending=False,
            created_at=before.created_at, history=(*before.history, run) if run else before.history,
        )  # fmt: skip
        change = Transition("test", before, after, Fence.REV, run)
        if run is None and at_once == "many":
            assert store.commit_all([change]) == [True]
        else:
            assert store.commit(change)
        survives(kind_of(store), flat(after), flat(found(store, "job")))
        seen.append(after)
    assert untried(seen) == {"children_pending"}  # which a store takes off at once: nobody waits


@pytest.mark.usefixtures("parents")
def test_a_job_keeps_its_fields_from_enqueue_to_claim_dlq_retry_and_end(store: Store) -> None:
    """By the ways that people and workers really go, one of them alone and two at once."""
    for name in ("licence", "tokens"):
        store.resources.set(name, "20")
    for number in (1, 2):
        specs = [filled(Spec, id=f"job{number}{n}", unique=f"{number}{n}") for n in range(number)]
        jobs = [state_machine.enqueue(spec, START, store.now(), delayed=True) for spec in specs]
        assert store.insert(jobs) == set()
        for job in jobs:
            kept = existing(store, job.id)
            survives(kind_of(store), flat(job), flat(replace(kept, seq=0)))
    before = full_job(State.PENDING, "job", blocked_by=(), paused=False, has_dependents=False,
                      cancel_requested=False, children_pending=False, attempts=0)  # fmt: skip
    spec = replace(before.spec, max_retries=1, at_once=0)  # with a limit a retry is let go at once
    before = replace(before, claim=None, spec=spec)
    assert store.restore([before]) == set()
    right = given_to_a_worker(store, existing(store, "job"))
    dead = carried(store, state_machine.finish(right, replace(FAILURE, signal=9), store.now()))
    assert dead.state is State.DEAD
    waiting = carried(store, state_machine.retry(dead, store.now()))
    right = given_to_a_worker(store, waiting)
    done = carried(store, state_machine.finish(right, SUCCESS, store.now()))
    assert (done.state, done.spec) == (State.COMPLETED, before.spec)


def given_to_a_worker(store: Store, before: Job) -> Job:
    """Claim a job, of which nothing may be lost that a claim leaves as it is."""
    given = claimed(store, only=before.id)
    assert given.claim
    assert given.started_at
    made = state_machine.claim(before, given.claim, given.started_at).after
    survives("claim", flat(made), flat(given), kind_of(store))
    survives(kind_of(store), flat(made), flat(found(store, before.id)))
    return given


def carried(store: Store, change: Transition) -> Job:
    """Commit a change, of which nothing may be lost, with the runs that there were before it."""
    had = existing(store, change.before.id).history
    assert store.commit(change)
    assert change.after
    after = replace(change.after, history=(*had, change.run) if change.run else had)
    now = found(store, after.id)
    survives(kind_of(store), flat(after), flat(now))
    return now


@pytest.fixture
def other(tmp_path: Path, store: Store, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store of the other kind."""
    is_mongo = isinstance(store, MongoStore)
    url = str(tmp_path / "other.db") if is_mongo else request.getfixturevalue("mongo_url")
    with closing(open_store(url)) as opened:
        yield opened


def fill(store: Store) -> list[Job]:
    """Put a full job of every state into a store; return them as they were given to it."""
    jobs = []
    for turn, state in enumerate(State):
        variables = (("A", str(turn)),)
        store.environments.save(name_of(variables), variables)
        job = full_job(state, f"job{turn}", 2 * turn, seq=turn + 1)
        jobs.append(replace(job, spec=replace(job.spec, environment=name_of(variables))))
        assert store.restore(jobs[-1:], keep_numbers=True) == set()
    assert untried(jobs) == set()
    return jobs


def test_everything_comes_over_to_a_store_of_the_other_kind(store: Store, other: Store) -> None:
    """From SQLite to MongoDB, and back."""
    wanted = fill(store)
    before = list(store.find(Filter(), EVERYTHING))
    list(migration.migrate(store, other))
    after = list(other.find(Filter(), EVERYTHING))
    for job, ours, theirs in zip(wanted, before, after, strict=True):
        survives(kind_of(store), flat(job), flat(ours))
        survives(kind_of(other), flat(ours), flat(theirs), kind_of(store))


def test_everything_that_is_exported_is_imported(store: Store, tmp_path: Path) -> None:
    wanted = fill(store)
    lines = [json.dumps(line) for line in jsonl.export_lines(store, None, masked=False)]
    with closing(open_store(str(tmp_path / "other.db"))) as other:
        added(other, "first", queue="other")
        intake = jsonl.Intake(other)
        taken = [each for line in lines for each in intake.take("", json.loads(line))]
        assert [each.error for each in (*taken, *intake.finish()) if each.error] == []
        for job in wanted:
            survives("export", flat(at_rest(job)), flat(existing(other, job.id)), kind_of(store))


def at_rest(job: Job) -> Job:
    """Return a job as it is once its worker is gone, and as one must be that has ended."""
    if job.state is State.PROCESSING:
        assert job.cancel_requested
        job = replace(job, state=State.CANCELLED, attempts=job.attempts - 1)
    if job.state not in SETTLED:
        return job
    return replace(job, blocked_by=(), paused=False, suspect=False)
