"""Many tabs at once: their pages are made once, and they are told no more often than it costs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from queuectl.domain.errors import NotFound
from queuectl.queue import Queue
from queuectl.system.home import find_location
from queuectl.web import live as lives
from queuectl.web import pages, shared_pages
from queuectl.web.app_state import THREADS
from queuectl.web.live import FEW_CLIENTS, Live
from queuectl.web.pages import changed
from queuectl.web.shared_pages import SharedPages
from tests.web.kit import Served, add, csrf_of, press

SCRIPT = {changed.BASE_HEADER: "none"}
_PATIENCE = 60.0


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each time that the list of jobs is made; what was made stays good for long."""
    monkeypatch.setattr(shared_pages, "SECONDS", 1000.0)
    found: list[str] = []
    make = pages._listing

    def noted(*given: Any) -> pages.Values:
        found.append("made")
        return make(*given)

    monkeypatch.setattr(pages, "_listing", noted)
    return found


def test_tabs_of_one_reader_share_a_page_until_something_is_changed(
    served: Served, browser: TestClient, queue: Queue, looks: list[str]
) -> None:
    add(queue, "a")
    first = browser.get("/jobs", headers=SCRIPT).text
    assert browser.get("/jobs", headers=SCRIPT).text == first
    assert len(looks) == 1
    browser.get("/jobs?queue=other", headers=SCRIPT)
    browser.get("/jobs")
    assert len(looks) == 3
    assert "_csrf" not in served.client().get("/jobs", headers=SCRIPT).text
    assert "_csrf" in served.logged_in().get("/jobs", headers=SCRIPT).text
    made = len(looks)
    press(browser, "/jobs", "pauseJob", id="a")
    browser.get("/")  # which says what became of it
    assert "paused" in browser.get("/jobs", headers=SCRIPT).text
    assert len(looks) > made


def test_what_cannot_be_made_is_tried_again_and_many_wait_for_one() -> None:
    async def play() -> None:
        shared, made = SharedPages(), list[bytes]()

        async def make() -> bytes:
            made.append(b"%d" % len(made))
            await asyncio.sleep(0)
            if len(made) == 1:
                raise NotFound("it is gone")
            return made[-1]

        with pytest.raises(NotFound):
            await shared.get(("a",), make)
        shared.forget()
        assert await asyncio.gather(*(shared.get(("a",), make) for _ in range(9))) == [b"1"] * 9
        assert await shared.get(("b",), make) == b"2"

    asyncio.run(play())


@pytest.mark.parametrize("number", [FEW_CLIENTS, FEW_CLIENTS + 1])
def test_a_crowd_is_told_no_more_often_than_it_may_cost(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(lives, "_SHARE", 1e-9)
    monkeypatch.setattr(lives, "_LONGEST_PAUSE", 1e6)

    async def play() -> bool:
        live = Live(find_location())
        clients = [live.enter() for _ in range(number)]
        stream = live.stream(clients[0], (), lambda: True)
        try:
            text = b""
            while b"event: look" not in text:
                text = await asyncio.wait_for(anext(stream), _PATIENCE)
            version = live.version
            add(queue, "a")
            while live.version == version:
                await asyncio.sleep(0.01)
            return live._told == live._news
        finally:
            await stream.aclose()
            for client in clients:
                live.leave(client)
            live.close()

    assert asyncio.run(asyncio.wait_for(play(), _PATIENCE)) == (number <= FEW_CLIENTS)


def test_pages_are_served_while_changes_wait_for_runs_that_do_not_end(
    served: Served, browser: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    def delete(_queue: Queue, _job_id: str, **_options: object) -> None:
        begun.release()
        assert may_end.wait(_PATIENCE)

    monkeypatch.setattr(Queue, "delete", delete)
    add(queue, "a")
    csrf = csrf_of(browser.get("/jobs").text)
    with ThreadPoolExecutor() as people:
        waiting = [
            people.submit(browser.delete, "/api/jobs/a?force=true", headers={"x-csrf-token": csrf})
            for _ in range(THREADS)
        ]
        try:
            assert begun.acquire(timeout=_PATIENCE)
            look = people.submit(served.client().get, "/jobs")
            assert look.result(_PATIENCE).status_code == 200
        finally:
            may_end.set()
        assert [each.result(_PATIENCE).status_code for each in waiting] == [200] * THREADS
