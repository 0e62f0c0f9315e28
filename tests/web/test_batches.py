"""The pages of batches, and what became of their jobs as a file."""

from __future__ import annotations

import csv
import io

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome, State
from queuectl.queue import Queue
from queuectl.web import downloads
from queuectl.web.pages import batches
from tests.cli.harness import run_next
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import add, press
from tests.web.test_pages import rows_of, text_of

__all__ = ["chromium", "site", "visit"]


@pytest.fixture
def sweep(queue: Queue) -> str:
    """A batch of seven jobs: three completed, one dead, three waiting; and another of one job."""
    add(queue, "other", batch="single")
    queue.cancel("other")
    for number in range(1, 8):
        add(queue, f"s{number}", f"./train.sh {number}", batch="sweep", max_retries=1)
    for number in range(1, 5):
        result = f'{{"loss": {number / 10}}}'
        outcome = Outcome(exit_code=0, duration=1.5, stdout=f"=done {number}\n", result=result)
        run_next(queue, outcome if number < 4 else Outcome(exit_code=3, error="Exit code 3"))
    return "sweep"


@pytest.mark.usefixtures("sweep")
def test_every_batch_is_listed_with_how_far_it_has_come(browser: TestClient) -> None:
    text = text_of(browser.get("/batches"))
    assert "sweep running" in text
    assert "3 pending 3 completed 1 dead 57 % of 7" in text
    assert "single done, not all" in text
    assert "1 cancelled 100 % of 1" in text
    assert text.index("sweep") < text.index("single")


@pytest.mark.usefixtures("sweep")
def test_the_page_of_a_batch_has_its_figures_and_results(browser: TestClient) -> None:
    answer = browser.get("/batches/sweep")
    text = text_of(answer)
    assert "57 % of 7 jobs" in text
    assert rows_of(answer) == [f"s{number}" for number in range(1, 8)]
    assert "s2 completed 0 1.5 s 0.2 =done 2" in text
    assert rows_of(browser.get("/batches/sweep?state=dead")) == ["s4"]
    assert browser.get("/batches/nobody").status_code == 404
    assert 'href="/batches/sweep"' in browser.get("/jobs/s1").text
    assert rows_of(browser.get("/jobs?batch=sweep&state=dead")) == ["s4"]


@pytest.mark.usefixtures("sweep")
def test_results_go_on_on_another_page(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS", 3)
    answer, seen = browser.get("/batches/sweep"), list[str]()
    while True:
        seen += rows_of(answer)
        if 'rel="next"' not in answer.text:
            break
        address = answer.text.split('" rel="next"')[0].rpartition('href="')[2]
        answer = browser.get(f"/batches/sweep{address}")
    assert seen == [f"s{number}" for number in range(1, 8)]


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize("at_once", [2, 7, 500])
def test_the_results_are_a_file_too(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(downloads, "JOBS_AT_ONCE", at_once)
    answer = browser.get("/batches/sweep/results.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="sweep.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == [f"s{number}" for number in range(1, 8)]
    assert (rows[1]["state"], rows[1]["duration"], rows[1]["loss"]) == ("completed", "1.5", "0.2")
    dead = browser.get("/batches/sweep/results.csv?state=dead").text
    assert [row["id"] for row in csv.DictReader(io.StringIO(dead))] == ["s4"]
    assert browser.get("/batches/nobody/results.csv").status_code == 404


def test_the_rest_of_a_batch_is_cancelled_and_what_failed_is_retried(
    browser: TestClient, queue: Queue, sweep: str
) -> None:
    page = f"/batches/{sweep}"
    press(browser, page, "cancelJobs", all="true", batch=sweep)
    states = {job.id: job.state for job in queue.find()}
    assert [states[f"s{n}"] for n in (1, 4, 5)] == [State.COMPLETED, State.DEAD, State.CANCELLED]
    press(browser, page, "retryJobs", all="true", batch=sweep)
    states = {job.id: job.state for job in queue.find()}
    assert [states[f"s{n}"] for n in (1, 4, 5)] == [State.COMPLETED, State.PENDING, State.PENDING]
    assert states["other"] is State.CANCELLED


def test_a_batch_asks_before_it_is_cancelled_and_shows_what_comes(
    visit: Visit, queue: Queue, sweep: str
) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go(f"/batches/{sweep}")
    page.wait_for_selector("#live[data-state=on]")
    run_next(queue, Outcome(exit_code=0))
    page.wait_for_selector("h2:text-is('71 % of 7 jobs')")
    page.wait_for_selector("text=left")
    page.click("button:text-is('Cancel the rest')")
    page.click("button:text-is('Yes, cancel 2 jobs')")
    page.wait_for_selector("h2:text-is('100 % of 7 jobs')")
    visitor.require_peace("the page of a batch")
