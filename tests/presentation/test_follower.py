"""What the live view reads of the store while it changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.state_machine import finish
from queuectl.presentation.follower import Feed, fates, latest
from queuectl.presentation.snapshot import Wanted
from queuectl.queue import open_queue
from queuectl.system.home import find_location
from tests.cli.harness import bury, claim_next
from tests.worker.fleet import eventually


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
        shown = list(latest(queue, Wanted()))
    assert [(job.id, job.state) for job in shown] == [("a", State.COMPLETED)]


def test_a_feed_makes_no_store_and_sees_one_that_is_made_later() -> None:
    place = find_location()
    feed = Feed(place, Wanted(), lambda: None, interval=0.01)
    feed.start()
    try:
        eventually(lambda: feed.seen.snapshot is not None)
        assert not place.home.root.exists()
        with open_queue() as queue:
            queue.enqueue([queue.request({"id": "a", "command": "true"})])
        eventually(lambda: jobs_in(feed) == ["a"])
    finally:
        feed.end()
        feed.join()


def jobs_in(feed: Feed) -> list[str]:
    """Return the ids of the jobs that a feed has seen last."""
    return [job.id for job in feed.seen.snapshot.jobs] if feed.seen.snapshot else []


def test_parents_are_looked_up_before_the_screen_is_drawn() -> None:
    bury("a1")
    with open_queue() as queue:
        for name, parent in (("b1", "a1"), ("c1", "b1")):
            fields = {"id": name, "command": "true", "after": [parent]}
            assert not queue.enqueue([queue.request(fields)])[0].error
        states, roots = fates(queue, [queue.get("c1"), queue.get("b1")])
        queue.delete("a1")
        roots_then = fates(queue, [queue.get("c1"), queue.get("b1")])[1]
    assert states == {"a1": State.DEAD, "b1": State.PENDING}
    assert roots == {"a1": None, "b1": "a1 is dead"}
    assert roots_then == {"a1": None, "b1": "a1 was deleted; edit b1"}


def test_no_more_than_some_parents_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queuectl.presentation.follower._MOST_PARENTS", 0)
    bury("a1")
    with open_queue() as queue:
        fields = {"id": "b1", "command": "true", "after": ["a1"]}
        queue.enqueue([queue.request(fields)])
        assert fates(queue, [queue.get("b1")]) == ({"a1": State.PROCESSING}, {"a1": None})
