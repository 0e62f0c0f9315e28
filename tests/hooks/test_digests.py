"""Digests: many events become one delivery with counts, and whoever is killed, none is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain import state_machine
from queuectl.domain.hook_messages import Facts, details, sentence, severity
from queuectl.domain.hooks import DIGEST
from queuectl.domain.job import Job, State
from queuectl.domain.queue_limits import DELIVERY_QUEUE, delivery_queue
from queuectl.domain.times import UTC
from queuectl.queue import digests
from queuectl.queue.events import process_all_events
from queuectl.queue.hook_deliveries import digest_job, enqueue_deliveries, facts_of
from queuectl.stores.base import Store
from tests.cli.harness import environment
from tests.hooks.kit import deliveries, ending, hook, kept
from tests.hooks.receiver import Receiver
from tests.stores.kit import buried
from tests.worker.fleet import Fleet, eventually

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = 3600.0


def windows(store: Store) -> list[Job]:
    """Return the digests there are."""
    return [job for job in deliveries(store) if facts_of(job)["event"] == DIGEST]


def collected(store: Store) -> list[str]:
    """Return the jobs whose ends wait for a digest."""
    return [facts_of(job)["job"]["id"] for job in deliveries(store) if job.paused]


def due_now(store: Store, job: Job) -> None:
    """Let the window of a digest be over."""
    now = store.now()
    assert store.commit(state_machine.edit(job, job.spec, now, now))


def test_what_happens_within_a_window_waits_for_one_delivery_at_its_end(store: Store) -> None:
    kept(store, events=("dead",), digest=HOUR)
    before = store.now()
    for number in range(3):
        buried(store, f"job{number}")
    process_all_events(store)
    assert collected(store) == ["job0", "job1", "job2"]
    (window,) = windows(store)
    assert not window.paused
    assert before < window.run_at <= store.now() + timedelta(seconds=HOUR)
    assert window.run_at.timestamp() % HOUR == 0
    assert not store.has_ready_deliveries(), "nothing is told before"
    facts, members = digests.gathered(store, "a", facts_of(window))
    assert facts is not None
    assert (facts["total"], facts["counts"], facts["queues"]) == (3, {"dead": 3}, {"default": 3})
    assert [each["id"] for each in facts["first"]] == ["job0", "job1", "job2"]
    digests.forget(store, hook(digest=HOUR), members)
    assert deliveries(store) == [window]
    assert digests.gathered(store, "a", facts_of(window)) == (None, [])


def test_events_that_are_told_of_again_after_a_crash_are_counted_once(store: Store) -> None:
    kept(store, events=("dead",), digest=HOUR)
    ends = [ending(store.now(), job_id=f"job{number}") for number in range(4)]
    enqueue_deliveries(store, ends[:3])
    enqueue_deliveries(store, ends)
    assert collected(store) == ["job0", "job1", "job2", "job3"]


def test_one_event_alone_is_told_as_without_a_digest(store: Store) -> None:
    kept(store, events=("dead",), digest=HOUR)
    buried(store, "job1")
    process_all_events(store)
    facts, _ = digests.gathered(store, "a", facts_of(windows(store)[0]))
    assert facts is not None
    assert (facts["event"], facts["job"]["id"]) == ("dead", "job1")


def test_of_a_flood_what_one_digest_cannot_tell_comes_with_another_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "MOST_EVENTS", 3)
    made = kept(store, events=("dead",), digest=HOUR)
    enqueue_deliveries(store, [ending(store.now(), job_id=f"job{n}") for n in range(5)])
    (window,) = windows(store)
    _, members = digests.gathered(store, "a", facts_of(window))
    assert len(members) == 3
    digests.forget(store, made, members)
    assert collected(store) == ["job3", "job4"]
    (other,) = [job for job in windows(store) if job.id != window.id]
    assert other.run_at <= store.now()


DIE_AT_INSERT = """
import os, signal, sys
from queuectl.stores import open_store
from queuectl.queue.events import process_all_events
store, left = open_store(sys.argv[1]), [int(sys.argv[2])]
insert = store.insert
def dying(*args, **more):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return insert(*args, **more)
store.insert = dying
process_all_events(store)
"""


@pytest.mark.parametrize(("fatal", "stored"), [(1, 0), (2, 2)])
def test_who_is_killed_between_the_events_and_their_digest_loses_none(
    store: Store, store_url: str, fatal: int, stored: int
) -> None:
    kept(store, events=("dead",), digest=HOUR)
    buried(store, "job1")
    buried(store, "job2")
    program = [sys.executable, "-c", DIE_AT_INSERT, store_url, str(fatal)]
    ended = subprocess.run(program, env=environment(), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (len(collected(store)), windows(store)) == (stored, [])
    process_all_events(store)
    assert collected(store) == ["job1", "job2"]
    assert len(windows(store)) == 1


def test_workers_that_are_killed_within_the_window_lose_nothing_and_one_message_tells_all(
    either: Fleet, receiver: Receiver
) -> None:
    either.queue.hooks.add(
        hook("told", address=receiver.url, events=("dead",), digest=7 * 24 * HOUR)
    )
    either.start()
    for number in range(7):
        either.ran("exit 3", id=f"job{number}")
    store = either.queue.store
    eventually(lambda: len(collected(store)) == 7)
    eventually(lambda: windows(store))
    either.kill()
    (window,) = windows(store)
    receiver.answers = [503]
    due_now(store, window)
    either.start()
    done = either.settled(window.id)
    assert done.state is State.COMPLETED
    refused, told = (post.json for post in receiver.posts)
    assert refused == told
    assert (told["event"], told["total"], told["counts"]) == ("digest", 7, {"dead": 7})
    assert [each["id"] for each in told["first"]] == [f"job{number}" for number in range(5)]
    assert "7 events (7 dead)" in told["text"]
    assert collected(store) == []


def test_a_second_digest_finds_nothing_left_and_tells_nothing(
    either: Fleet, receiver: Receiver
) -> None:
    made = hook("told", address=receiver.url, events=("dead",), digest=HOUR)
    either.queue.hooks.add(made)
    store = either.queue.store
    now = store.now()
    enqueue_deliveries(store, [ending(now, job_id="job1"), ending(now, job_id="job2")])
    first = windows(store)[0]
    second = digest_job(made, now, now)
    store.insert([second])
    due_now(store, first)
    either.start()
    ends = [either.settled(job.id) for job in (first, second)]
    assert [job.state for job in ends] == [State.COMPLETED, State.COMPLETED]
    (post,) = receiver.posts
    assert post.json["total"] == 2


def test_deliveries_of_a_digest_go_one_after_the_other_and_go_with_their_hook(
    either: Fleet,
) -> None:
    hooks = either.queue.hooks
    hooks.add(hook("told", events=("dead",), digest=HOUR))
    store = either.queue.store
    queue = delivery_queue("told")
    store.set_queue_limit(DELIVERY_QUEUE, limit=4)
    hooks.decide(limit=4)
    assert store.queue_limits()[queue].limit == 1
    enqueue_deliveries(store, [ending(store.now()), ending(store.now())])
    assert [job.paused for job in hooks.deliveries("told", 10)] == [False]
    assert not hooks.are_stranded(), "nothing is due"
    hooks.add(hook("told", events=("dead",)), replacing=True)
    assert store.queue_limits()[queue].limit == 4
    hooks.remove("told")
    assert collected(store) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--on", "dead", "--digest", "soon"), "soon"),
        (("--on", "dead", "--digest", "10ms"), "1 second to 1 week"),
        (("--on", "dead", "--digest", "8d"), "1 second to 1 week"),
        (("--when", "dlq-size > 3", "--digest", "5m"), "--digest goes with events"),
    ],
)
def test_a_digest_that_cannot_be_is_refused(
    cli: Any, options: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "home"))
    line = cli.refused(2, "hook", "add", "a", *options, "--url", "http://127.0.0.1:9/")
    assert why in line


def test_a_digest_is_shown_with_its_hook(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "home"))
    cli.ok("hook", "add", "a", "--on", "dead,failed", "--digest", "90m", "--command", "true")
    assert "dead, failed, each 1h30m" in cli.ok("hook", "list").out
    assert "1h30m" in cli.ok("hook", "show", "a").out
    assert cli.ok("hook", "list", "--json").json[0]["digest"] == 5400


def test_a_digest_says_in_plain_words_what_it_tells() -> None:
    first = [{"event": "dead", "at": "t", "id": f"job{n}", "text": f"job{n} died"} for n in (1, 2)]
    facts: Facts = {
        "event": "digest", "at": "t", "window": 300, "total": 1202, "first": first,
        "counts": {"dead": 2, "failed": 1200},
    }  # fmt: skip
    assert sentence(facts) == "1,202 events (2 dead, 1,200 failed): job1, job2 …"
    assert details(facts) == "job1 died\njob2 died\nand 1,200 more"
    assert severity(facts) == "failure"
    assert sentence({"event": "digest", "at": "t", "window": 300}) == "a digest, due t"
