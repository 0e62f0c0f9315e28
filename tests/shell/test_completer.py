"""What the prompt completes from its snapshot, and the notices of jobs that ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest
from prompt_toolkit.completion import CompleteEvent, Completion
from prompt_toolkit.document import Document

from queuectl.cli.session import Session
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Counts
from queuectl.presentation.follower import Follower
from queuectl.presentation.snapshot import Snapshot, Wanted
from queuectl.queue import open_queue
from queuectl.shell import completer as completer_module
from queuectl.shell.completer import LineCompleter, knowing
from queuectl.shell.followed_jobs import FollowedJobs, notices
from queuectl.system.home import find_location
from tests.cli.harness import bury, run_next
from tests.domain.jobs import NOW
from tests.worker.fleet import eventually

SECONDS = 30.0


def knowing_of(ids: Iterable[str], total: int = 0) -> Follower:
    """Return what has seen some pending jobs in a store of so many, and never looks again."""
    follower = Follower(find_location(), Wanted())
    jobs = tuple(Job(Spec(job_id, "true"), State.PENDING, NOW, NOW, NOW) for job_id in ids)
    counts = Counts({"default": {State.PENDING: total}})
    follower.snapshot = Snapshot(is_known=True, counts=counts, jobs=jobs)
    return follower


def completed(session: Session, line: str) -> list[str]:
    """Return what a line may go on with."""
    event = CompleteEvent(completion_requested=True)
    found = LineCompleter(session.fork).get_completions(Document(line), event)
    return [each.text for each in found]


def test_a_search_during_which_something_was_learnt_is_made_again() -> None:
    follower = knowing_of([])
    searches: list[Session] = []

    def session() -> Session:
        if searches:
            follower.snapshot = knowing_of(["a"]).snapshot
        searches.append(knowing(Session(), follower, may_ask=False).fork())
        return searches[-1]

    async def found() -> list[str]:
        completer = LineCompleter(session, lambda: bool(searches))
        document, event = Document("cancel "), CompleteEvent(completion_requested=True)
        return [each.text async for each in completer.get_completions_async(document, event)]

    assert "a" in asyncio.run(found())
    assert len(searches) == 2


def test_jobs_that_are_not_in_the_snapshot_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completer_module, "LOOKUP_SECONDS", SECONDS)
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": f"job{n:02}", "command": "true"}) for n in range(50)])
    follower = Follower(find_location(), Wanted(groups=((frozenset(), 10),)))
    follower.start()
    eventually(lambda: follower.snapshot.jobs)
    session = knowing(Session(), follower)
    assert completed(session, "show job0") == [f"job{n:02}" for n in range(9, -1, -1)]
    assert completed(session, "dlq retry job0") == []
    follower.end()
    follower.join(SECONDS)


def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completer_module, "LOOKUP_SECONDS", 0.01)
    session = knowing(Session(), knowing_of(["job1"], total=2))
    assert completed(session, "show job") == ["job1"]


def test_what_completes_beside_the_keyboard_never_asks() -> None:
    follower = knowing_of((f"job{n}" for n in range(1000)), total=100_000)
    session = knowing(Session(), follower, may_ask=False)
    assert completed(session, "show job99") == ["job99", *(f"job{n}" for n in range(990, 1000))]
    assert completed(session, "show nothing") == []
    assert completed(session, "list --home elsewhere show job99") == []
    assert completed(session, "config get max_r") == ["max_retries"]
    assert follower._asked.empty()


def test_jobs_on_the_line_are_not_offered_again() -> None:
    session = knowing(Session(), knowing_of(["job1", "job2"]))
    assert completed(session, "cancel job1 j") == ["job2"]
    assert completed(session, "dlq retry j") == []


def test_the_end_of_jobs_that_were_enqueued_here_is_noticed() -> None:
    bury("before")
    followed = FollowedJobs(find_location())
    with followed.open(find_location(), True) as queue, open_queue() as elsewhere:
        for job_id, command in (("good", "true"), ("bad", "false"), ("seen", "true")):
            fields = {"id": job_id, "command": command, "max_retries": 1, "priority": "high"}
            queue.enqueue([queue.request(fields)])
        queue.retry_dead("before")
        assert not followed.look(elsewhere)
        for code, error in ((0, None), (1, "Exit code 1"), (0, None)):
            run_next(elsewhere, Outcome(exit_code=code, duration=5.04, error=error))
        assert queue.get("seen").state is State.COMPLETED  # which needs no notice any more
        assert followed.look(elsewhere)
        assert [line for _, line in followed.take_notices()] == [
            "good completed in 5.0 s",
            "bad dead: Exit code 1; next: logs bad, retry bad",
        ]
        elsewhere.cancel("before")
        assert followed.look(elsewhere)
        assert followed.take_notices() == [(State.CANCELLED, "before cancelled")]
        assert len(followed) == 0
        assert not followed.look(elsewhere)


def test_many_ends_are_one_line_a_state() -> None:
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
