"""Adding, finding, changing and counting jobs, on every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.job import State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Filter, Page
from queuectl.domain.times import UTC
from queuectl.stores.base import Store
from queuectl.stores.mongo.store import MongoStore
from queuectl.stores.sqlite import writes
from tests.stores.conftest import OpenStore
from tests.stores.kit import (
    EVERYTHING,
    FAILURE,
    SUCCESS,
    added,
    buried,
    claimed,
    claimed_ids,
    existing,
    faults,
    listed,
    new_job,
    request,
    settled,
)

HOUR = timedelta(hours=1)


def test_a_job_comes_back_as_it_was_added(store: Store) -> None:
    job = new_job(store, "job1", store.now() + HOUR, queue="gpu", priority=-7, timeout=1.5)
    store.insert([job])
    kept = existing(store, "job1")
    assert kept.seq > 0
    assert kept == replace(job, seq=kept.seq)


@pytest.mark.parametrize(
    "spec",
    [
        {"command": ("$set", "two words", "", "a.b", "ü", "--")},
        {"command": "echo '$HOME' \"x\" \\ ; true\n# été 漢字 🎉"},
        {"env": (("$A.b", "$where"), ("EMPTY", ""), ("A", "1\n2"), ("A.", "ü"))},
        {"labels": ("$in", "a.b", "nightly run", "%", "_")},
        {"cwd": "/tmp/$x.y ü", "generated_id": True, "backoff_base": 1.5, "backoff_cap": 0.0},
    ],
)
def test_text_of_any_kind_is_kept_to_the_letter(store: Store, spec: dict[str, Any]) -> None:
    job = new_job(store, "job1", **spec)
    store.insert([job])
    assert existing(store, "job1").spec == job.spec
    assert next(iter(store.find(Filter(), Page()))).spec == job.spec
    assert claimed(store).spec == job.spec


def test_output_of_any_kind_is_kept_to_the_letter(store: Store) -> None:
    text = "$x \x00 a.b 漢字\r\n\x1b[1m" + "x" * 65_536
    added(store, "job1")
    outcome = replace(FAILURE, stdout=text, error="$set: ü")
    assert settled(store, claimed(store), outcome).outcome == outcome


def test_times_are_utc_with_whole_milliseconds(store: Store) -> None:
    now = store.now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    job = added(store, "job1", now + timedelta(milliseconds=1001))
    assert job.run_at == now + timedelta(milliseconds=1001)
    assert job.run_at.utcoffset() == timedelta(0)


def test_a_job_that_is_not_there_is_none(store: Store) -> None:
    assert store.get("job1") is None


def test_an_id_that_exists_is_refused_and_the_others_are_stored(store: Store) -> None:
    first = added(store, "job2", command="first")
    batch = [new_job(store, f"job{n}", command="second") for n in (1, 2, 3)]
    assert store.insert(batch) == {"job2"}
    assert listed(store) == ["job2", "job1", "job3"]
    assert existing(store, "job2") == first


def test_the_first_of_two_with_one_id_is_stored(store: Store) -> None:
    batch = [new_job(store, "a", command="1"), new_job(store, "a", command="2")]
    assert store.insert(batch) == {"a"}
    assert existing(store, "a").spec.command == "1"


def test_an_id_in_the_dead_letter_queue_is_refused(store: Store) -> None:
    buried(store, "job1")
    assert store.insert([new_job(store, "job1")]) == {"job1"}
    assert existing(store, "job1").state is State.DEAD


def test_an_atomic_batch_with_an_id_that_exists_stores_nothing(store: Store) -> None:
    added(store, "job2")
    batch = [new_job(store, f"job{n}") for n in (1, 2, 3)]
    assert store.insert(batch, atomic=True) == {"job2"}
    assert listed(store) == ["job2"]
    assert store.counts().total == 1
    assert store.insert([batch[0], batch[2]], atomic=True) == frozenset()


def test_an_atomic_batch_with_an_id_twice_stores_nothing(store: Store) -> None:
    batch = [new_job(store, job_id) for job_id in ("a", "b", "a")]
    assert store.insert(batch, atomic=True) == {"a"}
    assert listed(store) == []


def test_an_atomic_batch_can_be_claimed_in_its_order(store: Store) -> None:
    later_on = store.now() + HOUR
    batch = [new_job(store, job_id) for job_id in ("c", "a", "b")]
    assert store.insert([*batch, new_job(store, "d", later_on)], atomic=True) == frozenset()
    assert listed(store) == ["c", "a", "b", "d"]
    assert store.next_due() == later_on
    assert store.counts().of(State.PENDING) == 4
    assert claimed_ids(store, 3) == ["c", "a", "b"]


def test_nothing_to_add_is_nothing_added(store: Store) -> None:
    assert store.insert([]) == frozenset()
    assert store.insert([], atomic=True) == frozenset()


def test_a_batch_of_more_than_one_piece_is_stored_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = 20
    monkeypatch.setattr(writes, "BATCH", piece)
    if isinstance(store, MongoStore):
        store.link.inserts.size = piece
    batch = [new_job(store, f"job{n}", store.now() + HOUR) for n in range(2 * piece + 5)]
    assert store.insert(batch) == frozenset()
    assert listed(store) == [job.id for job in batch]


def test_a_batch_of_jobs_that_differ_in_everything_is_stored_to_the_letter(store: Store) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"command": ("echo", "a b"), "queue": "other", "priority": 5},
        {"env": (("A", "1"),), "labels": ("x",), "timeout": 1.5, "cwd": "/tmp", "slots": 2},
        {"after": ("job0",), "unique": "key", "generated_id": True, "clean_env": True},
    ]
    later = store.now() + timedelta(hours=1)
    batch = [
        new_job(store, f"job{n}", later if n % 3 else None, **kinds[n % 4 if n < 120 else 1])
        for n in range(250)
    ]
    batch[7:120:4] = [replace(job, spec=replace(job.spec, unique=None)) for job in batch[7:120:4]]
    assert store.insert(batch) == frozenset()
    found = list(store.find(Filter(), Page()))
    assert [job.spec for job in found] == [job.spec for job in batch]
    assert [job.run_at for job in found] == [job.run_at for job in batch]
    assert [job.blocked_by for job in found] == [job.blocked_by for job in batch]


def test_generated_ids_are_found_by_their_beginning(store: Store) -> None:
    for job_id in ("ab1", "ab2", "ab%", "ac1", "a.1"):
        added(store, job_id, generated_id=True)
    added(store, "ab9")
    assert sorted(store.generated_ids("ab", 10)) == ["ab%", "ab1", "ab2"]
    assert store.generated_ids("a.", 10) == ["a.1"]
    assert store.generated_ids("ab%", 10) == ["ab%"]
    assert store.generated_ids("A", 10) == []
    assert len(store.generated_ids("a", 2)) == 2


def test_a_dead_job_is_found_by_the_beginning_of_its_generated_id(store: Store) -> None:
    buried(store, "abc", generated_id=True)
    assert store.generated_ids("ab", 10) == ["abc"]


def test_a_listing_is_in_order_of_arrival_not_of_ids(store: Store) -> None:
    for job_id in ("job2", "job10", "job1"):
        added(store, job_id, priority=len(job_id))
    assert listed(store) == ["job2", "job10", "job1"]


def test_a_listing_has_dead_jobs_in_their_place(store: Store) -> None:
    for job_id in ("a", "b", "c"):
        added(store, job_id)
    settled(store, claimed(store, only="b"), FAILURE)
    assert listed(store) == ["a", "b", "c"]
    assert [job.state for job in store.find(Filter(), Page())][1] is State.DEAD


def test_a_listing_reads_output_and_history_only_when_asked(store: Store) -> None:
    for job_id in ("done", "dead"):
        added(store, job_id)
    settled(store, claimed(store, only="done"), replace(FAILURE, exit_code=0, error=None))
    settled(store, claimed(store, only="dead"), FAILURE)
    for job in store.find(Filter(), Page()):
        assert job.outcome is not None
        assert (job.outcome.stderr, job.history) == ("", ())
    for job in store.find(Filter(), EVERYTHING):
        assert job == existing(store, job.id)
        assert len(job.history) == 1


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_follow_one_another_without_gap_or_repeat(store: Store, newest_first: bool) -> None:
    store.insert([new_job(store, f"job{n}") for n in range(7)])
    settled(store, claimed(store, only="job3"), FAILURE)
    seen = []
    after = 0
    page = Page(limit=2, newest_first=newest_first)
    while found := list(store.find(Filter(), replace(page, after_seq=after))):
        seen += [job.id for job in found]
        after = found[-1].seq
    expected = [f"job{n}" for n in range(7)]
    assert seen == (expected[::-1] if newest_first else expected)
    assert listed(store, page=Page(limit=0)) == []


def test_the_newest_of_some_states_are_listed_first(store: Store) -> None:
    for job_id in ("a", "b", "c", "d"):
        added(store, job_id)
    settled(store, claimed(store, only="b"), FAILURE)
    chosen = Filter(states=frozenset({State.DEAD, State.PENDING}))
    assert listed(store, chosen, Page(limit=3, newest_first=True)) == ["d", "c", "b"]
    assert listed(store, Filter(states=frozenset({State.DEAD})), Page(newest_first=True)) == ["b"]


def test_filters_restrict_together(store: Store) -> None:
    added(store, "a", queue="x", labels=("l1", "l2"))
    added(store, "b", queue="y", labels=("l1",))
    added(store, "c", queue="x")
    buried(store, "d", queue="x", labels=("l1",))
    assert listed(store, Filter(queue="x")) == ["a", "c", "d"]
    assert listed(store, Filter(labels=("l1",))) == ["a", "b", "d"]
    assert listed(store, Filter(labels=("l2", "l1"))) == ["a"]
    assert listed(store, Filter(states=frozenset({State.DEAD}))) == ["d"]
    assert listed(store, Filter(frozenset({State.DEAD, State.PENDING}), "x")) == ["a", "c", "d"]
    assert listed(store, Filter(frozenset({State.PENDING}), "x", ("l1",))) == ["a"]
    assert listed(store, Filter(states=frozenset({State.CANCELLED}))) == []


def test_a_label_matches_whole_and_not_in_part(store: Store) -> None:
    added(store, "a", labels=("night", 'quo"te', "50%"))
    assert listed(store, Filter(labels=("nigh",))) == []
    assert listed(store, Filter(labels=('quo"te',))) == ["a"]
    assert listed(store, Filter(labels=("5_%",))) == []


def test_jobs_unchanged_since_an_instant_are_those_changed_before_it(store: Store) -> None:
    job = buried(store, "a")
    changed = job.updated_at
    assert listed(store, Filter(unchanged_since=changed)) == []
    assert listed(store, Filter(unchanged_since=changed + timedelta(milliseconds=1))) == ["a"]


def test_jobs_changed_since_an_instant_are_those_changed_then_or_later(store: Store) -> None:
    changed = buried(store, "a").updated_at
    assert listed(store, Filter(changed_since=changed)) == ["a"]
    later = changed + timedelta(milliseconds=1)
    assert listed(store, Filter(changed_since=later)) == []
    assert listed(store, Filter(changed_since=changed, unchanged_since=later)) == ["a"]
    assert listed(store, Filter(changed_since=changed, unchanged_since=changed)) == []


def test_a_text_is_found_in_id_command_and_last_error_of_living_and_dead(store: Store) -> None:
    added(store, "night-1", command="./Backup.sh 50%")
    added(store, "b", command=("printf", "%s", "Ärger über (.*)"))
    buried(store, "c", command="./backup.sh")
    buried(store, "night-2")
    assert listed(store, Filter(texts=("BACKUP",))) == ["night-1", "c"]
    assert listed(store, Filter(texts=("night",))) == ["night-1", "night-2"]
    assert listed(store, Filter(texts=("exit CODE 1",))) == ["c", "night-2"]
    assert listed(store, Filter(texts=("ärger ÜBER (.*)",))) == ["b"]
    assert listed(store, Filter(texts=("50%", "night"))) == ["night-1"]
    assert listed(store, Filter(texts=("5_%",))) == listed(store, Filter(texts=("\\%",))) == []
    assert listed(store, Filter(frozenset({State.DEAD}), texts=("backup",))) == ["c"]


def test_jobs_are_found_by_what_their_last_run_ended_with(store: Store) -> None:
    outcomes = {
        "fine": SUCCESS,
        "three": replace(FAILURE, exit_code=3),
        "killed": replace(FAILURE, exit_code=None, signal=9),
        "late": replace(FAILURE, exit_code=None, signal=15, timed_out=True),
    }
    for job_id, outcome in outcomes.items():
        added(store, job_id)
        settled(store, claimed(store, only=job_id), outcome)
    added(store, "new")
    for code, ids in ((0, ["fine"]), (3, ["three"]), (137, ["killed"]), (124, ["late"]), (9, [])):
        assert listed(store, Filter(exit_code=code)) == ids


def test_jobs_are_found_by_the_one_that_they_were_to_follow(store: Store) -> None:
    for name in ("a", "a2"):
        added(store, name)
    added(store, "b", after=("a",))
    added(store, "c", after_any=("a2", "a"))
    added(store, "d", after_fail=("a2",))
    assert listed(store, Filter(parent="a")) == ["b", "c"]
    assert listed(store, Filter(parent="A")) == []
    settled(store, claimed(store, only="a"))
    assert listed(store, Filter(parent="a")) == ["b", "c"]
    buried(store, "e", after=("a",))
    assert listed(store, Filter(parent="a")) == ["b", "c", "e"]
    assert listed(store, Filter(frozenset({State.DEAD}), parent="a")) == ["e"]


def test_a_page_of_few_that_fit_among_many_is_full_and_goes_on(store: Store) -> None:
    for n in range(6):
        buried(store, f"job{n}", command="match" if n % 2 else "true")
    page = Page(limit=2)
    assert listed(store, Filter(texts=("match",)), page) == ["job1", "job3"]
    rest = replace(page, after_seq=existing(store, "job3").seq)
    assert listed(store, Filter(texts=("match",)), rest) == ["job5"]


def test_counts_tell_states_and_queues_apart(store: Store) -> None:
    added(store, "a", queue="x")
    added(store, "b", queue="x")
    added(store, "c", queue="y")
    buried(store, "d", queue="y")
    settled(store, claimed(store, only="b"))
    counts = store.counts()
    assert {
        queue: {state: n for state, n in states.items() if n}
        for queue, states in counts.by_queue.items()
    } == {
        "x": {State.PENDING: 1, State.COMPLETED: 1},
        "y": {State.PENDING: 1, State.DEAD: 1},
    }
    assert counts.total == 4


def test_an_empty_store_counts_nothing(store: Store) -> None:
    assert store.counts().total == 0
    assert listed(store) == []
    assert store.next_due() is None
    assert faults(store) == []


def test_a_waiting_job_is_cancelled_at_once(store: Store) -> None:
    job = added(store, "a")
    assert store.commit(state_machine.cancel(job, store.now()))
    assert existing(store, "a").state is State.CANCELLED
    assert store.claim(request()) is None


def test_a_job_that_changed_since_it_was_read_is_not_changed_again(store: Store) -> None:
    job = added(store, "a")
    claimed(store)
    assert not store.commit(state_machine.cancel(job, store.now()))
    assert not store.commit(state_machine.delete(job))
    assert existing(store, "a").state is State.PROCESSING


def test_a_new_job_with_the_id_of_a_deleted_one_is_another_job(store: Store) -> None:
    old = added(store, "a")
    assert store.commit(state_machine.delete(old))
    assert store.get("a") is None
    new = added(store, "a")
    assert new.seq > old.seq
    assert not store.commit(state_machine.cancel(old, store.now()))
    assert existing(store, "a") == new


def test_a_replaced_job_keeps_its_place_and_its_history(store: Store) -> None:
    added(store, "a")
    added(store, "b")
    done = settled(store, claimed(store, only="a"))
    spec = Spec("a", "echo new", queue="x", priority=3)
    change = state_machine.replace_job(done, spec, None, store.now())
    assert store.commit(change)
    assert existing(store, "a") == change.after
    assert len(existing(store, "a").history) == 1
    assert listed(store) == ["a", "b"]
    assert claimed(store, "x").id == "a"


def test_how_long_each_run_took_is_kept_and_may_be_unknown(store: Store) -> None:
    added(store, "a", max_retries=2, backoff_base=0)
    settled(store, claimed(store), FAILURE)
    store.make_due_claimable()
    done = settled(store, claimed(store), SUCCESS)
    assert [run.duration for run in done.history] == [FAILURE.duration, SUCCESS.duration]
    unknown = replace(done.history[0], duration=None)
    whole = replace(done, spec=replace(done.spec, id="b"), history=(unknown, done.history[1]))
    assert store.restore([whole]) == frozenset()
    assert [run.duration for run in existing(store, "b").history] == [None, SUCCESS.duration]


def test_an_edited_job_waits_for_its_new_time(store: Store) -> None:
    job = added(store, "a")
    later_on = store.now() + HOUR
    spec = replace(job.spec, priority=5, max_retries=4)
    assert store.commit(state_machine.edit(job, spec, later_on, store.now()))
    assert store.claim(request()) is None
    assert store.next_due() == later_on
    back = state_machine.edit(existing(store, "a"), spec, store.now(), store.now())
    assert store.commit(back)
    assert claimed(store).spec == spec


def test_a_second_opening_sees_what_the_first_wrote(opened: OpenStore) -> None:
    job = added(opened(), "a")
    assert existing(opened(), "a") == job


def test_closing_twice_is_harmless(opened: OpenStore) -> None:
    store = opened()
    store.close()
    store.close()


def test_a_sound_store_is_sound_at_a_glance_and_needs_no_recovery(store: Store) -> None:
    job = added(store, "a")
    store.recover()
    store.recover(0)
    assert store.check(quick=True) == []
    assert existing(store, "a") == job
