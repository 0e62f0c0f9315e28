"""The picture of the queue on a wall: what it shows, and that it stays."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome
from queuectl.queue import Queue
from queuectl.web.access import SESSION_SECONDS
from tests.cli.harness import claim_next, play_worker, run_next
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import Served, add, csrf_of
from tests.web.test_browser import faults_for_readers
from tests.web.test_pages import text_of

__all__ = ["chromium", "site", "visit"]

AWAY = "192.0.2.7"
"""An address from which nobody may look unasked."""


def test_the_wall_has_what_runs_and_what_failed_lately(browser: TestClient, queue: Queue) -> None:
    assert "Nothing runs." in text_of(browser.get("/wall"))
    add(queue, "bad", max_retries=1)
    run_next(queue, Outcome(exit_code=3, error="Exit code 3"))
    add(queue, "good")
    run_next(queue, Outcome(exit_code=0))
    add(queue, "busy", "./train.sh")
    claim_next(queue)
    add(queue, "next")
    text = text_of(browser.get("/wall"))
    assert "No worker is running" in text
    assert "1 running 1 waiting 1 completed in the last hour" in text
    assert "1 died in the last hour, 1 in all" in text
    assert "busy ./train.sh" in text
    assert "dead (3) bad Exit code 3" in text
    play_worker(queue)
    assert "No worker is running" not in text_of(browser.get("/wall"))
    assert 'data-theme="dark"' in browser.get("/wall").text
    assert "<nav" not in browser.get("/wall").text


@pytest.fixture
def hours(served: Served) -> Any:
    """Turns the clock of the sessions on, by so many times as long as one lasts."""
    sessions, begun = served.state.sessions, served.state.sessions._clock()
    clock = {"now": begun}
    sessions._clock = lambda: clock["now"]

    def turn(times: float) -> None:
        clock["now"] += times * SESSION_SECONDS

    return turn


def test_what_is_left_on_the_wall_looks_on_and_changes_nothing(
    served: Served, queue: Queue, hours: Any
) -> None:
    add(queue, "a")
    client = served.logged_in(AWAY)
    csrf = csrf_of(client.get("/jobs/a").text)
    for _ in range(4):
        assert client.get("/wall").status_code == 200
        hours(0.7)
    page = client.get("/jobs/a")
    assert page.status_code == 200
    assert 'action="/do"' not in page.text
    fields = {"_csrf": csrf, "_do": "pauseJob", "id": "a", "_back": "/"}
    answer = client.post("/do", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/")
    answer = client.post("/api/jobs/a/pause", headers={"x-csrf-token": csrf})
    assert answer.status_code == 401
    assert not queue.get("a").paused
    hours(1.1)
    assert client.get("/wall").headers["location"] == "/login?next=/wall"


def test_a_session_that_watches_nothing_ends(served: Served, hours: Any) -> None:
    client = served.logged_in(AWAY)
    assert client.get("/jobs").status_code == 200
    hours(1.1)
    assert client.get("/jobs").status_code == 303
    assert client.get("/wall").status_code == 303


@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_the_wall_is_fit_for_all_readers_on_every_screen_and_follows(
    visit: Visit, queue: Queue, width: int
) -> None:
    add(queue, "bad", max_retries=1)
    run_next(queue, Outcome(exit_code=3, error="Exit code 3"))
    visitor = visit(viewport={"width": width, "height": 900})
    page = visitor.page
    visitor.go("/wall")
    page.wait_for_selector("#live[data-state=on]")
    add(queue, "a", "./a.sh")
    claim_next(queue)
    page.wait_for_selector("li[data-key=a]")
    assert faults_for_readers(page) == []
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0
    visitor.require_peace("the wall")


def test_the_wall_keeps_its_picture_where_nobody_is_known_any_more(
    visit: Visit, queue: Queue
) -> None:
    add(queue, "a")
    claim_next(queue)
    page = visit().page
    page.goto(page.url.rpartition("/")[0] + "/wall")
    page.wait_for_selector("#live[data-state=on]")
    page.route("**/wall", lambda route: route.fulfill(status=303, headers={"location": "/login"}))
    add(queue, "b")
    page.wait_for_selector("#live[data-state=trouble]")
    assert page.locator("li[data-key=a]").count() == 1
    page.unroute("**/wall")
    page.wait_for_selector("#live[data-state=on]")
