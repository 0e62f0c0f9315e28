"""Lists of jobs in other orders than that of arrival, and of what changed in a while."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.web import pages
from tests.web.kit import add, press
from tests.web.test_pages import rows_of


@pytest.fixture
def five(queue: Queue) -> None:
    """Five jobs of several priorities and queues; the last one of them is cancelled."""
    for name, priority, at in (("b", 3, "x"), ("a", 5, "y"), ("e", 1, "z"), ("d", 4, "x")):
        add(queue, name, priority=priority, queue=at)
    add(queue, "c", priority=2)
    queue.cancel("c")


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", "cdeab"),
        ("oldest_first=true", "baedc"),
        ("sort=id", "edcba"),
        ("sort=id&oldest_first=true", "abcde"),
        ("sort=priority", "adbce"),
        ("sort=priority&state=pending", "adbe"),
        ("sort=priority&queue=x", "db"),
        ("since=1h", "cdeab"),
        ("until=1h", ""),
        ("since=1h&text=nothing", ""),
    ],
)
def test_jobs_are_listed_in_the_order_and_of_the_time_that_one_asks_for(
    browser: TestClient, query: str, ids: str
) -> None:
    assert "".join(rows_of(browser.get(f"/jobs?{query}"))) == ids


@pytest.mark.usefixtures("five")
def test_a_title_of_a_column_sorts_by_it_and_then_the_other_way(browser: TestClient) -> None:
    page = browser.get("/jobs?queue=x")
    for ids, sort in (("db", "descending"), ("bd", "ascending"), ("db", "descending")):
        address = re.search(r'<th[^>]*><a href="([^"]+)">Job', page.text)
        assert address
        page = browser.get(f"/jobs{address[1].replace('&amp;', '&')}")
        assert "".join(rows_of(page)) == ids
        assert f'<th aria-sort="{sort}">' in page.text


@pytest.mark.usefixtures("five")
def test_a_sorted_list_goes_on_and_no_further_than_is_read(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, ids = browser.get("/jobs?sort=id&limit=2"), ""
    while True:
        ids += "".join(rows_of(page))
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        if not older:
            break
        page = browser.get(f"/jobs{older[1].replace('&amp;', '&')}")
    assert ids == "edcba"
    monkeypatch.setattr(pages, "MOST_SKIPPED", 1)
    assert 'rel="next"' not in browser.get("/jobs?sort=id&limit=2").text


@pytest.mark.usefixtures("five")
def test_what_is_done_to_all_that_fit_heeds_the_time(browser: TestClient, queue: Queue) -> None:
    press(browser, "/jobs?until=1h", "cancelJobs", all="true", until="1h")
    assert queue.counts().of(State.CANCELLED) == 1
    press(browser, "/jobs?since=1h", "cancelJobs", all="true", since="1h")
    assert queue.counts().of(State.CANCELLED) == 5


@pytest.mark.parametrize("query", ["since=gibberish", "until=2h2", "sort=colour"])
def test_an_order_or_a_time_that_is_none_is_refused_with_the_page_around_it(
    browser: TestClient, query: str
) -> None:
    answer = browser.get(f"/jobs?{query}")
    assert answer.status_code == 400
    assert "<nav" in answer.text
