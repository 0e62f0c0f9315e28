"""The thread that follows a store for the prompt, the live view and the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from queuectl.domain.errors import NotFound, StoreUnavailable
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.state_machine import finish
from queuectl.presentation import follower as follower_module
from queuectl.presentation.follower import Follower
from queuectl.presentation.snapshot import Meter, Snapshot, Wanted, fates, look, read_jobs
from queuectl.queue import Queue, open_queue
from queuectl.system.home import find_location
from tests.cli.harness import Cli, bury, claim_next, run_next
from tests.worker.fleet import eventually

SECONDS = 30.0
NEWEST_TEN = Wanted(groups=((frozenset(), 10),))


@pytest.fixture
def follower() -> Iterator[Follower]:
    """What follows this test's store, hardly ever at rest."""
    follower = Follower(find_location(), Wanted(with_names=True), interval=0.01)
    follower.start()
    yield follower
    follower.end()
    follower.join(SECONDS)
    assert not follower.is_alive()


def seen(follower: Follower, holds: Callable[[Snapshot], object]) -> Snapshot:
    """Wait for a snapshot of which something holds."""
    eventually(lambda: holds(follower.snapshot))
    return follower.snapshot


def test_looking_makes_no_store_and_finds_one_that_is_made_later(
    follower: Follower, home: Path, cli: Cli
) -> None:
    assert follower.first(SECONDS).is_known
    assert not home.exists()
    with pytest.raises(CancelledError):
        follower.ask(Queue.now).result(SECONDS)
    cli.ok("enqueue", "a", "echo a", "--queue", "imports")
    cli.ok("config", "set", "max-retries", "9")
    snapshot = seen(follower, lambda now: now.jobs and now.settings["max_retries"] == 9)
    assert [(job.id, job.state) for job in snapshot.jobs] == [("a", State.PENDING)]
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0))
    seen(follower, lambda now: now.jobs[0].state is State.COMPLETED)


def test_a_store_that_is_gone_is_trouble_until_it_is_back(
    follower: Follower, cli: Cli, home: Path
) -> None:
    cli.ok("enqueue", "a", "true")
    seen(follower, lambda now: now.jobs)
    home.rename(home.with_name("elsewhere"))
    # a look in the middle of which it went says so in other words
    snapshot = seen(follower, lambda now: now.trouble.endswith("queue.db is gone"))
    assert snapshot.jobs, "what was known can still be completed"
    home.with_name("elsewhere").rename(home)
    seen(follower, lambda now: not now.trouble)


def test_a_damaged_store_is_trouble(home: Path, follower: Follower) -> None:
    follower.first(SECONDS)
    home.mkdir()
    (home / "queue.db").write_bytes(b"not a database" * 1000)
    seen(follower, lambda now: "damaged" in now.trouble)


def test_a_refusal_is_for_who_asked_and_a_store_that_fails_is_trouble(
    follower: Follower, cli: Cli
) -> None:
    def fail(_queue: Queue) -> NoReturn:
        raise StoreUnavailable("away")

    cli.ok("init")
    eventually(lambda: not follower.ask(Queue.now).cancelled())
    with pytest.raises(NotFound):
        follower.ask(lambda queue: queue.get("missing")).result(SECONDS)
    troubles = []
    follower.on_look = lambda: troubles.append(follower.snapshot.trouble)
    with pytest.raises(StoreUnavailable):
        follower.ask(fail).result(SECONDS)
    eventually(lambda: "away" in troubles and troubles[-1] == "")
    assert set(troubles) == {"away", ""}


def test_a_slow_store_is_asked_less_often_and_one_that_is_away_is_seen_soon_after_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = [0.0]

    def take_long(*_args: object) -> Snapshot:
        passed[0] += 10.0
        return Snapshot(is_known=True)

    def keep_silent(*_args: object) -> NoReturn:
        passed[0] += 10.0
        raise StoreUnavailable("does not answer")

    monkeypatch.setattr(follower_module, "time", SimpleNamespace(monotonic=lambda: passed[0]))
    with open_queue():
        follower = Follower(find_location(), Wanted())
        for answer, pause in ((take_long, 40.0), (keep_silent, 1.0)):
            monkeypatch.setattr(follower_module, "look", answer)
            follower.wake()
            follower._serve_or_fail()
            assert bool(follower.snapshot.trouble) == (answer is keep_silent)
            assert follower._next_look - passed[0] == pause
        follower._close()


def test_groups_of_jobs_are_read_again_when_a_count_has_changed() -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": f"j{n}", "command": "true"}) for n in range(12)])
        first = look(queue, NEWEST_TEN, Meter())
        assert [job.id for job in first.jobs] == [f"j{n}" for n in range(11, 1, -1)]
        queue.edit("j11", {"command": "false"})
        assert look(queue, NEWEST_TEN, Meter(), first).jobs is first.jobs
        assert look(queue, NEWEST_TEN, Meter()).jobs[0].spec.command == "false"
        queue.cancel("j11")
        assert look(queue, NEWEST_TEN, Meter(), first).jobs[0].state is State.CANCELLED


def test_a_job_that_ends_while_jobs_are_read_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true"})])
        running, find = claim_next(queue), queue.find

        def find_and_end(chosen: Filter, page: Page) -> Iterator[Job]:
            found = list(find(chosen, page))
            if State.PROCESSING in chosen.states:
                assert queue.store.commit(finish(running, Outcome(exit_code=0), queue.now()))
            return iter(found)

        monkeypatch.setattr(queue, "find", find_and_end)
        jobs = list(read_jobs(queue, Wanted()))
    assert [(job.id, job.state) for job in jobs] == [("a", State.COMPLETED)]


def test_parents_are_looked_up_before_the_screen_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    bury("a1")
    with open_queue() as queue:
        for name, parent in (("b1", "a1"), ("c1", "b1")):
            fields = {"id": name, "command": "true", "after": [parent]}
            assert not queue.enqueue([queue.request(fields)])[0].error
        states, roots = fates(queue, [queue.get("c1"), queue.get("b1")])
        monkeypatch.setattr("queuectl.presentation.snapshot._MOST_PARENTS", 0)
        assert fates(queue, [queue.get("b1")]) == ({"a1": State.PROCESSING}, {"a1": None})
        monkeypatch.undo()
        queue.delete("a1")
        roots_then = fates(queue, [queue.get("c1"), queue.get("b1")])[1]
    assert states == {"a1": State.DEAD, "b1": State.PENDING}
    assert roots == {"a1": None, "b1": "a1 is dead"}
    assert roots_then == {"a1": None, "b1": "a1 was deleted; edit b1"}
