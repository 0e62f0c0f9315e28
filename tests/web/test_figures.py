"""The page of figures: of every queue, of an hour, a day and a week, and closer looks at them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from queuectl.domain.job import Outcome
from queuectl.domain.stats import Figures
from queuectl.domain.times import iso
from queuectl.queue import Queue
from queuectl.web.pages import figures
from tests.cli.harness import run_next
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import add
from tests.web.test_pages import text_of

__all__ = ["chromium", "site", "visit"]

DAY = timedelta(days=1)


@pytest.fixture
def worked(queue: Queue) -> None:
    """Two queues that have worked a little: three runs of one, and one of the other."""
    for name in ("a", "b", "c"):
        add(queue, name)
        run_next(queue, Outcome(exit_code=0, duration=0.5))
    add(queue, "d", queue="mail", max_retries=1)
    run_next(queue, Outcome(exit_code=1, error="Exit code 1", duration=2.0))


@pytest.mark.usefixtures("worked")
@pytest.mark.parametrize("span", ["1h", "6h", "24h", "7d"])
def test_the_figures_of_every_span_are_told_for_all_queues_and_for_one(
    browser: TestClient, span: str
) -> None:
    for _ in range(2):  # and once more from what is kept
        text = text_of(browser.get(f"/figures?span={span}"))
        assert "Enqueued 4 Completed 3 Failed, to be tried again 0 Dead 1" in text
        assert "Succeeded 75.0 %" in text
        text = text_of(browser.get(f"/figures?span={span}&queue=mail"))
        assert "Enqueued 1 Completed 0 Failed, to be tried again 0 Dead 1" in text
        assert "Succeeded 0.0 %" in text
    assert browser.get("/figures?span=1y").status_code == 400
    assert "Enqueued 0" in text_of(browser.get(f"/figures?span={span}&queue=nobody"))


def test_what_is_kept_grows_with_what_happens(browser: TestClient, queue: Queue) -> None:
    for number in range(1, 4):
        add(queue, f"job{number}")
        run_next(queue, Outcome(exit_code=0))
        assert f"Completed {number} " in text_of(browser.get("/figures?span=24h"))
        assert f"Completed {number} " in text_of(browser.get("/figures?span=7d"))


def test_a_step_leads_to_a_closer_look_at_it(
    browser: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_HISTORY", figures._History())
    then = queue.now().replace(minute=20, second=0, microsecond=0) - 3 * DAY
    made = {then: Figures(completed=7), then - timedelta(hours=2): Figures(dead=3)}
    monkeypatch.setattr(
        Queue, "figures", lambda _self, since, _name: {m: f for m, f in made.items() if m >= since}
    )
    page = browser.get("/figures?span=7d").text
    assert "Completed 7 " in text_of(browser.get("/figures?span=7d"))
    links = re.findall(r'<a href="([^"]*)"[^>]*><rect[^>]*><title[^>]*data-told="7 comp', page)
    (address,) = [link.replace("&amp;", "&") for link in links]
    page = browser.get(f"/figures{address}").text
    text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))
    assert "Completed 7 " in text
    assert "Dead 3 " in text
    hour = browser.get(f"/figures?span=1h&end={iso(then + timedelta(minutes=30))}")
    assert "Completed 7 " in text_of(hour)
    assert "Dead 0 " in text_of(hour)
    assert "Dead 3 " not in text_of(browser.get("/figures?span=24h"))


@pytest.mark.parametrize("end", ["0001-01-01T00:00Z", "2020-01-01T12:00:00Z"])
def test_what_is_long_ago_is_not_looked_for(browser: TestClient, end: str) -> None:
    assert browser.get(f"/figures?span=7d&end={end}").status_code == 200
    assert browser.get("/figures?end=gibberish").status_code == 400


@pytest.mark.usefixtures("worked")
def test_the_page_can_be_gone_through_in_a_browser(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go("/queues")
    page.click("section:has-text('mail') a:text-is('Figures')")
    page.wait_for_selector("text=Dead")
    page.click("nav[aria-label=Spans] a:text-is('7d')")
    page.click("a:text-is('Closer')")
    page.wait_for_selector("nav[aria-label=Spans] a[aria-current]:text-is('6h')")
    page.click("a:text-is('‹ Earlier')")
    page.click("a:text-is('Now')")
    page.wait_for_selector("h1:text-is('Figures')")
    visitor.require_peace("figures")
