"""The snapshot that the prompt draws and completes from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from prompt_toolkit.completion import CompleteEvent, Completion
from prompt_toolkit.document import Document

from queuectl.cli.session import Session
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Outcome, State
from queuectl.domain.query import Counts
from queuectl.queue import open_queue
from queuectl.shell import snapshot as live_module
from queuectl.shell.catalog import knowing
from queuectl.shell.completer import LineCompleter
from queuectl.shell.followed_jobs import Followed, notices, open_followed
from queuectl.shell.snapshot import JobLine, Live, Snapshot
from queuectl.system.home import Location, find_location
from tests.cli.harness import Cli, bury, run_next

SECONDS = 30.0


class Watched:
    """A live view whose snapshots can be waited for."""

    def __init__(self, place: Location) -> None:
        self.followed = Followed()
        self.live = Live(place, self.followed)
        self._changed = threading.Condition()
        self.live.on_change = self._notify
        self.followed.on_notice = self._notify

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[Snapshot], object]) -> Snapshot:
        """Return the first snapshot of which something holds."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.live.snapshot), SECONDS)
        return self.live.snapshot


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A live view of this test's home."""
    made = Watched(find_location())
    made.live.start()
    yield made
    made.live.stop()


def completed(session: Session, line: str) -> list[str]:
    """Return what a line may go on with."""
    event = CompleteEvent(completion_requested=True)
    return [
        found.text for found in LineCompleter(session.fork).get_completions(Document(line), event)
    ]


def test_a_search_during_which_something_was_learnt_is_made_again() -> None:
    live = Live(find_location(), Followed())
    searches: list[Session] = []

    def session() -> Session:
        if searches:
            live.snapshot = Snapshot(jobs=(JobLine("a", State.PENDING, "pending     true"),))
        searches.append(knowing(Session(), live, may_ask=False).fork())
        return searches[-1]

    async def found() -> list[str]:
        completer = LineCompleter(session, lambda: bool(searches))
        document, event = Document("cancel "), CompleteEvent(completion_requested=True)
        return [each.text async for each in completer.get_completions_async(document, event)]

    assert "a" in asyncio.run(found())
    assert len(searches) == 2


def test_looking_makes_neither_home_nor_store(watched: Watched, home: Path) -> None:
    watched.wait_until(lambda snapshot: snapshot.is_known)
    assert not home.exists()


def test_a_snapshot_follows_the_store(watched: Watched, cli: Cli) -> None:
    watched.wait_until(lambda snapshot: snapshot.is_known)
    cli.ok("enqueue", "a", "echo a", "--queue", "imports")
    cli.ok("config", "set", "max-retries", "9")
    snapshot = watched.wait_until(
        lambda snapshot: snapshot.jobs and snapshot.settings["max_retries"] == 9
    )
    assert snapshot.jobs == (JobLine("a", State.PENDING, "pending     echo a"),)
    assert snapshot.queues == (("imports", "1 job, 1 pending"),)
    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0))
    watched.wait_until(lambda snapshot: snapshot.jobs[0].state is State.COMPLETED)


def test_a_store_that_is_gone_is_trouble_until_it_is_back(
    watched: Watched, cli: Cli, home: Path
) -> None:
    cli.ok("enqueue", "a", "true")
    watched.wait_until(lambda snapshot: snapshot.jobs)
    home.rename(home.with_name("elsewhere"))
    # a look in the middle of which it went says so in other words
    snapshot = watched.wait_until(lambda snapshot: snapshot.trouble.endswith("queue.db is gone"))
    assert snapshot.jobs, "what was known can still be completed"
    home.with_name("elsewhere").rename(home)
    watched.wait_until(lambda snapshot: not snapshot.trouble)


def test_a_store_that_kept_silent_for_long_is_seen_soon_after_it_is_back(
    monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    cli.ok("enqueue", "a", "true")
    live = Live(find_location(), Followed())
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: passed[0])
    monkeypatch.setattr("queuectl.shell.snapshot.time", clock)
    live._look_and_plan()

    def keep_silent(_place: Location) -> NoReturn:
        passed[0] += 10.0
        raise StoreUnavailable("does not answer")

    with monkeypatch.context() as away:
        away.setattr(live_module, "open_existing", keep_silent)
        live._close()
        live._look_and_plan()
    assert live.snapshot.trouble
    assert live._next_look - passed[0] <= live_module.REFRESH_SECONDS
    live._look_and_plan()
    assert not live.snapshot.trouble
    live._close()


def test_a_damaged_store_is_trouble(home: Path, watched: Watched) -> None:
    watched.wait_until(lambda snapshot: snapshot.is_known)
    home.mkdir()
    (home / "queue.db").write_bytes(b"not a database" * 1000)
    watched.wait_until(lambda snapshot: "damaged" in snapshot.trouble)


def test_only_so_many_jobs_are_kept_and_the_others_are_looked_up(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "_KEPT", ((None, 10),))
    monkeypatch.setattr(live_module, "LOOKUP_SECONDS", SECONDS)
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": f"job{n:02}", "command": "true"}) for n in range(50)])
    snapshot = watched.wait_until(lambda snapshot: snapshot.jobs and snapshot.is_partial)
    assert [line.id for line in snapshot.jobs] == [f"job{n}" for n in range(49, 39, -1)]
    session = knowing(Session(), watched.live)
    assert completed(session, "show job0") == [f"job{n:02}" for n in range(9, -1, -1)]


def test_completing_never_opens_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> NoReturn:
        raise AssertionError("the store was opened")

    monkeypatch.setattr("queuectl.queue.open_store", refuse)
    monkeypatch.setattr("queuectl.queue.open_existing", refuse)
    monkeypatch.setattr("queuectl.stores.open_existing", refuse)
    live = Live(find_location(), Followed())
    lines = tuple(JobLine(f"job{n}", State.PENDING, "pending     true") for n in range(1000))
    counts = Counts({"default": {State.PENDING: 100_000}})
    live.snapshot = Snapshot(is_known=True, counts=counts, jobs=lines)
    session = knowing(Session(), live, may_ask=False)
    assert completed(session, "show job99") == ["job99", *(f"job{n}" for n in range(990, 1000))]
    assert completed(session, "show nothing") == []
    assert completed(session, "list --home elsewhere show job99") == []
    assert completed(session, "config get max_r") == ["max_retries"]


def test_jobs_on_the_line_are_not_offered_again() -> None:
    live = Live(find_location(), Followed())
    lines = tuple(JobLine(word, State.PENDING, "pending  true") for word in ("job1", "job2"))
    live.snapshot = Snapshot(is_known=True, jobs=lines)
    session = knowing(Session(), live)
    assert completed(session, "cancel job1 j") == ["job2"]
    assert completed(session, "dlq retry j") == []


def test_the_end_of_jobs_that_were_enqueued_here_is_told(watched: Watched) -> None:
    bury("before")
    with open_followed(find_location(), watched.followed) as queue:
        for job_id, command in (("good", "true"), ("bad", "false")):
            fields = {"id": job_id, "command": command, "max_retries": 1, "priority": "high"}
            request = queue.request(fields)
            queue.enqueue([request])
        queue.retry_dead("before")
    told: list[str] = []

    def has_told(number: int) -> Callable[[Snapshot], bool]:
        def check(_snapshot: Snapshot) -> bool:
            told.extend(line for _, line in watched.followed.take_notices())
            return len(told) >= number

        return check

    with open_queue() as queue:
        run_next(queue, Outcome(exit_code=0, duration=5.04))
        run_next(queue, Outcome(exit_code=1, error="Exit code 1"))
        watched.wait_until(has_told(2))
        queue.cancel("before")
    watched.wait_until(has_told(3))
    assert told == [
        "good completed in 5.0 s",
        "bad dead: Exit code 1; next: logs bad, retry bad",
        "before cancelled",
    ]


def test_an_end_that_was_looked_at_is_not_told(watched: Watched) -> None:
    with open_followed(find_location(), watched.followed) as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true"})])
        run_next(queue, Outcome(exit_code=0))
        assert queue.get("a").state is State.COMPLETED
    assert watched.followed.some() == []


def test_many_ends_are_told_in_one_line_a_state() -> None:
    with open_queue() as queue:
        names = [f"job{n}" for n in range(8)]
        queue.enqueue([queue.request({"id": name, "command": "true"}) for name in names])
        ended = [run_next(queue, Outcome(exit_code=0)) for _ in names[:7]]
        queue.cancel("job7")
        ended.append(queue.get("job7"))
    assert [line for _, line in notices(ended)] == [
        "7 jobs completed: job0 job1 job2 job3 job4 …",
        "1 jobs cancelled: job7",
    ]


class Slow(LineCompleter):
    """A completer that finds something, and more only when other things were done meanwhile."""

    def __init__(self) -> None:
        super().__init__(Session)
        self.may_go_on = threading.Event()

    def get_completions(self, _document: Document, _event: CompleteEvent) -> Iterator[Completion]:
        yield Completion("first")
        assert self.may_go_on.wait(SECONDS)
        yield Completion("second")


def test_a_menu_comes_whole_and_no_key_between_two_of_its_rows() -> None:
    async def turns_at_each() -> list[int]:
        turns, completer = 0, Slow()

        async def press_keys() -> None:
            nonlocal turns
            while True:
                turns += 1
                if turns > 99:
                    completer.may_go_on.set()
                await asyncio.sleep(0.001)

        keys = asyncio.create_task(press_keys())
        rows = completer.get_completions_async(Document("show job"), CompleteEvent())
        found = [turns async for _ in rows]
        keys.cancel()
        return found

    first, second = asyncio.run(turns_at_each())
    assert first == second > 99
